import dataclasses
import json

import pytest

from tests.models.huggingface_folder import CONFIG, write_folder
from tests.models.small_text_models import TASKS, small_examples, small_supernet, write_examples
from tf_efficientbert.data import snippets
from tf_efficientbert.errors import UserError
from tf_efficientbert.pipeline import PipelineOptions
from tf_efficientbert.pipeline.options import MODELS, STUDENTS
from tf_efficientbert.search.stages import RECIPES

_TRAINING = {"batch_size": 7, "seed": 3, "bfloat16": True, "checkpoint_seconds": 5.0}
_TASK = {
    "task": "custom",
    "train_file": "t.tsv",
    "dev_file": "d.tsv",
    "split": "90/10/0",
    "test_file": "e.tsv",
    "labels": "a,b",
    "max_tokens": 33,
    "limit": 11,
}
_SIZES = {"hidden_size": 48, "num_heads": 6, "embedding_size": 20}
_CORPUS = {"corpus": "mine.txt", "corpus_sentences": 9, "corpus_max_tokens": 21}


@pytest.fixture
def options():
    return PipelineOptions(
        **_TRAINING,
        **_TASK,
        **_SIZES,
        **_CORPUS,
        output_dir="out",
        teacher_dir="bert",
        teacher_epochs=1.5,
        teacher_learning_rate=1e-3,
        warm_up_epochs=2.5,
        warm_up_learning_rate=2e-3,
        supernet="fresh",
        stages="paper",
        sampler="random",
        group_size=3,
        student_epochs=3.5,
        student_learning_rate=3e-3,
        dropout=0.25,
        latency_runs=13,
    )


def _assert_has(job, expected):
    assert {name: getattr(job, name) for name in expected} == expected


def test_teacher_options_have_the_task_and_the_training(options):
    expected = {"epochs": 1.5, "learning_rate": 1e-3, "teacher_dir": "bert"}
    expected["output_dir"] = "out/teacher"
    _assert_has(options.teacher(), {**_TRAINING, **_TASK, **expected})


def test_supernet_options_have_its_sizes_the_corpus_and_the_training(options):
    expected = {"epochs": 2.5, "learning_rate": 2e-3, "teacher_dir": "bert"}
    corpus = {**_CORPUS, "corpus": "mine.txt,out/task_texts.txt,out/task_texts.txt"}
    expected["output_dir"] = "out/supernet"
    _assert_has(options.warm_up(), {**_TRAINING, **_SIZES, **corpus, **expected})


@pytest.mark.parametrize(
    ("packing", "pair_task", "expected"),
    [("auto", False, "sentences"), ("auto", True, "pairs"), ("pairs", False, "pairs")]
    + [("sentences", True, "sentences")],
)
def test_the_supernet_s_text_is_packed_for_tasks_on_pairs(options, packing, pair_task, expected):
    options = dataclasses.replace(options, packing=packing)
    assert options.warm_up(pair_task).packing == expected


def test_search_options_have_stages_teachers_supernet_task_and_text(options):
    expected = {
        **{name: value for name, value in _TRAINING.items() if name != "batch_size"},
        **_CORPUS,
        "corpus": "mine.txt,out/task_texts.txt,out/task_texts.txt",
        "stages": "paper",
        "sampler": "random",
        "group_size": 3,
        "dropout": 0.25,
        "teacher": "out/teacher/model",
        "supernet": "out/supernet/model",
        "teacher_dir": "bert",
        "output_dir": "out/search",
    }
    _assert_has(options.search(), {**_TASK, **expected})


@pytest.mark.parametrize("name", STUDENTS)
def test_student_options_have_teacher_supernet_task_and_training(options, name):
    expected = {
        "epochs": 3.5,
        "learning_rate": 3e-3,
        "dropout": 0.25,
        "general_epochs": 0.0,
        "architecture": "out/search/architecture.json" if name == "searched" else name,
        "output_dir": f"out/{name}",
        "teacher": "out/teacher/model",
        "supernet": "out/supernet/model",
    }
    _assert_has(options.student(name), {**_TRAINING, **_TASK, **_CORPUS, **expected})


