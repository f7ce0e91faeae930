"""Errors in the user's files and flags are reported in one line; no files are changed."""

import json
import re

import pytest

from tests.integration.toy import error_line, run_job
from tests.models.small_models import MAX_POSITIONS
from tests.models.small_text_models import small_supernet, small_text_model
from tf_efficientbert.architecture import Architecture
from tf_efficientbert.distillation.distiller import DistillOptions, distill
from tf_efficientbert.distillation.warm_up import WarmUpOptions
from tf_efficientbert.errors import UserError
from tf_efficientbert.pipeline.options import PipelineOptions
from tf_efficientbert.pipeline.run import run_pipeline
from tf_efficientbert.training.fine_tune import FineTuneOptions, fine_tune

_GOOD = b"sentence\tlabel\nI like it.\tgood\nI do not.\tbad\n"


@pytest.fixture
def output_dir(tmp_path):
    """A folder with a user's file, which must be unchanged after the test."""
    path = tmp_path / "output"
    path.mkdir()
    (path / "notes.txt").write_text("mine")
    yield path
    assert {p.name: p.read_text() for p in path.iterdir() if p.name != ".lock"} == {
        "notes.txt": "mine"
    }


@pytest.fixture
def task_files(tmp_path):
    """task_files(train, dev): writes the files and returns the flags of a custom task."""

    def write(train=_GOOD, dev=_GOOD):
        for name, content in (("train.tsv", train), ("dev.tsv", dev)):
            (tmp_path / name).write_bytes(content)
        return {
            "task": "custom",
            "labels": "bad,good",
            "train_file": str(tmp_path / "train.tsv"),
            "dev_file": str(tmp_path / "dev.tsv"),
            "split": "90/10/0",
        }

    return write


def _long_vocabulary(bert, folder):
    """Copies the BERT folder with one more line in its vocabulary."""
    folder.mkdir()
    for name in ("config.json", "model.safetensors"):
        (folder / name).symlink_to(bert / name)
    lines = (bert / "vocab.txt").read_text("utf-8").splitlines(keepends=True)
    (folder / "vocab.txt").write_text("".join([*lines, "[more]\n"]), "utf-8")
    return str(folder), len(lines)


_BAD_FILES = {
    "malformed row": (
        _GOOD + b"no tab at all\n",
        "line 4: 1 fields, expected 2: 'no tab at all'",
    ),
    "missing label": (_GOOD + b"It is so so.\t\n", "line 4: the label is missing"),
    "empty file": (b"", "the file is empty"),
    "not UTF-8": (_GOOD + b"caf\xe9\tgood\n", "line 4: not utf-8: byte 0xe9 at offset"),
}


@pytest.mark.parametrize("file", ["train.tsv", "dev.tsv"])
@pytest.mark.parametrize(("content", "message"), _BAD_FILES.values(), ids=_BAD_FILES)
@pytest.mark.parametrize("job", ["teacher", "pipeline"])
def test_the_error_for_a_bad_file_has_line_and_value(
    bert, output_dir, task_files, file, content, message, job
):
    flags = task_files(**{file.removesuffix(".tsv"): content})
    flags |= {"teacher_dir": str(bert), "output_dir": str(output_dir)}
    with pytest.raises(UserError) as caught:
        if job == "teacher":
            fine_tune(FineTuneOptions(**flags))
        else:
            run_pipeline(PipelineOptions(hidden_size=48, embedding_size=32, **flags))
    assert re.search(f"/{file}[,:] {re.escape(message)}", str(caught.value))
    assert "\n" not in str(caught.value)


def test_a_wrong_file_name_can_be_corrected_in_the_same_output_dir(bert, tmp_path, task_files):
    flags = task_files() | {"teacher_dir": str(bert), "output_dir": str(tmp_path / "output")}
    flags |= {"epochs": 1.0, "max_tokens": 16}
    with pytest.raises(UserError, match="nowhere.tsv: no such file"):
        fine_tune(FineTuneOptions(**flags | {"train_file": "nowhere.tsv"}))
    assert fine_tune(FineTuneOptions(**flags))["parameters"] > 0


def test_the_error_for_a_missing_teacher_folder_names_it(output_dir):
    options = FineTuneOptions(teacher_dir="/nowhere/bert", output_dir=str(output_dir))
    with pytest.raises(UserError, match="^teacher folder /nowhere/bert does not exist"):
        fine_tune(options)


@pytest.mark.parametrize("task", ["sst3", "Custom"])
def test_the_error_for_an_unknown_task_names_it(task):
    with pytest.raises(UserError) as caught:
        FineTuneOptions(task=task, data_dir="/data", output_dir="/nowhere")
    assert repr(task) in str(caught.value) or f"--task={task}" in str(caught.value)
    assert "SST-2" in str(caught.value)


@pytest.fixture(scope="module")
def wrong_widths(tmp_path_factory):
    """The path of an architecture whose formula multiplies tensors of different widths."""
    good = Architecture.from_formulas(
        ["linear1_2(relu(mul(linear1_2(x,wb1),x)),wb2)"] * 6,
        hidden_size=48,
        ffn_width=48,
        num_heads=12,
        embedding_size=32,
    )
    data = json.loads(good.to_json())
    assert data["channel_mismatch"] == "slice"
    data["ffn_width"] = 4800
    path = tmp_path_factory.mktemp("architecture") / "wide.json"
    path.write_text(json.dumps(data), "utf-8")
    return str(path)


def test_the_error_for_an_architecture_with_wrong_widths_names_it(
    tmp_path, output_dir, wrong_widths
):
    small_text_model().save(tmp_path / "teacher")
    small_supernet(fit_size=24).save(tmp_path / "supernet")
    options = DistillOptions(
        teacher=str(tmp_path / "teacher"),
        supernet=str(tmp_path / "supernet"),
        architecture=wrong_widths,
        max_tokens=MAX_POSITIONS,
        output_dir=str(output_dir),
    )
    with pytest.raises(UserError) as caught:
        distill(options)
    message = str(caught.value)
    assert message.startswith(f"--architecture={wrong_widths}: layer 1 of 6: ")
    assert (
        "does not fit hidden_size 48 and ffn_width 4800 under channel_mismatch 'slice'" in message
    )
    assert "\n" not in message


# === Through the command line ===


def test_a_job_prints_a_bad_row_in_one_line_and_fails(output_dir, task_files):
    content, message = _BAD_FILES["malformed row"]
    flags = task_files(dev=content)
    done = run_job("trainers.train_teacher", FineTuneOptions(output_dir=str(output_dir), **flags))
    assert error_line(done).startswith(f"{flags['dev_file']}, {message}")
    assert done.stdout == ""


def test_a_job_prints_that_a_vocabulary_does_not_belong_to_the_teacher(bert, output_dir, tmp_path):
    folder, lines = _long_vocabulary(bert, tmp_path / "long")
    options = WarmUpOptions(teacher_dir=folder, output_dir=str(output_dir), corpus_sentences=10)
    line = error_line(run_job("trainers.pretrain_supernet", options))
    assert folder in line
    assert f"vocab.txt has {lines + 1} entries" in line
    assert f"{lines}: the two files are from different models" in line


def test_a_job_prints_that_a_task_is_unknown(output_dir):
    class _Unchecked(PipelineOptions):
        def __post_init__(self):
            pass

    options = _Unchecked(task="sst3", output_dir=str(output_dir))
    line = error_line(run_job("trainers.run_pipeline", options))
    assert "sst3" in line
    assert "SST-2" in line
