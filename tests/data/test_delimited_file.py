import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tf_efficientbert.data.delimited_file import read_delimited
from tf_efficientbert.data.tabular import BadRow
from tf_efficientbert.errors import UserError

_ANY_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
_ENCLOSE = "quotes enclose fields and are not part of the text"


def _read(text, usual="\t", delimiter=""):
    return read_delimited("rows.txt", text, usual, delimiter)


def _texts(table, column="text"):
    return [row.values[column] for row in table.rows]


def _bad_lines(table):
    return [row.line for row in table.bad_rows]


# In a file with quotes, spaces after a delimiter are not part of the field.
_NO_SPACE_FIRST = _ANY_TEXT.map(lambda text: text.lstrip(" "))


@given(
    st.lists(st.tuples(_NO_SPACE_FIRST, _NO_SPACE_FIRST), min_size=1),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    st.sampled_from("\t,;"),
)
def test_output_of_the_csv_module_is_read_back(pairs, quoting, delimiter):
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=delimiter, quoting=quoting, lineterminator="\n")
    # The first row makes sure that every file has quotes as syntax.
    writer.writerows([("text", "label"), (f"a{delimiter}b", "\n"), *pairs])
    table = _read(file.getvalue(), delimiter=delimiter)
    assert [tuple(row.values.values()) for row in table.rows[1:]] == pairs
    assert table.bad_rows == ()


@given(
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters='\0\n\t"'), min_size=1), min_size=1
    )
)
def test_texts_without_quotes_are_read_unchanged(texts):
    table = _read("text\tlabel\n" + "".join(f"{text}\t1\n" for text in texts))
    assert _texts(table) == texts


def test_doubled_quotes_are_one_quote():
    table = _read('text\tlabel\n"she said ""wow"""\t1\n"12"" wide"\t0\nplain\t1\n')
    assert _texts(table) == ['she said "wow"', '12" wide', "plain"]
    assert table.notes == ("tab-separated", _ENCLOSE)


def test_delimiters_and_line_breaks_inside_quotes_are_text():
    table = _read('text,label\n"one, two",1\n"two\nlines",0\nlast,1\n', ",")
    assert _texts(table) == ["one, two", "two\nlines", "last"]
    assert [row.line for row in table.rows] == [2, 3, 5]
    assert table.notes == ("comma-separated", _ENCLOSE)


@pytest.mark.parametrize(
    ("first", "second", "line"),
    [
        ('"unbalanced', "plain", 2),
        ('"quoted" and more', "plain", 2),
        ("plain", 'he said "wow" twice', 3),
        ('"begins here', 'ends here"', 2),
    ],
    ids=["unbalanced", "more after it", "inside a text", "over two lines"],
)
def test_quotes_that_do_not_enclose_fields_are_literal_and_noted(first, second, line):
    table = _read(f"text\tlabel\n{first}\t1\n{second}\t0\n")
    assert _texts(table) == [first, second]
    note = (
        f"quotes are read as literal characters, since in line {line} they do not enclose a field"
    )
    assert table.notes == ("tab-separated", note)


def test_an_inch_sign_does_not_make_enclosing_quotes_literal():
    table = _read('text,label\n"wide, and high",1\n12" screen,0\n', ",")
    assert _texts(table) == ["wide, and high", '12" screen']


def test_a_wrong_quote_is_a_bad_row_if_all_fields_are_quoted():
    rows = "".join(f'"a {i}","b"\n' for i in range(20))
    table = _read('"text","label"\n' + rows + '"a 5" pipe","b"\n', ",")
    assert table.columns == ("text", "label")
    assert (len(table.rows), [row.line for row in table.bad_rows]) == (20, [22])


def test_a_space_after_the_comma_is_ignored():
    table = _read('"text", "label"\n"a, b", "c"\n"d", "e"\n', ",")
    assert [row.values for row in table.rows] == [
        {"text": "a, b", "label": "c"},
        {"text": "d", "label": "e"},
    ]


def test_the_reading_with_fewer_faulty_lines_is_used():
    rows = "".join(f'"text, number {i}",1\n' for i in range(5))
    table = _read(f'text,label\n{rows}"never closed,0\n', ",")
    assert len(table.rows) == 5
    [bad] = table.bad_rows
    assert bad == BadRow(7, "a quote opens a field and no quote closes it: '\"never closed,0'")


