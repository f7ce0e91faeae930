"""Collects the data of a report from a folder, finished or not."""

import json
from pathlib import Path

from tf_efficientbert.errors import UserError
from tf_efficientbert.reporting.models import PLAIN, PUBLISHED, SEARCHED
from tf_efficientbert.search.study import STUDY, Study

__all__ = ["collect"]


def collect(folder: str | Path, report: dict | None = None) -> dict:
    """Reads the current results of a search or a pipeline run in `folder`.

    Args:
        report: the content of report.json; default: read from there.

    Returns: the argument of `page`.

    Raises:
        UserError: `folder` has no study, or it is damaged.
    """
    folder = Path(folder)
    journals = [path for path in (folder / STUDY, folder / "search" / STUDY) if path.is_file()]
    if not journals:
        raise UserError(f"{folder}: there is no {STUDY} in it or in its folder search")
    histories = sorted(
        (path for path in (*folder.glob("history.json"), *folder.glob("*/history.json"))),
        key=lambda path: path.stat().st_mtime_ns,
    )
    losses = {
        f"{path.parent.name}: {training}": records
        for path in histories
        for training, records in _read(path).items()
    }
    seconds = {
        path.parent.name: _read(path).get("seconds", 0.0)
        for path in sorted(folder.glob("*/result.json"), key=lambda path: path.stat().st_mtime_ns)
    }
    # Students learn side by side: the last one's time is that of all.
    students = [seconds.pop(name) for name in (PLAIN, PUBLISHED, SEARCHED) if name in seconds]
    if students:
        seconds["students"] = max(students)
    found = {
        "title": folder.resolve().name,
        "seconds": seconds,
        "losses": losses,
        "search": {"stages": Study(journals[0], writable=False).described()},
    }
    return {**found, **(_read(folder / "report.json") if report is None else report)}


def _read(path: Path) -> dict:
    try:
        return json.loads(path.read_text("utf-8")) if path.is_file() else {}
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON: {error}") from error
