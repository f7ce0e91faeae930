"""Runs a notebook and writes its outputs into the file.

    python -m tests.notebook docs/tutorial.ipynb    # or: make tutorial

Progress bars and log lines are left out.
"""

import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

_LOG_LINE = "INFO:tensorflow:"
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
            cell.outputs = list(filter(None, map(_without_log, cell.outputs)))
    return notebook


def _without_log(output: nbformat.NotebookNode) -> nbformat.NotebookNode | None:
    """Drops stderr, and the lines that TensorFlow logs to stdout in a notebook."""
    if output.output_type != "stream":
        return output
    lines = [line for line in output.text.splitlines(True) if not line.startswith(_LOG_LINE)]
    output.text = "".join(lines)
    return output if output.name == "stdout" and output.text.strip() else None


def main() -> None:
    path = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        notebook = run_notebook(path, folder)
    nbformat.write(notebook, path)


if __name__ == "__main__":
    main()
