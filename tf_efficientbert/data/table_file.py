"""Reads table files: CSV, TSV, JSON lines, JSON arrays and Parquet."""

from pathlib import Path

from tf_efficientbert.data.delimited_file import read_delimited
from tf_efficientbert.data.encoded_text import decoded, read_bytes
from tf_efficientbert.data.json_file import read_json_array, read_json_lines
from tf_efficientbert.data.parquet_file import read_parquet
from tf_efficientbert.data.tabular import BadRow, Row, Table
from tf_efficientbert.errors import UserError

__all__ = ["BadRow", "Row", "Table", "read_table"]

_USUAL_DELIMITERS = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".txt": ","}
_JSON_READERS = {".jsonl": read_json_lines, ".ndjson": read_json_lines, ".json": read_json_array}
_EXTENSIONS = (*_USUAL_DELIMITERS, *_JSON_READERS, ".parquet")


def read_table(path: str | Path, *, delimiter: str = "", encoding: str = "utf-8") -> Table:
    """Reads a table file in the format of its extension, which .gz may follow.

    Args:
        path: the file: .csv, .tsv, .tab or .txt (delimited, column names in the first line);
            .jsonl or .ndjson (one object per line); .json (an array of objects); or .parquet.
        delimiter: of delimited files: tab, comma, semicolon or a character; "" detects it.
        encoding: of text files.

    Returns:
        The table; records that cannot be used are its bad rows.

    Raises:
        UserError: the extension is unknown; the file cannot be read or decoded, is damaged, is
            empty, or has no rows; its column names are invalid.
    """
    extension = Path(str(path).lower().removesuffix(".gz")).suffix
    if extension not in _EXTENSIONS:
        known = ", ".join(_EXTENSIONS)
        raise UserError(
            f"{path}: the extension does not name a known format; "
            f"expected one of {known}, or one of these followed by .gz"
        )
    table = _read(str(path), extension, delimiter, encoding)
    if not table.rows and not table.bad_rows:
        raise UserError(f"{path}: holds no rows; check that this is the right file")
    return table


def _read(path: str, extension: str, delimiter: str, encoding: str) -> Table:
    content = read_bytes(path)
    if extension == ".parquet":
        return read_parquet(path, content)
    text = decoded(path, content, encoding)
    if extension in _JSON_READERS:
        return _JSON_READERS[extension](path, text)
    return read_delimited(path, text, _USUAL_DELIMITERS[extension], delimiter)
