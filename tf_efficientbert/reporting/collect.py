"""What there is to report on in a folder, finished or not."""

import json
from pathlib import Path

from tf_efficientbert.errors import UserError
from tf_efficientbert.search.study import STUDY, Study

__all__ = ["collect"]


def collect(folder: str | Path, report: dict | None = None) -> dict:
    """Reads what a search or a run of the whole road has left in `folder` so far.

    Args:
        report: what report.json says or will say; read from there by default.

    Returns: the dict that `page` takes.

    Raises:
        UserError: there is no study in `folder`, or it is damaged.
    """
    folder = Path(folder)
    journals = [path for path in (folder / STUDY, folder / "search" / STUDY) if path.is_file()]
    if not journals:
        raise UserError(f"{folder}: no {STUDY} in it or in its folder search: nothing to report on")
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
        raise UserError(f"{path} is no JSON: {error}") from error
