"""docs/tutorial.ipynb has the outputs of a run, and still runs."""

import re
from pathlib import Path

import nbformat
import pytest

from tests.notebook import run_notebook

_PATH = Path(__file__).parents[1] / "docs" / "tutorial.ipynb"


def _code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def _printed(cell):
    return "".join(out["text"] for out in cell.outputs if out.output_type == "stream")


def _pictures(notebook):
    return [
        out.data["image/png"]
        for cell in _code(notebook)
        for out in cell.outputs
        if "image/png" in out.get("data", {})
    ]


def _check_outputs(notebook):
    cells = _code(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert not [out for cell in cells for out in cell.outputs if out.output_type == "error"]
    assert len(_pictures(notebook)) == 2
    by_start = {cell.source.split("\n")[0]: _printed(cell) for cell in cells}
    (keras,) = (text for start, text in by_start.items() if start.startswith("texts = "))
    (litert,) = (text for start, text in by_start.items() if "ai_edge_litert" in start)
    answers = [re.findall(r"^(\w+) +0\.\d+  (.+)$", text, re.M) for text in (keras, litert)]
    assert len(answers[0]) == 2 and answers[0] == answers[1]


def test_the_committed_tutorial_has_outputs_of_all_cells():
    notebook = nbformat.read(_PATH, as_version=4)
    nbformat.validate(notebook)
    _check_outputs(notebook)
    texts = [text for cell in _code(notebook) for text in (cell.source, _printed(cell))]
    assert not [text for text in texts if re.search(r"(?<![\w.])/\w+/", text)], "absolute paths"


@pytest.mark.slow
def test_the_tutorial_runs(tmp_path):
    notebook = run_notebook(_PATH, tmp_path)
    _check_outputs(notebook)
    assert (tmp_path / "tutorial" / "run" / "report.html").is_file()
