"""Runs a notebook and writes its outputs into the file.

    python -m tests.notebook docs/tutorial.ipynb    # or: make tutorial

Output to stderr, i.e. progress bars and log lines, is left out.
"""

import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

_TIMEOUT_SECONDS = 3600  # per cell; the longest of the tutorial takes minutes


def run_notebook(path: str | Path, folder: str | Path) -> nbformat.NotebookNode:
    """Returns the notebook with the outputs of a run in `folder`.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell raised.
    """
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=_TIMEOUT_SECONDS, resources=resources).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times
        if cell.cell_type == "code":
            cell.outputs = [out for out in cell.outputs if out.get("name") != "stderr"]
    return notebook


def main() -> None:
    path = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        notebook = run_notebook(path, folder)
    nbformat.write(notebook, path)


if __name__ == "__main__":
    main()
