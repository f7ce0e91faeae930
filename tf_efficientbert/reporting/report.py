"""The job that writes a search's report.html."""

import dataclasses
from pathlib import Path

from tf_efficientbert.errors import UserError
from tf_efficientbert.options import option
from tf_efficientbert.reporting.collect import collect
from tf_efficientbert.reporting.page import page
from tf_efficientbert.storage import write_file

__all__ = ["ReportOptions", "write_report"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """Options of `write_report`."""

    study: str = option("", "output folder of a search or a pipeline")
    output_dir: str = option("", "folder for report.html; empty: the study's folder")

    def __post_init__(self) -> None:
        if not self.study:
            raise UserError("--study is missing: name the folder of a search or a pipeline's run")


def write_report(options: ReportOptions) -> dict:
    """Writes report.html from the current results; the search may still be running.

    Returns: {"report": path, "candidates": {stage: how many}}.

    Raises:
        UserError: the folder has no study, or it is damaged; the disk is full.
    """
    report = collect(options.study)
    path = Path(options.output_dir or options.study) / "report.html"
    try:
        write_file(path, page(report).encode("utf-8"))
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from error
    stages = report["search"]["stages"]
    counts = {stage["name"]: len(stage["candidates"]) for stage in stages}
    return {"report": str(path), "candidates": counts}
