"""Reads JSON files of records: one object per line, or an array of objects."""

from tf_efficientbert.data.tabular import BadRow, Table, table_of_objects
from tf_efficientbert.data.text_file import parse_json, shown
from tf_efficientbert.errors import UserError

__all__ = ["read_json_array", "read_json_lines"]


def read_json_lines(path: str, text: str) -> Table:
    r"""Reads a text of one JSON object per line; drops trailing blank lines.

    Args:
        path: the file, for messages.
        text: its text, lines ended by `\n`.

    Returns:
        The table. A line that is not a JSON object is a bad row.

    Raises:
        UserError: the file is empty.
    """
    if not text.strip():
        raise UserError(f"{path}: the file is empty; expected a JSON object in each line")
    objects, bad_rows = [], []
    for number, line in enumerate(text.rstrip().split("\n"), start=1):
        if not line.strip():
            bad_rows.append(BadRow(number, "empty line"))
            continue
        try:
            value = parse_json(path, line, number)
        except UserError as error:
            reason = str(error).removeprefix(f"{path}, line {number}: ")
            bad_rows.append(BadRow(number, f"{reason}: {shown(line)}"))
            continue
        _sort_in(number, value, objects, bad_rows)
    return table_of_objects(path, objects, bad_rows, ("one JSON object per line",), "line")


def read_json_array(path: str, text: str) -> Table:
    """Reads a JSON array of objects.

    Args:
        path: the file, for messages.
        text: its text.

    Returns:
        The table; its line numbers count the elements from 1. An element that is not an object is
        a bad row.

    Raises:
        UserError: the text is empty, not JSON or not an array.
    """
    if not text.strip():
        raise UserError(f"{path}: the file is empty; expected a JSON array of objects")
    try:
        array = parse_json(path, text)
    except UserError as error:
        if "Extra data" not in str(error):
            raise
        raise UserError(f"{error}; a file of one object per line must be named .jsonl") from None
    if not isinstance(array, list):
        raise UserError(
            f"{path}: expected a JSON array of objects, found {_described(array)}; "
            'pandas writes such an array with to_json(orient="records")'
        )
    objects, bad_rows = [], []
    for number, value in enumerate(array, start=1):
        _sort_in(number, value, objects, bad_rows)
    return table_of_objects(path, objects, bad_rows, ("a JSON array",))


def _sort_in(
    number: int,
    value: object,
    objects: list[tuple[int, dict[str, object]]],
    bad_rows: list[BadRow],
) -> None:
    if isinstance(value, dict):
        objects.append((number, value))
    else:
        bad_rows.append(BadRow(number, f"not a JSON object: {shown(value)}"))


def _described(value: object) -> str:
    return f"an object with the keys {shown(list(value))}" if isinstance(value, dict) else "a value"
