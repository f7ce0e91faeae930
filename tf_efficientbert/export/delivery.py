"""A SavedModel version gets its number only when it says what the Keras model says."""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tf_efficientbert.data.task import Examples
from tf_efficientbert.errors import UserError
from tf_efficientbert.export.agreement import require_agreement
from tf_efficientbert.export.parity import KERAS
from tf_efficientbert.export.saved_model import next_version, write_model_card, write_version
from tf_efficientbert.models.text_model import TextModel
from tf_efficientbert.storage import replaced_directory, write_json

_RECORD = "version.json"


@dataclasses.dataclass(frozen=True)
class Comparison:
    """How a version is compared with the Keras model, and what it may differ by.

    Attributes:
        forms: of a version's path gives a report by form, see `parity`.
        split, examples: what text it is compared on, and how much.
        metrics: the scores in the report; the first is what `max_int8_loss` is about.
        max_float_difference, max_int8_loss: see `require_agreement`.
    """

    forms: Callable[[Path], dict[str, dict]]
    split: str
    examples: int
    metrics: Sequence[str]
    max_float_difference: float
    max_int8_loss: float

    def require(self, forms: Mapping[str, Mapping[str, float]]) -> None:
        """Raises UserError where a form strays too far."""
        limits = self.max_float_difference, self.max_int8_loss
        require_agreement(forms, self.metrics[0], *limits)


def deliver(
    model: TextModel, job: Path, folder: Path, warm_up: Examples, comparison: Comparison
) -> tuple[Path, dict]:
    """Writes the next version of the MODEL `folder`; returns its path and the report by form.

    The report is kept in `job`/parity.json, whether it is passed or not, and in the version's
    assets.extra. If a process was killed when the version already had its number, that one is
    compared again.

    Args:
        model: what is exported.
        job: the job's folder.
        folder: the MODEL folder.
        warm_up: text for requests that a server runs at the start.

    Raises:
        UserError: a form strays too far; the folder cannot be written, or the disk is full.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror}") from error
    version, is_whole = _version(job / _RECORD, folder)
    if is_whole:
        return version, _compared(version, job, comparison)["forms"]
    with replaced_directory(version) as new:
        name = version.parent.name
        write_version(model, new, name, warm_up)
        report = _compared(new, job, comparison)
        write_model_card(model, new, name, _scores(comparison, report["forms"][KERAS]))
        write_json(new / "assets.extra" / "parity.json", report)
    return version, report["forms"]


def _version(record: Path, folder: Path) -> tuple[Path, bool]:
    """The version to export, and whether it is there: one that a killed process finished.

    Which one it is stands in `record` before it gets its name.
    """
    if record.exists():
        version = Path(json.loads(record.read_text("utf-8")))
        if version.exists():
            return version, True
    version = next_version(folder)
    write_json(record, str(version))
    return version, False


def _compared(version: Path, job: Path, comparison: Comparison) -> dict:
    forms = comparison.forms(version)
    report = {"split": comparison.split, "examples": comparison.examples, "forms": forms}
    write_json(job / "parity.json", report)
    comparison.require(forms)
    return report


def _scores(comparison: Comparison, keras: Mapping[str, float]) -> dict[str, str]:
    """The model card's lines."""
    where = f"on the {comparison.examples:,} examples of the {comparison.split} set"
    return {f"{metric} {where}": f"{keras[metric]:.4f}" for metric in comparison.metrics}
