import json
import os
import signal
import subprocess
import sys
import threading

import pytest

from tests.integration.small_disk import fill, small_disk
from tf_efficientbert.errors import UserError
from tf_efficientbert.storage import file_lock, recover_directory, replaced_directory, write_json


def _content(folder):
    """Returns {relative path: text} of all files, including hidden ones."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_text() for path in files}


def _replace(path, text):
    with replaced_directory(path) as new:
        (new / "part").mkdir()
        (new / "part" / "file").write_text(text)


_OLD, _NEW = {"it/part/file": "old"}, {"it/part/file": "new"}


def test_a_folder_appears_only_after_the_block(tmp_path):
    with replaced_directory(tmp_path / "above" / "it") as new:
        (new / "file").write_text("new")
        assert not (tmp_path / "above" / "it").exists()
    assert _content(tmp_path) == {"above/it/file": "new"}


def test_a_folder_replaces_another_one_completely(tmp_path):
    with replaced_directory(tmp_path / "it") as new:
        (new / "left over").write_text("old")
    _replace(tmp_path / "it", "new")
    assert _content(tmp_path) == _NEW
    assert os.listdir(tmp_path) == ["it"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_after_an_error_in_the_block_the_old_folder_is_unchanged(tmp_path, error):
    _replace(tmp_path / "it", "old")
    with pytest.raises(error), replaced_directory(tmp_path / "it") as new:
        (new / "file").write_text("half")
        raise error
    assert _content(tmp_path) == _OLD
    assert os.listdir(tmp_path) == ["it"]


# Replaces `it` and is killed just before the nth call of the given function.
_KILLED = """
import os, shutil, signal, sys
from pathlib import Path
from tf_efficientbert.storage import replaced_directory

folder, name, nth = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
module = shutil if name == "rmtree" else os
original, calls = getattr(module, name), []

def killing(*arguments, **options):
    calls.append(arguments)
    if len(calls) == nth:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*arguments, **options)

setattr(module, name, killing)
with replaced_directory(folder / "it") as new:
    (new / "part").mkdir()
    (new / "part" / "file").write_text("new")
"""


def _run_killed(folder, function, nth):
    command = [sys.executable, "-c", _KILLED, str(folder), function, str(nth)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("function", "nth", "left"),
    [
        ("fsync", 1, _OLD),
        ("rename", 1, _OLD),
        ("rename", 2, _OLD),
        ("fsync", 4, _NEW),
        ("rmtree", 2, _NEW),
    ],
    ids=["in the block", "before the renames", "between them", "after them", "while tidying"],
)
def test_a_killed_process_leaves_either_the_old_or_the_new_folder(tmp_path, function, nth, left):
    _replace(tmp_path / "it", "old")
    done = _run_killed(tmp_path, function, nth)
    assert done.returncode == -signal.SIGKILL, done.stderr
    recover_directory(tmp_path / "it")
    visible = {k: v for k, v in _content(tmp_path).items() if not k.startswith(".it.new")}
    assert visible == left
    _replace(tmp_path / "it", "newer")
    assert _content(tmp_path) == {"it/part/file": "newer"}
    assert os.listdir(tmp_path) == ["it"]


def test_the_process_finishes_without_the_kill(tmp_path):
    _replace(tmp_path / "it", "old")
    done = _run_killed(tmp_path, "rename", 99)
    assert done.returncode == 0, done.stderr
    assert _content(tmp_path) == _NEW


def test_recovery_without_a_backup_changes_nothing(tmp_path):
    recover_directory(tmp_path / "it")
    assert not os.listdir(tmp_path)
    _replace(tmp_path / "it", "old")
    recover_directory(tmp_path / "it")
    assert _content(tmp_path) == _OLD


def test_json_is_written_and_replaced(tmp_path):
    for value in ({"a": [1, 2.5, None]}, ["ä"]):
        write_json(tmp_path / "above" / "file.json", value)
        assert json.loads((tmp_path / "above" / "file.json").read_text("utf-8")) == value
    assert os.listdir(tmp_path / "above") == ["file.json"]


@pytest.mark.parametrize("value", [float("nan"), object()], ids=["nan", "no json"])
def test_values_that_are_not_json_are_rejected_and_the_old_file_is_kept(tmp_path, value):
    write_json(tmp_path / "file.json", 1)
    with pytest.raises((ValueError, TypeError)):
        write_json(tmp_path / "file.json", value)
    assert _content(tmp_path) == {"file.json": "1\n"}


def test_on_a_full_disk_the_old_json_is_kept(tmp_path):
    with small_disk(tmp_path / "disk", "1m") as disk:
        write_json(disk / "file.json", "old")
        fill(disk)
        with pytest.raises(UserError, match="the disk is full") as caught:
            write_json(disk / "file.json", "new" * 10_000)
        assert str(disk / "file.json") in str(caught.value)
        assert json.loads((disk / "file.json").read_text()) == "old"
        assert sorted(os.listdir(disk)) == ["file.json", "filler"]
        (disk / "filler").unlink()
        write_json(disk / "file.json", "new" * 10_000)
        assert json.loads((disk / "file.json").read_text()) == "new" * 10_000


def test_on_a_full_disk_the_old_folder_is_kept(tmp_path):
    with small_disk(tmp_path / "disk", "1m") as disk:
        _replace(disk / "it", "old")
        with (
            pytest.raises(UserError, match="the disk is full") as caught,
            replaced_directory(disk / "it") as new,
        ):
            for number in range(1000):
                (new / str(number)).write_bytes(bytes(100_000))
        assert str(disk / "it") in str(caught.value)
        assert _content(disk) == _OLD
        assert os.listdir(disk) == ["it"]
        _replace(disk / "it", "new")
        assert _content(disk) == _NEW


def test_other_errors_are_not_reported_as_a_full_disk(tmp_path):
    with pytest.raises(FileNotFoundError), replaced_directory(tmp_path / "it") as new:
        (new / "nowhere" / "file").write_text("")


def test_a_lock_is_exclusive(tmp_path):
    path, order = tmp_path / "made" / "models", []

    def work():
        with file_lock(path):
            order.append("second")

    with file_lock(path):
        other = threading.Thread(target=work)
        other.start()
        other.join(0.3)
        assert other.is_alive()
        with file_lock(tmp_path / "other"):  # another path has another lock
            order.append("first")
    other.join(30)
    assert order == ["first", "second"]
