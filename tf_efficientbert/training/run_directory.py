"""The output directory of a job, with its flags, lock, checkpoints and result."""

import contextlib
import dataclasses
import fcntl
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from tf_efficientbert.errors import UserError
from tf_efficientbert.storage import full_disk_named, write_json
from tf_efficientbert.training.fingerprint import fingerprint

# Flags that may differ between two runs of one job, as they do not affect its result.
_MAY_DIFFER = (
    "output_dir",
    "checkpoint_seconds",
    "teacher_cache",
    "teacher_cache_gb",
    "from_stage",
    "to_stage",
    "max_float_difference",
    "max_float16_difference",
    "max_int8_loss",
)
_FLAGS = "config.json"


class RunDirectory:
    """The folder of a job's flags (`config.json`), checkpoints and result."""

    def __init__(self, path: Path, result_name: str):
        self.path = path
        self._result_path = path / result_name
        self._opened = time.monotonic()
        self._clock = path / "clock.json"
        self._earlier = _read(self._clock, {"seconds": 0.0})["seconds"]

    @property
    def result(self) -> dict | None:
        """The result of a finished job, or None."""
        return _read(self._result_path, None)

    @property
    def seconds(self) -> float:
        """Seconds spent on this job in this process and, up to their checkpoints, earlier ones."""
        return self._earlier + time.monotonic() - self._opened

    @property
    def has_checkpointed(self) -> bool:
        """Whether any process has saved a checkpoint here."""
        return self._clock.exists()

    def save_clock(self) -> None:
        """Saves `seconds` for a process that resumes the job."""
        write_json(self._clock, {"seconds": self.seconds})

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.path / "checkpoints"

    def finish(self, result: dict, history: dict[str, list[dict]] | None = None) -> dict:
        """Saves the losses (`history.json`) and the result; deletes the checkpoints.

        Adds `seconds` to the result, unless it contains the key.
        """
        result = {"seconds": self.seconds, **result}
        if history is not None:
            write_json(self.path / "history.json", history)
        write_json(self._result_path, result)
        self.forget_checkpoints()
        return result

    def forget_checkpoints(self) -> None:
        """Deletes the checkpoints."""
        shutil.rmtree(self.checkpoints, ignore_errors=True)


@contextlib.contextmanager
def open_run_directory(config, result_name: str = "result.json") -> Iterator[RunDirectory]:
    """Opens `config.output_dir` for a job with the options `config`, a dataclass.

    A job that fails before it writes anything deletes its flags, so that it can be started again
    with corrected ones.

    Raises:
        UserError: no output directory is set, it belongs to a job with other flags (the message
            lists each difference), another process uses it, or it cannot be written.
    """
    if not config.output_dir:
        raise UserError("--output_dir is missing: set the output folder")
    path = Path(config.output_dir)
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock = open(path / ".lock", "w")  # noqa: SIM115  held as long as the job runs
    except OSError as error:
        raise UserError(f"--output_dir={path} cannot be written: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{path}: another process uses this folder; wait for it") from None
        before = set(path.iterdir())
        _claim(path, config)
        try:
            with full_disk_named(path):
                run = RunDirectory(path, result_name)
                if run.result:  # it may have been killed before it deleted them
                    run.forget_checkpoints()
                yield run
        except UserError:
            if set(path.iterdir()) - before == {path / _FLAGS}:
                (path / _FLAGS).unlink()
            raise


def _claim(path: Path, config) -> None:
    flags, contents, defaults = {"job": type(config).__name__}, {}, {}
    for field in dataclasses.fields(config):
        defaults[field.name] = field.default
        if field.name not in _MAY_DIFFER:
            flags[field.name] = getattr(config, field.name)
        if field.metadata.get("is_input"):
            part = field.metadata.get("part")
            contents[field.name] = fingerprint(part(config) if part else flags[field.name])
    file = path / _FLAGS
    if not file.exists():
        write_json(file, {"flags": flags, "contents": contents})
        return
    earlier = _read(file, {})
    if earlier["flags"]["job"] != flags["job"]:
        raise UserError(
            f"{path} belongs to another job (its {_FLAGS} has {earlier['flags']['job']}, this is "
            f"{flags['job']}); use another --output_dir"
        )
    # A flag that an earlier version did not have: its default does what that version did.
    before = {**{name: defaults[name] for name in flags if name in defaults}, **earlier["flags"]}
    differences = [
        f"{name} was {before.get(name)!r} and is now {flags.get(name)!r}"
        for name in sorted({*before, *flags} - {*earlier["contents"]})
        if before.get(name) != flags.get(name)
    ]
    for name, content in earlier["contents"].items():  # paths may have changed
        if contents.get(name) != content:
            was, now = earlier["flags"].get(name), flags.get(name)
            changed = "and its content has changed" if was == now else f"and is now {now!r}"
            differences.append(f"{name} was {was!r} {changed}")
    if differences:
        raise UserError(
            f"{path} belongs to a run with other flags or files: {'; '.join(differences)}. "
            "Use the same ones to resume, or another --output_dir"
        )


def _read(path: Path, default):
    return json.loads(path.read_text("utf-8")) if path.is_file() else default
