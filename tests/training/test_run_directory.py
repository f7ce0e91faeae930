import dataclasses
import json
import os
import subprocess
import sys

import pytest

from tests.integration.small_disk import fill, small_disk
from tf_efficientbert.errors import UserError
from tf_efficientbert.options import option
from tf_efficientbert.training.run_directory import open_run_directory


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Options:
    output_dir: str = option("", "where")
    checkpoint_seconds: float = option(20.0, "how often")
    epochs: float = option(3.0, "how long")
    data: str = option("a.tsv", "of what")


@dataclasses.dataclass(frozen=True, kw_only=True)
class _OtherOptions(_Options):
    pass


def _finish(options, **figures):
    with open_run_directory(options) as run:
        return run.finish(figures)


def test_only_a_finished_run_has_a_result(tmp_path):
    options = _Options(output_dir=str(tmp_path / "above" / "run"))
    with open_run_directory(options) as run:
        assert run.result is None
        returned = run.finish({"accuracy": 0.5}, {"phase": [{"step": 1}]})
    with open_run_directory(options) as run:
        assert run.result == returned
    assert returned["accuracy"] == 0.5
    assert json.loads((run.path / "history.json").read_text()) == {"phase": [{"step": 1}]}


def test_a_finished_run_keeps_no_checkpoints(tmp_path):
    with open_run_directory(_Options(output_dir=str(tmp_path))) as run:
        (run.checkpoints / "phase" / "step-00000001").mkdir(parents=True)
        run.finish({})
        assert not run.checkpoints.exists()


def test_opening_a_finished_run_deletes_leftover_checkpoints(tmp_path):
    options = _Options(output_dir=str(tmp_path))
    _finish(options, accuracy=0.5)
    left = tmp_path / "checkpoints" / "phase" / "step-00000001"
    left.mkdir(parents=True)
    with open_run_directory(options) as run:
        assert run.result["accuracy"] == 0.5
        assert not run.checkpoints.exists()


def test_seconds_are_added_over_the_processes_of_a_job(tmp_path):
    options = _Options(output_dir=str(tmp_path))
    with open_run_directory(options) as run:
        run.save_clock()
        (tmp_path / "clock.json").write_text('{"seconds": 1000.0}')
    result = _finish(options)
    assert 1000 < result["seconds"] < 1060


def test_seconds_in_the_result_are_kept(tmp_path):
    seconds = {"teacher": 1.5}
    assert _finish(_Options(output_dir=str(tmp_path)), seconds=seconds)["seconds"] == seconds


def test_the_error_lists_all_different_flags_with_both_values(tmp_path):
    options = _Options(output_dir=str(tmp_path))
    _finish(options, accuracy=0.5)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    changed = dataclasses.replace(options, epochs=4.0, data="b.tsv")
    with pytest.raises(UserError) as caught, open_run_directory(changed):
        pytest.fail("the directory was opened")
    message = str(caught.value)
    assert str(tmp_path) in message
    assert "data was 'a.tsv' and is now 'b.tsv'; epochs was 3.0 and is now 4.0" in message
    assert "output_dir was" not in message
    assert "checkpoint_seconds" not in message
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_flag_that_an_earlier_version_lacked_counts_as_its_default(tmp_path):
    options = _Options(output_dir=str(tmp_path))
    _finish(options, accuracy=0.5)
    config = json.loads((tmp_path / "config.json").read_text("utf-8"))
    del config["flags"]["epochs"]
    (tmp_path / "config.json").write_text(json.dumps(config), "utf-8")
    with open_run_directory(options) as run:
        assert run.result["accuracy"] == 0.5
    with pytest.raises(UserError, match="epochs was 3.0 and is now 4.0"):
        _finish(dataclasses.replace(options, epochs=4.0))


def test_the_directory_of_another_job_is_rejected(tmp_path):
    _finish(_Options(output_dir=str(tmp_path)))
    other = _OtherOptions(output_dir=str(tmp_path))
    with pytest.raises(UserError, match="another job .*_Options, this is _OtherOptions"):
        _finish(other)


def test_checkpoint_seconds_and_the_path_may_differ(tmp_path):
    _finish(_Options(output_dir=str(tmp_path / "a")), accuracy=0.5)
    os.rename(tmp_path / "a", tmp_path / "b")
    moved = _Options(output_dir=str(tmp_path / "b"), checkpoint_seconds=1.0)
    with open_run_directory(moved) as run:
        assert run.result["accuracy"] == 0.5


def test_after_a_failed_start_the_flags_may_be_corrected(tmp_path):
    wrong = _Options(output_dir=str(tmp_path), data="wrong.tsv")
    with pytest.raises(UserError, match="wrong.tsv: no such file"), open_run_directory(wrong):
        raise UserError("wrong.tsv: no such file")
    assert _finish(dataclasses.replace(wrong, data="right.tsv"), accuracy=1.0)["accuracy"] == 1.0


def test_a_failed_start_that_wrote_files_keeps_its_flags(tmp_path):
    first = _Options(output_dir=str(tmp_path))
    with pytest.raises(UserError, match="diverged"), open_run_directory(first) as run:
        (run.checkpoints / "phase").mkdir(parents=True)
        raise UserError("diverged")
    with pytest.raises(UserError, match=r"epochs was 3\.0 and is now 4\.0"):
        _finish(dataclasses.replace(first, epochs=4.0))
    assert _finish(first, accuracy=0.5)["accuracy"] == 0.5


def test_a_directory_cannot_be_opened_twice_at_the_same_time(tmp_path):
    options = _Options(output_dir=str(tmp_path))
    with open_run_directory(options):
        message = f"^{tmp_path}: another process uses this folder; wait for it$"
        with pytest.raises(UserError, match=message):
            _finish(options)
    _finish(options)


_HOLD_LOCK = """
import fcntl, sys, time
lock = open(sys.argv[1], "w")
fcntl.flock(lock, fcntl.LOCK_EX)
print("locked", flush=True)
time.sleep(600)
"""


def test_the_lock_of_another_process_lasts_until_it_is_killed(tmp_path):
    options = _Options(output_dir=str(tmp_path))
    command = [sys.executable, "-c", _HOLD_LOCK, str(tmp_path / ".lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "locked\n"
            with pytest.raises(UserError, match="another process uses this folder"):
                _finish(options)
        finally:
            process.kill()
    _finish(options)


def test_a_missing_output_dir_is_an_error():
    with pytest.raises(UserError, match="^--output_dir is missing: set the output folder"):
        _finish(_Options())


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_the_error_names_a_directory_that_cannot_be_created(tmp_path, place):
    (tmp_path / "file").write_text("text")
    path = tmp_path / place
    with pytest.raises(UserError, match=f"^--output_dir={path} cannot be written: "):
        _finish(_Options(output_dir=str(path)))
    assert (tmp_path / "file").read_text() == "text"


def test_a_full_disk_is_an_error(tmp_path):
    with small_disk(tmp_path / "disk", "1m") as disk:
        options = _Options(output_dir=str(disk / "run"))
        with open_run_directory(options) as run:
            fill(disk)
            with pytest.raises(UserError, match=f"the disk is full: {run.path}/history.json"):
                run.finish({}, {"phase": [{"step": 1}]})
        (disk / "filler").unlink()
        assert _finish(options, accuracy=0.5)["accuracy"] == 0.5