def test_compression_options_have_steps_student_teacher_task_and_training(options):
    assert options.models == MODELS
    steps = {"compress": "drop(1),prune(0.5)"}
    told = {"compress_epochs": 4.5, "compress_learning_rate": 4e-3}
    options = dataclasses.replace(options, **steps, **told)
    assert options.models == (*MODELS, "compressed")
    expected = {
        "epochs": 4.5,
        "learning_rate": 4e-3,
        "output_dir": "out/compressed",
        "model": "out/searched/model",
        "teacher": "out/teacher/model",
    }
    _assert_has(options.compressed(), {**_TRAINING, **_TASK, **steps, **expected})


@pytest.mark.parametrize("name", MODELS)
def test_export_options_have_the_model_and_the_task(options, name):
    expected = {"model": f"out/{name}/model", "output_dir": f"out/export/{name}"}
    _assert_has(options.export(name), {**_TASK, **expected, "latency_runs": 13})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"student_epochs": -1.0}, "^--student_epochs=-1.0: expected a number above 0"),
        ({"warm_up_learning_rate": 0.0}, "^--warm_up_learning_rate=0.0: expected a number above 0"),
        ({"batch_size": 0}, "--batch_size=0"),
        ({"latency_runs": 0}, "--latency_runs=0"),
        ({"stages": "brief"}, "--stages=brief: expected paper, quick or a .json file"),
        ({"sampler": "best"}, "--sampler=best: expected one of action-space, evolution, random"),
        ({"compress": "prune(2.0)"}, r"--compress=prune\(2.0\): prune\(2.0\): expected a share"),
        ({"compress": "drop(6)"}, r"--compress: drop\(6\) is not possible with 6 layers"),
        ({"compress_epochs": 0.0}, "^--compress_epochs=0.0: expected a number above 0"),
        ({"task": "custom"}, "--task=custom needs --train_file"),
        ({"warm_up_epochs": 5.0}, "^--warm_up_epochs has no effect without --supernet=fresh"),
    ],
)
def test_invalid_options_of_later_phases_are_refused_at_once(given, message):
    with pytest.raises(UserError, match=message):
        PipelineOptions(**given)


def _with_teacher(tmp_path, **given):
    """Makes options with a small random teacher, which the given sizes must match."""
    write_folder(tmp_path / "bert", CONFIG, None)
    sizes = {"hidden_size": 24, "num_heads": 4, "embedding_size": 8}
    lengths = {"max_tokens": 11, "corpus_max_tokens": 11}
    return PipelineOptions(
        **{**sizes, **lengths, "teacher_dir": str(tmp_path / "bert"), "supernet": "fresh", **given}
    )


def test_sizes_that_the_teacher_lacks_are_refused_before_any_phase(tmp_path):
    _with_teacher(tmp_path).check_sizes()
    too_wide = CONFIG["hidden_size"] + 1
    message = f"--embedding_size={too_wide} is above the hidden_size of .*bert, {too_wide - 1}"
    with pytest.raises(UserError, match=message):
        _with_teacher(tmp_path, embedding_size=too_wide).check_sizes()


def test_by_default_the_supernet_is_the_packaged_one():
    options = PipelineOptions(output_dir="out")
    for job in (options.search(), options.student("plain")):
        assert job.supernet == "pretrained"
    options.check_sizes()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"hidden_size": 24, "num_heads": 4},
            "--hidden_size=24, but --supernet=pretrained has 192",
        ),
        ({"num_heads": 6}, "--num_heads=6, but --supernet=pretrained has 12"),
        ({"embedding_size": 64}, "--embedding_size=64, but --supernet=pretrained has 128"),
    ],
)
def test_sizes_that_the_supernet_lacks_are_refused_before_any_phase(given, message):
    with pytest.raises(UserError, match=f"^{message}; --supernet=fresh trains one that fits$"):
        PipelineOptions(output_dir="out", **given).check_sizes()


