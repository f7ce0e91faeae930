import pytest

from tf_efficientbert.data.delimiter import delimiter_name, find_delimiter, named_delimiter
from tf_efficientbert.errors import UserError


@pytest.mark.parametrize(
    ("name", "delimiter"),
    [("tab", "\t"), ("\\t", "\t"), ("\t", "\t"), ("comma", ","), ("semicolon", ";"), ("|", "|")],
)
def test_a_delimiter_is_named_by_a_word_or_by_itself(name, delimiter):
    assert named_delimiter(name) == delimiter


@pytest.mark.parametrize("name", ["pipe", ", ", '"', "\n"])
def test_an_invalid_delimiter_is_an_error(name):
    with pytest.raises(UserError, match="--delimiter=.* cannot separate fields; give tab"):
        named_delimiter(name)


def test_delimiters_have_names():
    assert [delimiter_name(sign) for sign in "\t,;|"] == ["tab", "comma", "semicolon", "'|'"]


@pytest.mark.parametrize("usual", ["\t", ","])
@pytest.mark.parametrize(
    ("text", "delimiter"),
    [
        ("text,label\ngood; really\t,1\nbad,0\n", ","),
        ("text;label\ngood, really;1\nso, so, so;0\n", ";"),
        ("text\tlabel, as it is\ngood, really\t1\nso, so, so\t0\n", "\t"),
        ('"text, or so";label\n"a;b";1\n', ";"),
        ('text,label\n"two; lines\nof; text",1\n"so",0\n', ","),
        ("text,label\n" + "good,1\n" * 9 + "one, two, three,0\n", ","),
    ],
    ids=["comma", "semicolon", "tab", "quoted header", "line break", "a bad row"],
)
def test_the_delimiter_is_the_one_that_fits_header_and_rows(text, delimiter, usual):
    assert find_delimiter(text, usual) == delimiter


def test_a_single_column_gets_the_extension_s_delimiter():
    assert find_delimiter("text\ngood\nbad\n", ",") == ","
    assert find_delimiter("text\ngood\nbad\n", "\t") == "\t"
    assert find_delimiter("text\n", ";") == ";"


def test_a_single_column_of_sentences_is_not_cut_at_its_commas():
    assert find_delimiter("text\ngood, really\nbad, bad, bad\n", ",") != ","


def test_a_header_that_fits_no_row_is_split_by_the_extension_s_delimiter():
    assert find_delimiter("text,label\ngood, really,1\nso, so,0\n", ",") == ","
