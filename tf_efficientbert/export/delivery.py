"""Writes a SavedModel version, and publishes it only if it agrees with the Keras model."""

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

    The report goes to `job`/parity.json, even if a form exceeds its limit, and to the version's
    assets.extra. If a killed process of this job already delivered a version, returns that one.

    Args:
        model: the model to export.
        job: the job's folder.
        folder: the MODEL folder.
        warm_up: text for the requests that a server runs at its start.
        compare: takes a version's path and returns the report: {"split", "examples" (how many),
            "forms": figures by form, see `parity`}.
        metrics: scores for the model card; the first one limits int8.
        limits: limits on the difference from the Keras model.

    Raises:
        UserError: a form exceeds its limit, see `require_agreement`; the disk is full.
    """
    earlier = _delivered(job)
    if earlier:
        report = _read(job / _REPORT)
        require_agreement(report["forms"], metrics[0], limits)
        return earlier, report
    # The lock lets several jobs share a MODEL folder without taking the same version number.
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
    """Returns the recorded version of this job, if it holds this job's report."""
    if not (job / _RECORD).exists():
        return None
    version = Path(_read(job / _RECORD))
    report = version / _ASSETS / _REPORT
    return version if report.exists() and _read(report) == _read(job / _REPORT) else None


def _read(path: Path):
    return json.loads(path.read_text("utf-8"))


def _scores(report: dict, metrics: Sequence[str]) -> dict[str, str]:
    """Returns the score lines of the model card."""
    where = f"on the {report['examples']:,} examples of the {report['split']} set"
    keras = report["forms"][KERAS]
    return {f"{metric} {where}": f"{keras[metric]:.4f}" for metric in metrics}
