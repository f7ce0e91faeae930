"""The flags that say how a file of examples is to be read."""

import dataclasses

from tf_efficientbert.errors import UserError
from tf_efficientbert.options import option

__all__ = ["FileOptions"]

_BAD_ROWS = ("error", "skip")


@dataclasses.dataclass(frozen=True, kw_only=True)
class FileOptions:
    """How the user's own files are read; what is left empty is found out from the file."""

    text_column: str = option("", "column of the text; empty: found by its name")
    second_text_column: str = option("", "column of the second text, where examples are pairs")
    label_column: str = option(
        "", "column of the label; a,b,c for several columns of 0 and 1, a label each"
    )
    id_column: str = option("", "column of the examples' names")
    delimiter: str = option("", "between columns: tab, comma, semicolon or a character")
    encoding: str = option("utf-8", "of text files, such as cp1252 or utf-16")
    bad_rows: str = option(
        "error", "rows that can't be used: error stops and names them, skip counts and lists them"
    )

    def __post_init__(self) -> None:
        if self.bad_rows not in _BAD_ROWS:
            raise UserError(f"--bad_rows={self.bad_rows}: expected {' or '.join(_BAD_ROWS)}")
