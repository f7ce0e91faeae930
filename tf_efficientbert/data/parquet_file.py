"""Reads Parquet files with pyarrow, an optional dependency."""

import decimal

from tf_efficientbert.data.tabular import Table, table_of_objects
from tf_efficientbert.errors import UserError, first_line

__all__ = ["read_parquet"]


def read_parquet(path: str, content: bytes) -> Table:
    """Reads the content of a Parquet file.

    Args:
        path: the file, for messages.
        content: its bytes.

    Returns:
        The table; its line numbers count the records from 1.

    Raises:
        UserError: pyarrow is not installed; the content is not Parquet, or repeats a column name.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise UserError(
            f"{path}: reading Parquet needs pyarrow; "
            'install it with: pip install "tf-efficientbert[parquet]"'
        ) from None
    if not content:
        raise UserError(f"{path}: the file is empty; expected a Parquet file")
    try:
        table = parquet.ParquetFile(pyarrow.BufferReader(content)).read()
        table.validate(full=True)  # a string column may contain bytes that are not UTF-8
    except (pyarrow.ArrowException, OSError) as error:
        raise UserError(f"{path}: cannot be read as Parquet: {first_line(error)}") from None
    names = table.column_names
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        problem = f"the column name {repeated[0]!r} is repeated"
        raise UserError(f"{path}: {problem}; give each column its own")
    columns, notes = {}, ["Parquet"]
    for name in names:
        try:
            columns[name] = [_plain(value) for value in table.column(name).to_pylist()]
        except (pyarrow.ArrowException, ValueError, OverflowError) as error:
            notes.append(f"column {name!r} is left out: {first_line(error)}")
    records = (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))
    return table_of_objects(path, enumerate(records, start=1), (), tuple(notes))


def _plain(value: object) -> object:
    """Converts decimal numbers to int or float."""
    if not isinstance(value, decimal.Decimal):
        return value
    return int(value) if value == value.to_integral_value() else float(value)
