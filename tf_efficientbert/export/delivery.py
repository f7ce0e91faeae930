"""A SavedModel version gets its number only when it says what the Keras model says."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

from tf_efficientbert.data.examples import Examples
from tf_efficientbert.export.agreement import Limits, require_agreement
from tf_efficientbert.export.parity import KERAS
from tf_efficientbert.export.saved_model import next_version, write_model_card, write_version
from tf_efficientbert.models.text_model import TextModel
from tf_efficientbert.storage import file_lock, replaced_directory, write_json

_REPORT, _RECORD = "parity.json", "version.json"
_ASSETS = "assets.extra"


def deliver(
    model: TextModel,
    job: Path,
    folder: Path,
    warm_up: Examples,
    compare: Callable[[Path], dict],
    metrics: Sequence[str],
    limits: Limits,
) -> tuple[Path, dict]:
    """Writes the next version of the MODEL `folder`; returns its path and the report.

    The report is kept in `job`/parity.json, whether it is passed or not, and in the version's
    assets.extra. A version that a killed process of this job delivered is not delivered again.

    Args:
        model: what is exported.
        job: the job's folder.
        folder: the MODEL folder.
        warm_up: text for requests that a server runs at the start.
        compare: of a version's path gives the report: {"split", "examples" (how many), "forms":
            figures by form, see `parity`}.
        metrics: the scores in it; the model card names them, the first is what is limited.
        limits: what a form may differ by.

    Raises:
        UserError: as `require_agreement`; the disk is full.
    """
    earlier = _delivered(job)
    if earlier:
        report = _read(job / _REPORT)
        require_agreement(report["forms"], metrics[0], limits)
        return earlier, report
    # Jobs that share a MODEL folder take its numbers one after the other.
    with file_lock(folder), replaced_directory(version := next_version(folder)) as new:
        name = version.parent.name
        write_version(model, new, name, warm_up)
        report = compare(new)
        write_json(job / _REPORT, report)
        require_agreement(report["forms"], metrics[0], limits)
        write_model_card(model, new, name, _scores(report, metrics))
        write_json(new / _ASSETS / _REPORT, report)
        write_json(job / _RECORD, str(version))
    return version, report


def _delivered(job: Path) -> Path | None:
    """The version that this job delivered: the one on record, if it holds this job's report."""
    if not (job / _RECORD).exists():
        return None
    version = Path(_read(job / _RECORD))
    report = version / _ASSETS / _REPORT
    return version if report.exists() and _read(report) == _read(job / _REPORT) else None


def _read(path: Path):
    return json.loads(path.read_text("utf-8"))


def _scores(report: dict, metrics: Sequence[str]) -> dict[str, str]:
    """The model card's lines."""
    where = f"on the {report['examples']:,} examples of the {report['split']} set"
    keras = report["forms"][KERAS]
    return {f"{metric} {where}": f"{keras[metric]:.4f}" for metric in metrics}
