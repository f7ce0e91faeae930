"""The candidates of a search on disk: one Optuna study per stage, in one journal file."""

import dataclasses
import json
from pathlib import Path

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from tf_efficientbert.architecture import Architecture
from tf_efficientbert.errors import UserError, first_line
from tf_efficientbert.search.quiet_optuna import optuna

__all__ = ["COMPLETE", "FAILED", "STUDY", "Study", "Trial", "best_of"]

STUDY = "study.journal"  # in the search's folder
COMPLETE, FAILED = "complete", "failed"
_STATES = {COMPLETE: TrialState.COMPLETE, FAILED: TrialState.FAIL}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trial:
    """One candidate and its outcome.

    Attributes:
        index: its position in the stage, from 0.
        parameters: as counted by `Budget`, fit projection included.
        seed: seed of its new head and its dropout masks; unused if it shares weights or is reused.
        state: "complete" or "failed".
        score: the task's first metric on the held-out examples; None if it failed.
        loss: cross-entropy (regression: squared error) on them; breaks ties of the score.
        reason: why it failed.
        seconds: its time, or its share of its group's time.
        losses: a sample of its training losses; empty if it had no training of its own.
        reused: whether the result is an earlier stage's, of the same network with the same
            training.
    """

    index: int
    architecture: Architecture
    parameters: int
    seed: int
    state: str
    score: float | None = None
    loss: float | None = None
    reason: str = ""
    seconds: float = 0.0
    losses: tuple[float, ...] = ()
    reused: bool = False

    def described(self) -> dict:
        """Returns the trial as JSON values; the inverse of `from_described`."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        architecture = json.loads(self.architecture.to_json())
        return {**values, "architecture": architecture, "losses": list(self.losses)}

    @classmethod
    def from_described(cls, described: dict) -> "Trial":
        architecture = Architecture.from_json(json.dumps(described["architecture"]))
        losses = tuple(described["losses"])
        return cls(**{**described, "architecture": architecture, "losses": losses})


def best_of(trials: list[Trial]) -> Trial | None:
    """Returns the trial of highest score, then lower loss, fewer parameters, lower index."""
    complete = [trial for trial in trials if trial.state == COMPLETE]
    order = lambda t: (-t.score, t.loss, t.parameters, t.index)  # noqa: E731
    return min(complete, key=order, default=None)


class Study:
    """The trials and notes of all stages in an Optuna journal.

    The lock of the search's directory ensures that only one process writes; others may read. A
    half-written last line, which a killed process may leave, is removed when the next process opens
    the journal to write.

    Args:
        path: the journal; created for a writer if missing.
        writable: False for reading only.

    Raises:
        UserError: the file is missing (reading only) or damaged.
    """

    def __init__(self, path: str | Path, writable: bool = True):
        self.path = Path(path)
        if writable:
            _repair(self.path)
        elif not self.path.is_file():
            raise UserError(f"{self.path} is missing: no search has started there")
        try:
            self._storage = JournalStorage(JournalFileBackend(str(self.path)))
        except Exception as error:  # Optuna raises many types, even AssertionError
            raise UserError(
                f"{self.path} is damaged and cannot be read: {_damage(self.path, error)}; restore "
                "it from a copy, or delete the search's folder to start over"
            ) from error

    @property
    def stages(self) -> list[str]:
        """The names of the stages that have started, in order."""
        return [study.study_name for study in self._storage.get_all_studies()]

    def begin(self, stage: str) -> None:
        """Creates the study of a stage if it does not exist."""
        if stage not in self.stages:
            optuna.create_study(storage=self._storage, study_name=stage, direction="maximize")

    def note(self, stage: str, **notes) -> None:
        """Saves `notes`, JSON values, about a stage that has started."""
        study = self._study(stage)
        for name, value in notes.items():
            if study.user_attrs.get(name) != value:
                study.set_user_attr(name, value)

    def notes(self, stage: str) -> dict:
        """Returns the latest notes of a stage by name."""
        return self._study(stage).user_attrs

    def add(self, stage: str, trial: Trial) -> None:
        """Writes a finished candidate to disk."""
        self._study(stage).add_trial(
            optuna.trial.create_trial(
                state=_STATES[trial.state], value=trial.score, user_attrs=trial.described()
            )
        )

    def trials(self, stage: str) -> list[Trial]:
        """Returns the stage's candidates so far, in order; [] if the stage has not started.

        Raises:
            UserError: a candidate in the journal cannot be read.
        """
        if stage not in self.stages:
            return []
        try:
            described = (t.user_attrs for t in self._study(stage).get_trials(deepcopy=False))
            return [Trial.from_described(attributes) for attributes in described]
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"{self.path}: a candidate of stage {stage} cannot be read: {first_line(error)}"
            ) from error

    def described(self) -> list[dict]:
        """Returns all stages as JSON values: name, notes, "best" (index or None), "candidates"."""
        stages = []
        for name in self.stages:
            trials = self.trials(name)
            best = best_of(trials)
            stages.append(
                {
                    "name": name,
                    **self.notes(name),
                    "best": best.index if best else None,
                    "candidates": [trial.described() for trial in trials],
                }
            )
        return stages

    def _study(self, stage: str) -> optuna.Study:
        return optuna.load_study(study_name=stage, storage=self._storage)


def _damage(path: Path, error: Exception) -> str:
    """Describes the first invalid line of a journal, or Optuna's error if there is none."""
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            entry = json.loads(line)
        except ValueError:
            return f"line {number} is not JSON"
        if not isinstance(entry, dict) or "op_code" not in entry:
            return f"line {number} is not a journal entry"
    return f"Optuna cannot read one of its entries ({first_line(error)})"


def _repair(path: Path) -> None:
    """Removes what a killed process may leave: a half-written last line and Optuna's lock.

    The lock of the search's directory ensures that no other process writes.
    """
    for lock in path.parent.glob(f"{path.name}.lock*"):
        lock.unlink()
    if not path.is_file():
        return
    content = path.read_bytes()
    start = content[:-1].rfind(b"\n") + 1  # of the last line
    try:
        json.loads(content[start:])
        whole = content.endswith(b"\n")
    except ValueError:
        whole = not content
    if not whole:
        with open(path, "r+b") as file:
            file.truncate(start)
