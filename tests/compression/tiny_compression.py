"""A compression that takes seconds: a small student, its teacher, a few sentences."""

from pathlib import Path

from tests.models.small_models import FORMULAS, small_architecture
from tests.models.small_text_models import (
    TASKS,
    small_examples,
    small_text_model,
    write_examples,
)
from tf_efficientbert.compression.compress import CompressOptions

_ORDINARY = "linear1_1(gelu(linear1_1(x,wb1)),wb2)"
LAYERS = 2
STEPS = 5  # training steps per compression step


def write_models(folder: Path) -> None:
    """Saves a student with two different layers, and its teacher."""
    student = small_architecture([_ORDINARY, FORMULAS[1]])
    small_text_model(architecture=student, seed=3).save(folder / "student")
    teacher = small_architecture([_ORDINARY], hidden_size=20, embedding="bert")
    small_text_model(architecture=teacher, seed=5).save(folder / "teacher")


def tiny_options(folder: Path, compress: str, **changes) -> CompressOptions:
    """Returns options for the models that `write_models` saved in `folder`."""
    task = TASKS["classification"]
    rows = write_examples(folder / "rows.tsv", task, small_examples(task, count=24))
    files = {
        "train_file": rows,
        "dev_file": rows,
        "split": "90/10/0",
        "max_tokens": 16,
    }
    training = {"batch_size": 8, "epochs": STEPS / 3, "learning_rate": 3e-3}
    names = {name: str(folder / name.replace("model", "student")) for name in ("model", "teacher")}
    given = {"task": "custom", **files, **training, **names, "compress": compress, **changes}
    return CompressOptions(**given)