def test_a_teacher_that_the_supernet_does_not_fit_is_refused_before_any_phase(tmp_path):
    small_supernet(6, fit_size=20).save(tmp_path / "supernet")
    with pytest.raises(UserError, match="vocabulary differs.*; --supernet=fresh trains one"):
        architecture = small_supernet(6).backbone.architecture
        sizes = {
            name: getattr(architecture, name)
            for name in ("hidden_size", "num_heads", "embedding_size")
        }
        _with_teacher(tmp_path, supernet=str(tmp_path / "supernet"), **sizes).check_sizes()


def test_stage_bounds_without_candidates_are_refused_before_any_phase(tmp_path):
    stages = [dataclasses.asdict(stage) for stage in RECIPES["quick"]]
    for stage in stages:
        del stage["searched"]
    path = tmp_path / "stages.json"
    path.write_text(json.dumps([*stages[:2], {**stages[2], "max_parameters": 5}]), "utf-8")
    with pytest.raises(UserError, match="stage sizes searches from .* to 5 parameters"):
        _with_teacher(tmp_path, stages=str(path)).check_sizes()


@pytest.mark.parametrize("kind", ["classification", "pair"])
def test_the_task_s_own_text_is_a_line_for_each_training_sentence(tmp_path, kind):
    task = TASKS[kind]
    examples = small_examples(task)
    rows = write_examples(tmp_path / "rows.tsv", task, examples)
    files = {"train_file": rows, "dev_file": rows, "split": "90/10/0"}
    options = PipelineOptions(task="custom", output_dir=str(tmp_path / "new" / "out"), **files)
    options.write_own_text()
    lines = options.own_text.read_text("utf-8").splitlines()
    assert lines == [text for row in zip(*examples.columns, strict=True) for text in row]


@pytest.mark.parametrize("corpus", ["speeches", "speeches,snippets"])
def test_unlabelled_texts_join_the_text_of_warm_up_and_search_once(tmp_path, corpus):
    options = PipelineOptions(
        output_dir=str(tmp_path), corpus=corpus, unlabelled_file="snippets", unlabelled_share=0.25
    )
    options.write_own_text()
    expected = [*corpus.split(","), *[str(options.own_text)] * 2]
    if corpus == "speeches":
        expected.append(str(tmp_path / "unlabelled_texts.txt"))
    for job in (options.warm_up(), options.search()):
        assert job.corpus.split(",") == expected
    if corpus == "speeches":
        lines = (tmp_path / "unlabelled_texts.txt").read_text("utf-8").splitlines()
        assert len(lines) == 800 and set(lines) <= set(snippets.unlabelled())


def test_search_students_and_compression_learn_from_unlabelled_texts(options):
    more = {"unlabelled_file": "more.csv", "unlabelled_share": 0.4}
    options = dataclasses.replace(options, compress="prune(0.5)", **more)
    for job in (options.search(), options.student("plain"), options.compressed()):
        _assert_has(job, {"unlabelled_file": "more.csv", "unlabelled_share": 0.4})


def test_line_breaks_in_a_text_become_spaces_in_the_own_text(tmp_path):
    rows = tmp_path / "rows.jsonl"
    objects = [{"text": "a\n b\tc", "label": "x"}, {"text": "d", "label": "y"}]
    rows.write_text("".join(f"{json.dumps(row)}\n" for row in objects), "utf-8")
    files = {"train_file": str(rows), "dev_file": str(rows), "split": "90/10/0"}
    options = PipelineOptions(output_dir=str(tmp_path), **files)
    options.write_own_text()
    assert options.own_text.read_text("utf-8") == "a b c\nd\n"
