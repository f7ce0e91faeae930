import gzip

import pytest

from tf_efficientbert.data.encoded_text import decoded, read_bytes
from tf_efficientbert.errors import UserError


@pytest.mark.parametrize("content", [b"", b"one\ntwo", bytes(range(256))])
def test_a_compressed_file_is_decompressed(tmp_path, content):
    (tmp_path / "plain.txt").write_bytes(content)
    (tmp_path / "packed.TXT.GZ").write_bytes(gzip.compress(content))
    assert read_bytes(tmp_path / "plain.txt") == content
    assert read_bytes(tmp_path / "packed.TXT.GZ") == content


@pytest.mark.parametrize("damage", [lambda packed: packed[:-5], lambda packed: b"text,label\n"])
def test_a_damaged_compressed_file_is_named(tmp_path, damage):
    path = tmp_path / "rows.csv.gz"
    path.write_bytes(damage(gzip.compress(b"text,label\ngood,1\n" * 100)))
    with pytest.raises(UserError, match=f"{path}: not a complete gzip file: .*again"):
        read_bytes(path)


def test_a_missing_file_and_a_directory_are_named(tmp_path):
    with pytest.raises(UserError, match="absent.csv: no such file"):
        read_bytes(tmp_path / "absent.csv")
    with pytest.raises(UserError, match=f"{tmp_path}: is a directory"):
        read_bytes(tmp_path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
def test_a_text_is_decoded_from_its_encoding(encoding):
    assert decoded("f", "naïve “é”\n".encode(encoding), encoding) == "naïve “é”\n"


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_byte_order_marks_and_line_ends_are_normalized(mark):
    assert decoded("f", mark + b"a\r\nb\r\n", "utf-8") == "a\nb\n"
    assert decoded("f", mark + b"a\rb\r", "utf-8") == "a\nb\n"
    assert decoded("f", mark + b"a\rb\nc", "utf-8") == "a\rb\nc"


@pytest.mark.parametrize(
    ("content", "encoding", "message"),
    [
        (b"ok\nit\x92s", "utf-8", "line 2: not utf-8: byte 0x92 at offset 5 .*--encoding=cp1252"),
        (b"\xef\xbb\xbf\x92", "utf-8", "line 1: not utf-8: byte 0x92 at offset 3 "),
        ("a\n".encode("utf-16"), "utf-8", "line 1: not utf-8: byte 0xff .*--encoding=utf-16"),
        (b"\n\n\x81", "cp1252", "line 3: not cp1252: byte 0x81 at offset 2 .*--encoding=utf-8"),
        ("a\nb".encode("utf-16-le") + b"c", "utf-16-le", "line 2: not utf-16-le: byte 0x63 at"),
    ],
)
def test_a_byte_of_another_encoding_is_named_with_its_line(content, encoding, message):
    with pytest.raises(UserError, match=f"rows.csv, {message}"):
        decoded("rows.csv", content, encoding)


@pytest.mark.parametrize("encoding", ["latin-99", "rot13", "undefined"])
def test_an_unknown_encoding_is_named(encoding):
    with pytest.raises(UserError, match=f"--encoding={encoding} is not .* utf-8, cp1252"):
        decoded("rows.csv", b"a", encoding)
