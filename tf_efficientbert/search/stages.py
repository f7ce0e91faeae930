"""The stages of the search as data (Dong et al. 2021, arXiv 2109.07222, section 3.4)."""

import dataclasses
import json
import math
import re

from tf_efficientbert.data.text_file import read_lines
from tf_efficientbert.errors import UserError

__all__ = ["RECIPES", "Stage", "Training", "read_stages"]

# What each stage searches; the rest is taken from the best candidate of the stage before.
_SEARCHED = (("stack", "ratio", "formula"), ("formula",), ("stack", "ratio"))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Training:
    """How to train a candidate, or the shared supernet, from warmed-up weights.

    It learns first on raw text from the teacher before fine-tuning, then on the task from the
    fine-tuned teacher.

    Attributes:
        text_share: share of the corpus; 0 for no training on text.
        task_share: share of the task's training examples that are not held out.
        text_epochs, task_epochs: passes over these shares.
        text_learning_rate, task_learning_rate: peaks of linear warm-up and decay.
        batch_size: examples per step.
    """

    text_share: float
    text_epochs: float
    text_learning_rate: float
    task_share: float
    task_epochs: float
    task_learning_rate: float
    batch_size: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage: what it searches, how many candidates it tries and how it scores them.

    Attributes:
        name: its name on disk and in reports.
        searched: what it chooses in each layer: "stack", "ratio", "formula".
        candidates: number of distinct candidates.
        random_candidates: candidates that must have a score before the first fit of the action
            space, or the first parent of evolution; the rest of the current group is still random.
        refit_every: scored candidates between two fits of the action space.
        exploration: weight of the action space's upper confidence term; 0 for none.
        tuning_rounds: of the classifiers' parameters, at every fit; 0 for none.
        max_draws: draws in search of a candidate inside the action space's region.
        held_out: share of the task's training set that scores candidates instead of training
            them. As raw text, these examples may be in the corpus.
        training: of a candidate or of the shared supernet.
        min_parameters, max_parameters: bounds on a candidate as in `Budget`, if the stage searches
            stack and ratio; 0 for the search's bounds.
    """

    name: str
    searched: tuple[str, ...]
    candidates: int
    random_candidates: int
    refit_every: int
    exploration: float
    tuning_rounds: int
    max_draws: int
    held_out: float
    training: Training
    min_parameters: int = 0
    max_parameters: int = 0

    @property
    def shares_weights(self) -> bool:
        """Whether candidates are slices of one supernet, which trains a random slice per step.

        Formulas cannot be sliced: a stage that searches them trains each candidate.
        """
        return "formula" not in self.searched


_PAPER_CANDIDATE = Training(
    text_share=0.02,
    text_epochs=1.0,
    text_learning_rate=1e-4,
    task_share=0.1,
    task_epochs=3.0,
    task_learning_rate=4e-4,
    batch_size=64,
)
_PAPER_SUPERNET = Training(
    text_share=1.0,
    text_epochs=10.0,
    text_learning_rate=1e-4,
    task_share=1.0,
    task_epochs=10.0,
    task_learning_rate=4e-4,
    batch_size=64,
)
# For 2,000 sentences and two CPU cores, on which a hundred steps take 10 to 20 seconds.
_QUICK_CANDIDATE = Training(
    text_share=0.02,
    text_epochs=1.0,
    text_learning_rate=5e-4,
    task_share=0.4,
    task_epochs=2.0,
    task_learning_rate=1e-3,
    batch_size=32,
)
_QUICK_SUPERNET = Training(
    text_share=0.1,
    text_epochs=1.0,
    text_learning_rate=5e-4,
    task_share=1.0,
    task_epochs=3.0,
    task_learning_rate=1e-3,
    batch_size=32,
)


def _recipe(
    counts: tuple[int, int, int], held_out: tuple[float, float, float], trainings, **common
):
    names = ("joint", "formulas", "sizes")
    return tuple(
        Stage(
            name=name,
            searched=searched,
            candidates=count,
            held_out=share,
            training=training,
            **common,
        )
        for name, searched, count, share, training in zip(
            names, _SEARCHED, counts, held_out, trainings, strict=True
        )
    )


# The numbers of candidates are this project's: paper and reference code do not give any.
RECIPES = {
    "paper": _recipe(
        (400, 400, 2000),
        (0.01, 0.01, 0.1),
        (_PAPER_CANDIDATE, _PAPER_CANDIDATE, _PAPER_SUPERNET),
        random_candidates=80,
        refit_every=10,
        exploration=1.0,
        tuning_rounds=10,
        max_draws=20_000,
    ),
    "quick": _recipe(
        (10, 10, 40),
        (0.25, 0.25, 0.25),
        (_QUICK_CANDIDATE, _QUICK_CANDIDATE, _QUICK_SUPERNET),
        random_candidates=6,
        refit_every=4,
        exploration=1.0,
        tuning_rounds=0,
        max_draws=500,
    ),
}


def read_stages(name: str) -> tuple[Stage, ...]:
    """Returns the three stages of a recipe, or of a JSON file with a list of three objects.

    The objects have the attributes of `Stage` except `searched`, which follows from their order.

    Raises:
        UserError: the name is unknown, the file unreadable, or a key or value invalid; the message
            names the stage and the key.
    """
    if name in RECIPES:
        return RECIPES[name]
    if not name.endswith(".json"):
        known = ", ".join(RECIPES)
        raise UserError(f"--stages={name}: expected {known} or a .json file")
    try:
        given = json.loads("\n".join(line for _, line in read_lines(name)))
    except json.JSONDecodeError as error:
        raise UserError(f"--stages={name} is not JSON: {error}") from error
    if not isinstance(given, list) or len(given) != len(_SEARCHED):
        raise UserError(f"--stages={name}: expected a list of {len(_SEARCHED)} stages")
    stages = []
    for number, (stage, searched) in enumerate(zip(given, _SEARCHED, strict=True), start=1):
        where = f"--stages={name}: stage {number}"
        if not isinstance(stage, dict) or "searched" in stage:
            raise UserError(f"{where}: expected an object without the key searched")
        training = _build(Training, stage.get("training"), f"{where}, training")
        given_fields = {**stage, "training": training, "searched": searched}
        stages.append(_checked(_build(Stage, given_fields, where), where))
    if len({stage.name for stage in stages}) < len(stages):
        raise UserError(f"--stages={name}: two stages have the same name")
    return tuple(stages)


def _build(kind: type, values, where: str):
    """Builds a dataclass from a JSON object; checks keys and types."""
    if not isinstance(values, dict):
        raise UserError(f"{where}: expected an object with the keys of {kind.__name__}")
    types = {field.name: field.type for field in dataclasses.fields(kind)}
    optional = {f.name for f in dataclasses.fields(kind) if f.default is not dataclasses.MISSING}
    missing, unknown = sorted(set(types) - set(values) - optional), sorted(set(values) - set(types))
    if missing or unknown:
        problems = [f"lacks the keys {', '.join(missing)}"] if missing else []
        problems += [f"has unknown keys {', '.join(unknown)}"] if unknown else []
        raise UserError(f"{where} {' and '.join(problems)}")
    for key, value in values.items():
        expected = types[key]
        if expected is float and type(value) is int:
            values = {**values, key: float(value)}
        elif isinstance(expected, type) and type(value) is not expected:
            raise UserError(f"{where}: {key} is {value!r}, expected {expected.__name__}")
    return kind(**values)


def _checked(stage: Stage, where: str) -> Stage:
    """Returns the stage; raises UserError for a value that is out of range."""
    if not re.fullmatch(r"[\w-]+", stage.name):  # it names a folder
        raise UserError(f"{where}: name is {stage.name!r}, expected letters, digits, - and _")
    training = stage.training
    at_least = {
        "candidates": (stage.candidates, 1),
        "random_candidates": (stage.random_candidates, 2),
        "refit_every": (stage.refit_every, 1),
        "exploration": (stage.exploration, 0.0),
        "tuning_rounds": (stage.tuning_rounds, 0),
        "max_draws": (stage.max_draws, 1),
        "min_parameters": (stage.min_parameters, 0),
        "max_parameters": (stage.max_parameters, 0),
        "batch_size": (training.batch_size, 1),
        "text_epochs": (training.text_epochs, 0.0),
    }
    for key, (value, least) in at_least.items():
        if not (value >= least and math.isfinite(value)):
            raise UserError(f"{where}: {key} is {value}, expected {least} or more")
    for key in ("text_learning_rate", "task_learning_rate", "task_epochs"):
        value = getattr(training, key)
        if not (value > 0 and math.isfinite(value)):
            raise UserError(f"{where}: {key} is {value}, expected a number above 0")
    for key, value in (("text_share", training.text_share), ("task_share", training.task_share)):
        if not 0 <= value <= 1:
            raise UserError(f"{where}: {key} is {value}, expected a number from 0 to 1")
    if not training.task_share:
        raise UserError(f"{where}: task_share is 0, but only training on the task gives scores")
    if (stage.min_parameters or stage.max_parameters) and "stack" not in stage.searched:
        raise UserError(
            f"{where}: remove min_parameters and max_parameters; a stage that searches only "
            "formulas keeps the sizes of the stage before"
        )
    if not 0 < stage.held_out < 1:
        raise UserError(f"{where}: held_out is {stage.held_out}, expected a number between 0 and 1")
    return stage
