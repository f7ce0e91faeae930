import json

import pytest

from tests.models.small_models import small_architecture
from tf_efficientbert.errors import UserError
from tf_efficientbert.reporting.collect import collect
from tf_efficientbert.reporting.report import ReportOptions, write_report
from tf_efficientbert.search.study import STUDY, Study, Trial


def _begin(folder, candidates=0):
    folder.mkdir(parents=True)
    study = Study(folder / STUDY)
    study.begin("joint")
    study.note("joint", planned=3, metric="accuracy", fits=[], training=[])
    for index in range(candidates):
        study.add(
            "joint",
            Trial(
                index=index,
                architecture=small_architecture(),
                parameters=1000,
                seed=7,
                state="complete",
                score=0.5 + index / 10,
                loss=0.6,
                losses=(2.0, 1.0),
            ),
        )


@pytest.fixture
def run(tmp_path):
    """A pipeline run in the middle of its search."""
    _begin(tmp_path / "mine" / "search", candidates=2)
    teacher = tmp_path / "mine" / "teacher"
    teacher.mkdir()
    records = [{"step": 1, "loss": 0.7}]
    (teacher / "history.json").write_text(json.dumps({"fine-tuning": records}), "utf-8")
    (teacher / "result.json").write_text(json.dumps({"seconds": 12.5}), "utf-8")
    return tmp_path / "mine"


def test_an_unfinished_run_gives_the_results_so_far(run):
    report = collect(run)
    assert report["title"] == "mine"
    assert report["seconds"] == {"teacher": 12.5}
    assert report["losses"] == {"teacher: fine-tuning": [{"step": 1, "loss": 0.7}]}
    (stage,) = report["search"]["stages"]
    assert (stage["name"], stage["best"], stage["planned"]) == ("joint", 1, 3)
    assert [candidate["score"] for candidate in stage["candidates"]] == [0.5, 0.6]
    assert "models" not in report


def test_students_that_learned_side_by_side_are_one_phase(run):
    for name, seconds in (("plain", 20.0), ("searched", 22.5)):
        (run / name).mkdir()
        (run / name / "result.json").write_text(json.dumps({"seconds": seconds}), "utf-8")
    assert collect(run)["seconds"] == {"teacher": 12.5, "students": 22.5}


def test_a_finished_run_adds_its_report(run):
    (run / "report.json").write_text(json.dumps({"task": "reviews", "seconds": {"x": 1}}), "utf-8")
    report = collect(run)
    assert (report["task"], report["seconds"]) == ("reviews", {"x": 1})
    assert collect(run, {"task": "given"})["task"] == "given"


def test_a_search_s_own_folder_is_accepted(run):
    assert collect(run / "search")["search"] == collect(run)["search"]


def test_a_page_is_written_while_the_search_is_running(run):
    before = (run / "search" / STUDY).read_bytes()
    result = write_report(ReportOptions(study=str(run)))
    assert result == {"report": str(run / "report.html"), "candidates": {"joint": 2}}
    assert "joint" in (run / "report.html").read_text("utf-8")
    assert (run / "search" / STUDY).read_bytes() == before


def test_the_page_is_written_to_the_output_directory(run, tmp_path):
    write_report(ReportOptions(study=str(run), output_dir=str(tmp_path / "new")))
    assert (tmp_path / "new" / "report.html").is_file()
    assert not (run / "report.html").exists()


def test_a_search_without_a_candidate_gives_a_page(tmp_path):
    _begin(tmp_path / "search")
    assert write_report(ReportOptions(study=str(tmp_path)))["candidates"] == {"joint": 0}


def test_a_folder_without_a_study_is_named(tmp_path):
    with pytest.raises(UserError, match=f"{tmp_path}: there is no study.journal in it"):
        collect(tmp_path)
    with pytest.raises(UserError, match="--study is missing"):
        ReportOptions()
