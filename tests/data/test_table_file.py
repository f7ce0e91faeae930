import gzip
import io
import json

import pytest

from tests.shared_data import SHARED_DATA, needs_shared_data
from tf_efficientbert.data.table_file import read_table
from tf_efficientbert.errors import UserError

_ROWS = [{"text": "good, really", "label": "1"}, {"text": "so; so", "label": "0"}]


def _parquet() -> bytes:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    file = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(_ROWS), file)
    return file.getvalue()


def _content(extension: str) -> bytes:
    tabs = b"text\tlabel\ngood, really\t1\nso; so\t0\n"
    lines = "".join(json.dumps(row) + "\n" for row in _ROWS).encode()
    return {
        "csv": b'text,label\n"good, really",1\nso; so,0\n',
        "tsv": tabs,
        "tab": tabs,
        "txt": tabs,
        "jsonl": lines,
        "ndjson": lines,
        "json": json.dumps(_ROWS).encode(),
    }.get(extension) or _parquet()


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    "extension", ["csv", "tsv", "tab", "txt", "jsonl", "ndjson", "json", "parquet"]
)
def test_the_same_rows_are_read_from_each_format(tmp_path, extension, packed):
    path = tmp_path / (f"rows.{extension}" + ".gz" * packed)
    content = _content(extension)
    path.write_bytes(gzip.compress(content) if packed else content)
    table = read_table(path)
    assert table.path == str(path)
    assert table.columns == ("text", "label")
    assert [row.values for row in table.rows] == _ROWS
    assert table.bad_rows == ()
    assert len(table.notes) >= 1


@pytest.mark.parametrize("extension", ["csv", "tsv", "jsonl", "json"])
@pytest.mark.parametrize(
    "change",
    [
        lambda content: b"\xef\xbb\xbf" + content,
        lambda content: content.replace(b"\n", b"\r\n"),
        lambda content: content.removesuffix(b"\n"),
        lambda content: content + b"\n \n",
    ],
    ids=["byte order mark", "CRLF", "no last newline", "blank lines at the end"],
)
def test_byte_order_marks_and_line_ends_do_not_change_the_table(tmp_path, extension, change):
    path = tmp_path / f"rows.{extension}"
    path.write_bytes(change(_content(extension)))
    assert [row.values for row in read_table(path).rows] == _ROWS


def test_an_extension_in_capitals_is_known(tmp_path):
    path = tmp_path / "ROWS.CSV"
    path.write_bytes(_content("csv"))
    assert len(read_table(path).rows) == 2


@pytest.mark.parametrize("name", ["rows.xlsx", "rows", "rows.gz", "rows.csv.zip"])
def test_the_error_for_an_unknown_extension_lists_the_known_ones(tmp_path, name):
    with pytest.raises(UserError, match=rf"{name}: .*\.csv, .*\.parquet, .*\.gz"):
        read_table(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "content"),
    [("rows.csv", b"text,label\n"), ("rows.tsv", b"text\n\n"), ("rows.json", b"[]")],
)
def test_a_file_without_rows_is_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=f"{name}: holds no rows"):
        read_table(tmp_path / name)


def test_a_file_with_only_bad_rows_is_read(tmp_path):
    (tmp_path / "rows.jsonl").write_text("text\n")
    table = read_table(tmp_path / "rows.jsonl")
    assert table.rows == () and len(table.bad_rows) == 1


def test_another_encoding_is_an_error_unless_it_is_named(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes("text,label\nit’s,1\n".encode("cp1252"))
    with pytest.raises(UserError, match="line 2: not utf-8: byte 0x92 .*--encoding=cp1252"):
        read_table(path)
    assert read_table(path, encoding="cp1252").rows[0].values["text"] == "it’s"


def test_a_delimiter_can_be_named(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("text|label\ngood, really|1\n")
    assert read_table(path, delimiter="|").columns == ("text", "label")


@needs_shared_data
@pytest.mark.parametrize("name", ["MRPC", "QNLI", "RTE", "SST-2", "STS-B", "WNLI"])
def test_quotes_in_glue_files_are_literal(name):
    path = SHARED_DATA / "glue" / name / "dev.tsv"
    lines = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n").rstrip("\n").split("\n")
    table = read_table(path)
    assert [list(row.values.values()) for row in table.rows] == [
        line.split("\t") for line in lines[1:]
    ]
    assert table.bad_rows == ()
