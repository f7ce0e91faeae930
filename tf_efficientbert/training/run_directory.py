"""The output directory of a job: one set of flags, one process at a time, one result."""

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

# What may differ between two runs of one job: it changes when things happen, or what is refused,
# not what comes out.
_FREE = (
    "output_dir",
    "checkpoint_seconds",
    "from_stage",
    "to_stage",
    "max_float_difference",
    "max_float16_difference",
    "max_int8_loss",
)
_FLAGS = "config.json"


class RunDirectory:
    """Where a job keeps its flags (`config.json`), checkpoints and result."""

    def __init__(self, path: Path, result_name: str):
        self.path = path
        self._result_path = path / result_name
        self._opened = time.monotonic()
        self._clock = path / "clock.json"
        self._earlier = _read(self._clock, {"seconds": 0.0})["seconds"]

    @property
    def result(self) -> dict | None:
        """What the finished job had to say, or None."""
        return _read(self._result_path, None)

    @property
    def seconds(self) -> float:
        """Time spent on this job, in this process and, up to their last checkpoint, in earlier."""
        return self._earlier + time.monotonic() - self._opened

    @property
    def has_checkpointed(self) -> bool:
        """Whether a process has come as far as a checkpoint here."""
        return self._clock.exists()

    def save_clock(self) -> None:
        """Remembers `seconds` for a process that goes on from here."""
        write_json(self._clock, {"seconds": self.seconds})

    @property
    def checkpoints(self) -> Path:
        """Where the job keeps what it goes on from."""
        return self.path / "checkpoints"

    def finish(self, result: dict, history: dict[str, list[dict]] | None = None) -> dict:
        """Ends the job: its losses (`history.json`) and result stay, the checkpoints go.

        `seconds` joins the result, unless it says something of them itself.
        """
        result = {"seconds": self.seconds, **result}
        if history is not None:
            write_json(self.path / "history.json", history)
        write_json(self._result_path, result)
        self.forget_checkpoints()
        return result

    def forget_checkpoints(self) -> None:
        """What a finished job would go on from goes."""
        shutil.rmtree(self.checkpoints, ignore_errors=True)


@contextlib.contextmanager
def open_run_directory(config, result_name: str = "result.json") -> Iterator[RunDirectory]:
    """Opens `config.output_dir` for the job that `config`, a dataclass, describes.

    A job that fails before it has made anything leaves no flags behind: a wrong one among them can
    be put right and the job started again.

    Raises:
        UserError: no output directory is named, it belongs to a job with other flags (each
            difference is named), another process is at work in it, or it can't be written.
    """
    if not config.output_dir:
        raise UserError("--output_dir is missing: name a folder for what this job makes")
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
            raise UserError(f"another process is at work in {path}; wait for it") from None
        before = set(path.iterdir())
        _claim(path, config)
        try:
            with full_disk_named(path):
                run = RunDirectory(path, result_name)
                if run.result:  # it may have been killed before it had cleaned up
                    run.forget_checkpoints()
                yield run
        except UserError:
            if set(path.iterdir()) - before == {path / _FLAGS}:
                (path / _FLAGS).unlink()
            raise


def _claim(path: Path, config) -> None:
    flags, contents = {"job": type(config).__name__}, {}
    for field in dataclasses.fields(config):
        if field.name not in _FREE:
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
            f"{path} belongs to another job (its {_FLAGS} says {earlier['flags']['job']}, this is "
            f"{flags['job']}): use another --output_dir"
        )
    differences = [
        f"{name} was {earlier['flags'].get(name)!r} and is now {flags.get(name)!r}"
        for name in sorted({*earlier["flags"], *flags} - {*earlier["contents"]})
        if earlier["flags"].get(name) != flags.get(name)
    ]
    for name, content in earlier["contents"].items():  # wherever it is now
        if contents.get(name) != content:
            was, now = earlier["flags"].get(name), flags.get(name)
            changed = "and its content has changed" if was == now else f"and is now {now!r}"
            differences.append(f"{name} was {was!r} {changed}")
    if differences:
        raise UserError(
            f"{path} belongs to a run with other flags or files: {'; '.join(differences)}. "
            "Use the same ones to go on, or another --output_dir"
        )


def _read(path: Path, default):
    return json.loads(path.read_text("utf-8")) if path.is_file() else default
