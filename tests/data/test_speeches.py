import pytest

from tf_efficientbert.data import speeches
from tf_efficientbert.data.corpus import split_sentences
from tf_efficientbert.data.speeches import spoken


def test_a_message_is_read_as_paragraphs():
    message = "My fellow citizens:\n\nWe  have peace.\n\nWe have work; and we have hope.\n"
    assert list(spoken(message)) == [
        "My fellow citizens:",
        "We have peace.",
        "We have work; and we have hope.",
    ]


@pytest.mark.parametrize(
    "line",
    [
        "GENERAL REVENUE SHARING",
        "1940 $3. 9 $43. 0 $1. 9",
        "HARRY S. TRUMAN",
        "[Delivered in person before a joint session]",
        "[Recorded on film.] [See APP Note.]",
        "[At this point, the President paused.]",
        "Audience members. Four more years!",
        "Audience member. [Inaudible]",
        "[Laughter]",
    ],
)
def test_lines_that_are_not_the_president_s_are_dropped(line):
    assert list(spoken(f"{line}\n\nWe have peace.")) == ["We have peace."]


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("The President. Today, our border is secure.", "Today, our border is secure."),
        ("We paid. [Laughter] And we won. [Applause]", "We paid. And we won."),
        ("• more jobs;", "more jobs;"),
        ("--more jobs;", "more jobs;"),
        ("——most of them.", "most of them."),
        ('He said: "We won."', 'He said: "We won."'),
        ("It cost [$]5 in [Washington].", "It cost [$]5 in [Washington]."),
        ("We have done it. (It took years.)", "We have done it. (It took years.)"),
    ],
)
def test_the_president_s_sentences_are_kept(line, text):
    assert list(spoken(line)) == [text]


def test_the_messages_since_1934_have_33_144_sentences():
    paragraphs = speeches.paragraphs()
    sentences = [sentence for text in paragraphs for sentence in split_sentences(text)]
    assert len(paragraphs) == 12_449
    assert len(sentences) == 33_144
    assert sum(map(len, paragraphs)) == 3_993_800


def test_the_messages_begin_in_1934_and_are_in_the_order_of_years():
    text = "\n".join(speeches.paragraphs())
    assert text.startswith(
        "Mr. President, Mr. Speaker, Senators and Representatives in Congress:\nI"
    )
    said_in_1934 = text.index("the opening of the Regular Session of the 73d Congress")
    said_in_1977 = text.index("to ask not for a honeymoon")
    said_in_1996 = text.index("the era of big Government is over")
    assert said_in_1934 < said_in_1977 < said_in_1996
