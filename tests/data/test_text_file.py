import pytest
from hypothesis import given
from hypothesis import strategies as st

from tf_efficientbert.data.text_file import (
    read_json,
    read_lines,
    shown,
    without_trailing_blanks,
)
from tf_efficientbert.errors import UserError

# Characters at which str.splitlines would break a line.
_NOT_LINE_ENDS = "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"


def _write(folder, content: bytes):
    path = folder / "file.txt"
    path.write_bytes(content)
    return path


def test_only_newlines_end_a_line(tmp_path):
    text = f"one{_NOT_LINE_ENDS}still one\r\ntwo\rstill two\nthree"
    path = _write(tmp_path, text.encode("utf-8"))
    assert list(read_lines(path)) == [
        (1, f"one{_NOT_LINE_ENDS}still one"),
        (2, "two\rstill two"),
        (3, "three"),
    ]


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\n\r\0\ufeff"))))
def test_written_lines_are_read_back(tmp_path_factory, lines):
    content = "".join(line + "\n" for line in lines).encode("utf-8")
    path = _write(tmp_path_factory.mktemp("lines"), content)
    assert list(read_lines(path)) == list(enumerate(lines, start=1))


def test_a_byte_order_mark_is_dropped_from_the_first_line_only(tmp_path):
    path = _write(tmp_path, b"\xef\xbb\xbfone\n\xef\xbb\xbftwo\n")
    assert list(read_lines(path)) == [(1, "one"), (2, "\ufefftwo")]


def test_an_empty_file_has_no_lines(tmp_path):
    assert list(read_lines(_write(tmp_path, b""))) == []


def test_lines_are_streamed(tmp_path):
    lines = read_lines(_write(tmp_path, b"good\n\xff\n"))
    assert next(lines) == (1, "good")
    with pytest.raises(UserError):
        next(lines)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"ab\ncd\xe9f\n", "line 2: not UTF-8: byte 0xe9 at offset 5"),
        (b"\xef\xbb\xbfa\xff\n", "line 1: not UTF-8: byte 0xff at offset 4"),
        ("a\n".encode("utf-16"), "line 1: not UTF-8: byte 0xff at offset 0"),
        (b"ab\ncd\x00\n", "line 2: NUL character at column 3"),
    ],
    ids=["latin-1", "after a byte order mark", "utf-16", "NUL"],
)
def test_errors_for_invalid_text_name_file_line_and_offset(tmp_path, content, message):
    path = _write(tmp_path, content)
    with pytest.raises(UserError) as error:
        list(read_lines(path))
    assert str(error.value).startswith(f"{path}, {message}")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="absent.txt: no such file"):
        list(read_lines(tmp_path / "absent.txt"))


def test_a_directory_in_place_of_a_file_is_named(tmp_path):
    with pytest.raises(UserError, match=f"{tmp_path}: is a directory"):
        list(read_lines(tmp_path))


def test_only_trailing_blank_lines_are_dropped(tmp_path):
    lines = read_lines(_write(tmp_path, b"one\n\ntwo\n  \n\n"))
    assert list(without_trailing_blanks(lines)) == [(1, "one"), (2, ""), (3, "two")]


def test_a_json_file_is_read(tmp_path):
    assert read_json(_write(tmp_path, b'\xef\xbb\xbf{"a":\r\n [1, "\xc3\xa9"]}')) == {"a": [1, "é"]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": 1,\n "b" 2}', r"line 2: not valid JSON: .* at column 6"),
        (b"", "line 1: not valid JSON"),
        (b"[" * 100_000, "line 1: JSON cannot be read"),
        (b"9" * 5000, "line 1: JSON cannot be read"),
    ],
    ids=["broken", "empty", "too deep", "number too long"],
)
def test_broken_json_is_named_by_its_line(tmp_path, content, message):
    with pytest.raises(UserError, match=message):
        read_json(_write(tmp_path, content))


def test_a_value_in_a_message_is_one_short_line():
    assert shown("a\nb") == r"'a\nb'"
    assert len(shown("long " * 100)) == 80
