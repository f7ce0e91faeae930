"""Downloads with the real pip, from a folder in place of the package index."""

import hashlib
import importlib.util
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from tf_efficientbert.data import package_fetch
from tf_efficientbert.data.package_data import PackageData, read_archive
from tf_efficientbert.data.package_fetch import fetch, is_fetched
from tf_efficientbert.errors import UserError
from trainers.fetch_data import FetchDataOptions, fetch_data


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "home" / "data"
    monkeypatch.setenv("TEB_DATA_HOME", str(folder))
    return folder


@pytest.fixture
def index(tmp_path, monkeypatch) -> Path:
    """The only index that pip uses; empty."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def toy(index) -> PackageData:
    """A package in the index."""
    path = index / "toy_texts-1.0-py3-none-any.whl"
    about = "toy_texts-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("toy_texts/texts.txt", "One.\n")
        wheel.writestr(
            f"{about}/METADATA", "Metadata-Version: 2.1\nName: toy-texts\nVersion: 1.0\n"
        )
        wheel.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{about}/RECORD", "")
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return PackageData("toy texts", "toy-texts==1.0", path.name, sha256, 0.1)


def test_only_the_complete_archive_is_stored(home, index, toy):
    assert not is_fetched(toy)
    fetch(toy)
    assert is_fetched(toy)
    assert read_archive(toy) == (index / toy.archive).read_bytes()
    assert [path.name for path in home.iterdir()] == [toy.archive]


def test_a_damaged_archive_is_replaced(home, toy):
    home.mkdir(parents=True)
    toy.path.write_bytes(b"half an arch")
    assert not is_fetched(toy)
    fetch(toy)
    assert is_fetched(toy)


def test_an_archive_with_another_hash_is_an_error(home, toy):
    other = replace(toy, sha256="0" * 64)
    with pytest.raises(
        UserError, match=f"toy-texts==1.0: .*SHA-256 is not the expected {'0' * 64}"
    ):
        fetch(other)
    assert list(home.iterdir()) == []


def test_the_error_without_a_network_says_what_to_check(home, index):
    absent = PackageData("toy texts", "toy-texts==1.0", "toy_texts-1.0.tar.gz", "0" * 64, 0.1)
    with pytest.raises(UserError) as caught:
        fetch(absent)
    assert "toy-texts==1.0 could not be downloaded; check the network" in str(caught.value)
    assert "`tf-efficientbert fetch_data`" in str(caught.value)
    assert "No matching distribution found for toy-texts==1.0" in str(caught.value)
    assert list(home.iterdir()) == []


def test_a_full_disk_is_named(home, toy, monkeypatch):
    def full(command, **_):
        said = "ERROR: Exception:\nOSError: [Errno 28] No space left on device\n"
        return subprocess.CompletedProcess(command, 2, stderr=said)

    monkeypatch.setattr(package_fetch.subprocess, "run", full)
    with pytest.raises(UserError, match=f"the disk is full: {toy.path} could not be written"):
        fetch(toy)


def test_the_error_for_an_unwritable_folder_names_the_remedy(tmp_path, toy, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TEB_DATA_HOME", str(tmp_path / "file" / "data"))
    with pytest.raises(UserError, match=r"file/data: cannot be written: .*set TEB_DATA_HOME to"):
        fetch(toy)


def test_the_error_without_pip_names_the_remedy(home, toy, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError) as caught:
        fetch(toy)
    assert f"{sys.executable} has no pip" in str(caught.value)
    assert f"put {toy.archive} into {home} yourself" in str(caught.value)


def test_an_existing_archive_is_not_downloaded_again(index, capsys):
    """The set-up downloaded the archive; the index is empty."""
    fetch_data(FetchDataOptions())
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(": already in ")[0] for line in lines] == [
        "film-review snippets",
        "State of the Union messages",
    ]


def test_the_job_reports_what_it_downloads(home, index, capsys):
    with pytest.raises(UserError, match="vaderSentiment==3.3.2 could not be downloaded"):
        fetch_data(FetchDataOptions())
    path = home / "vaderSentiment-3.3.2.tar.gz"
    assert capsys.readouterr().out == f"film-review snippets: downloading 2.5 MB to {path}\n"
