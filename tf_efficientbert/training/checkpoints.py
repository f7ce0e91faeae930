"""Checkpoints of a training, saved atomically."""

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
    """Numbered folders such as `step-00000120`, of which the newest two are kept.

    Args:
        folder: the folder of the checkpoints, created by the first `save`.
        **trackables: the objects to save and restore, such as model= and optimizer=.
    """

    def __init__(self, folder: str | Path, **trackables):
        self._folder = Path(folder)
        self._checkpoint = tf.train.Checkpoint(**trackables)

    def save(self, step: int, history: list[dict]) -> None:
        """Saves the state after `step` steps.

        Keeps the newest two checkpoints up to `step`. Later ones must be damaged, as this step was
        repeated; they are deleted, as are incomplete ones of killed processes.

        Raises:
            UserError: the disk is full.
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
        """Restores the newest readable checkpoint; returns (steps taken, history).

        Without checkpoints, it changes nothing and returns (0, []). It skips a damaged checkpoint
        with a warning.

        Raises:
            UserError: there are checkpoints, but none is readable.
        """
        folders = self._folders()
        for folder in folders:
            try:
                history = json.loads((folder / "history.json").read_text("utf-8"))
                self._checkpoint.read(str(folder / "variables")).assert_consumed()
            except Exception as error:  # TensorFlow raises many types, even IndexError
                problem = first_line(error)
                _log.warning("checkpoint %s cannot be read and is skipped: %s", folder, problem)
                continue
            return int(folder.name.removeprefix("step-")), history
        if folders:
            raise UserError(
                f"no checkpoint in {self._folder} can be read; delete the folder to start over"
            )
        return 0, []

    def _folders(self) -> list[Path]:
        """Returns the folders, newest first."""
        return sorted(self._folder.glob("step-*"), reverse=True)
