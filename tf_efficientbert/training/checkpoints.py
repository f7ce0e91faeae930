"""Checkpoints of a training, each whole or absent."""

import json
import logging
import shutil
from pathlib import Path

import tensorflow as tf

from tf_efficientbert.errors import UserError, first_line
from tf_efficientbert.storage import replaced_directory

_log = logging.getLogger(__name__)

_KEEP = 2


class Checkpoints:
    """Numbered folders `step-00000120`, the newest two of them, each with all that a step needs.

    Args:
        folder: where they are; made when the first is saved.
        **trackables: what is saved and restored, such as model= and optimizer=.
    """

    def __init__(self, folder: str | Path, **trackables):
        self._folder = Path(folder)
        self._checkpoint = tf.train.Checkpoint(**trackables)

    def save(self, step: int, history: list[dict]) -> None:
        """Saves the state after `step` steps. Raises UserError on a full disk.

        What is left are the newest two checkpoints up to `step`; later ones, which were damaged or
        this step would not have been taken again, go, and so does what killed processes began.
        """
        newest = self._folder / f"step-{step:08d}"
        with replaced_directory(newest) as folder:
            self._checkpoint.write(str(folder / "variables"))
            (folder / "history.json").write_text(json.dumps(history), "utf-8")
        kept = [path for path in self._folders() if path.name <= newest.name][:_KEEP]
        for path in self._folder.glob("*step-*"):
            if path not in kept:
                shutil.rmtree(path)

    def restore(self) -> tuple[int, list[dict]]:
        """Restores the newest checkpoint that can be read; returns (steps taken, history).

        Without any it changes nothing and returns (0, []). One that is damaged is passed over with
        a warning. Raises UserError where there are some and none can be read.
        """
        folders = self._folders()
        for folder in folders:
            try:
                history = json.loads((folder / "history.json").read_text("utf-8"))
                self._checkpoint.read(str(folder / "variables")).assert_consumed()
            except Exception as error:  # TensorFlow's reader has many kinds, IndexError among them
                problem = first_line(error)
                _log.warning("checkpoint %s cannot be read and is passed over: %s", folder, problem)
                continue
            return int(folder.name.removeprefix("step-")), history
        if folders:
            raise UserError(
                f"no checkpoint in {self._folder} can be read; delete that folder to start over"
            )
        return 0, []

    def _folders(self) -> list[Path]:
        """Newest first."""
        return sorted(self._folder.glob("step-*"), reverse=True)
