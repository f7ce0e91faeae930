"""Flags for reading files of examples."""

import dataclasses

from tf_efficientbert.errors import UserError
from tf_efficientbert.options import option

__all__ = ["FileOptions"]

_BAD_ROWS = ("error", "skip")


@dataclasses.dataclass(frozen=True, kw_only=True)
class FileOptions:
    """Options for reading the user's files; empty ones are detected from the file."""

    text_column: str = option("", "column of the text; empty: detected by name")
    second_text_column: str = option("", "column of the second text, if examples are pairs")
    label_column: str = option(
        "", "the label's column; a,b,c for several columns of 0 and 1, one per label"
    )
    id_column: str = option("", "column of the examples' ids")
    delimiter: str = option(
        "", "column delimiter: tab, comma, semicolon or a character; empty: detected"
    )
    encoding: str = option("utf-8", "encoding of text files, e.g. cp1252 or utf-16")
    bad_rows: str = option(
        "error", "what to do with unusable rows: error (stop and name them) or skip (list them)"
    )

    def __post_init__(self) -> None:
        if self.bad_rows not in _BAD_ROWS:
            raise UserError(f"--bad_rows={self.bad_rows}: expected {' or '.join(_BAD_ROWS)}")
