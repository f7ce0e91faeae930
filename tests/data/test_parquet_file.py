import io
import sys

import pytest

from tf_efficientbert.data.parquet_file import read_parquet
from tf_efficientbert.data.tabular import BadRow, Row
from tf_efficientbert.errors import UserError


def _written(columns: dict) -> bytes:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    file = io.BytesIO()
    table = pyarrow.Table.from_arrays(list(map(pyarrow.array, columns.values())), list(columns))
    parquet.write_table(table, file)
    return file.getvalue()


def test_columns_keep_their_types():
    columns = {"text": ["a\u2028", None], "stars": [3, 4], "topics": [["x"], []]}
    table = read_parquet("f.parquet", _written(columns))
    assert table.rows == (
        Row(1, {"text": "a\u2028", "stars": 3, "topics": ["x"]}),
        Row(2, {"text": None, "stars": 4, "topics": []}),
    )


def test_rows_with_nul_characters_are_bad_rows():
    table = read_parquet("f.parquet", _written({"text": ["a", "b\0"]}))
    assert table.bad_rows == (BadRow(2, "holds a NUL character"),)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: b"", "f.parquet: the file is empty"),
        (lambda content: b"text,label\na,1\n", "f.parquet: cannot be read as Parquet: "),
        (lambda content: content[: len(content) // 2], "f.parquet: cannot be read as Parquet: "),
    ],
    ids=["empty", "text", "cut"],
)
def test_a_file_that_is_not_parquet_is_an_error(damage, message):
    with pytest.raises(UserError, match=message):
        read_parquet("f.parquet", damage(_written({"text": ["a", "b"]})))


def test_a_repeated_column_name_is_an_error():
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    file = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_arrays([pyarrow.array(["a"])] * 2, ["x", "x"]), file)
    with pytest.raises(UserError, match="f.parquet: the column name 'x' is repeated"):
        read_parquet("f.parquet", file.getvalue())


def test_without_pyarrow_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match=r'pip install "tf-efficientbert\[parquet\]"'):
        read_parquet("f.parquet", b"PAR1")