def test_an_unclosed_quote_does_not_swallow_rows():
    rows = "".join(f"text {i},1\n" for i in range(20))
    table = _read(f'text,label\n"one, two",1\n"never closed,0\n{rows}', ",")
    assert len(table.rows) == 21
    assert _bad_lines(table) == [2]


def test_rows_of_another_width_are_bad_rows():
    table = _read("text\tlabel\ngood\t1\nbad\nso\tso\t0\n\nfine\t1\n")
    assert _texts(table) == ["good", "fine"]
    assert table.bad_rows == (
        BadRow(3, "1 fields, expected 2: 'bad'"),
        BadRow(4, r"3 fields, expected 2: 'so\tso\t0'"),
        BadRow(5, "empty line"),
    )


def test_blank_lines_at_the_end_are_dropped():
    table = _read("text\tlabel\ngood\t1\n\n  \n\n")
    assert len(table.rows) == 1 and not table.bad_rows


def test_a_row_of_empty_fields_is_a_row():
    assert _read("text\tlabel\ngood\t1\n\t\n").rows[-1].values == {"text": "", "label": ""}


def test_a_single_column_needs_no_delimiter():
    table = _read('text\ngood, really\n\n"so"\n')
    assert _texts(table) == ["good, really", "", "so"]
    assert table.notes[0] == "one column"


def test_an_empty_column_without_a_name_is_dropped():
    table = _read("text\tlabel\t\ngood\t1\t\nbad\t0\t \n")
    assert table.columns == ("text", "label")
    assert table.bad_rows == ()


def test_a_column_without_a_name_but_with_values_gets_one():
    table = _read(",text,\n0,good,x\n1,bad,\n", ",")
    assert table.columns == ("column 1", "text", "column 3")
    assert "a column without a name is called 'column 3'" in table.notes


def test_column_names_are_stripped_and_keep_their_case():
    assert _read(" Text \tLabel \ngood\t1\n").columns == ("Text", "Label")


def test_a_repeated_column_name_is_an_error():
    with pytest.raises(UserError, match="rows.txt, line 1: the column name 'text' is repeated"):
        _read("text\tlabel\ttext \na\tb\tc\n")


@pytest.mark.parametrize("text", ["", "\n \n", " "])
def test_an_empty_file_is_named(text):
    with pytest.raises(UserError, match="rows.txt: the file is empty"):
        _read(text)


@pytest.mark.parametrize("text", ["\ntext\tlabel\na\t1\n", "\t\na\t1\n", ",,\na,b,c\n"])
def test_a_blank_header_is_named(text):
    with pytest.raises(UserError, match="rows.txt, line 1: blank; expected a line of column names"):
        _read(text, delimiter="," if "," in text else "")


def test_unicode_line_separators_and_carriage_returns_are_text():
    signs = "a\x0b\x0c\x1c\x85\u2028\u2029\rz\ue000"
    assert _texts(_read(f"text\tlabel\n{signs}\t1\n")) == [signs]
    assert _texts(_read(f'text\tlabel\n"{signs}\t"\t1\n')) == [f"{signs}\t"]


def test_rows_with_nul_characters_are_bad_rows():
    table = _read("text\tlabel\na\0b\t1\nfine\t0\n")
    assert table.bad_rows == (BadRow(2, r"holds a NUL character: 'a\x00b\t1'"),)


def test_a_header_with_nul_characters_asks_for_the_encoding():
    with pytest.raises(UserError, match="line 1: a NUL character; .*--encoding=utf-16"):
        _read("text\tlabel\ngood\t1\n".encode("utf-16-le").decode("latin-1"))


def test_a_given_delimiter_is_used():
    table = _read("text|label\na, b|1\n", delimiter="|")
    assert table.rows[0].values == {"text": "a, b", "label": "1"}
    assert _read("a,b\tc\n1,2\t3\n", delimiter="comma").columns == ("a", "b\tc")


def test_a_field_may_be_long():
    assert _texts(_read(f"text\tlabel\n{'long ' * 100_000}\t1\n")) == ["long " * 100_000]
