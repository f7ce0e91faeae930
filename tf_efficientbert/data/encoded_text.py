"""Reads whole files, compressed or not, in any encoding."""

import codecs
import gzip
import zlib
from pathlib import Path

from tf_efficientbert.data.text_file import line_error, open_file
from tf_efficientbert.errors import UserError

__all__ = ["decoded", "read_bytes"]

_UTF_16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_bytes(path: str | Path) -> bytes:
    """Reads a whole file; decompresses it if its name ends in .gz.

    Raises:
        UserError: the file cannot be opened, or is not a complete gzip file.
    """
    with open_file(path) as file:
        content = file.read()
    if Path(path).suffix.lower() != ".gz":
        return content
    try:
        return gzip.decompress(content)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        problem = f"not a complete gzip file: {error}"
        raise UserError(f"{path}: {problem}; fetch or compress it again") from None


def decoded(path: str | Path, content: bytes, encoding: str) -> str:
    r"""Decodes a file's content; removes a byte order mark and ends each line with `\n`.

    Carriage returns within lines stay, unless the file has no other line ends.

    Args:
        path: the file, for messages.
        content: its bytes.
        encoding: a name that Python knows, such as "utf-8", "cp1252" or "utf-16".

    Raises:
        UserError: the encoding is unknown, or the content is not in it.
    """
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = error.object[: error.start].decode(encoding, "replace").count("\n") + 1
        place = f"byte 0x{error.object[error.start]:02x} at offset {error.start} of the file"
        problem = f"not {encoding}: {place}; name the file's encoding with --encoding, "
        problem += f"such as --encoding={_likely_encoding(content, encoding)}"
        raise line_error(path, line, problem) from None
    except (LookupError, UnicodeError):
        problem = f"--encoding={encoding} is not the name of a text encoding"
        raise UserError(f"{problem}; give one such as utf-8, cp1252 or utf-16") from None
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    return text if "\n" in text else text.replace("\r", "\n")


def _likely_encoding(content: bytes, refused: str) -> str:
    if content.startswith(_UTF_16_MARKS):
        return "utf-16"
    return "cp1252" if codecs.lookup(refused).name == "utf-8" else "utf-8"
