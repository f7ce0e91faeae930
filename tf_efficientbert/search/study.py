"""The candidates of a search on disk: one Optuna study a stage, all in one journal file."""

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
    """One candidate and what became of it.

    Attributes:
        index: its place in its stage, from 0.
        parameters: by the stage's counting rule, fit projection included.
        seed: the origin of its first head and its dropout masks; of no use to one that shares
            weights or was taken over.
        state: "complete" or "failed".
        score: the task's first metric on the held-out examples; None for a failed one.
        loss: cross-entropy (regression: squared error) there, which decides between equal scores.
        reason: why it failed.
        seconds: time it took; of a group that was trained together, its share.
        losses: of its training, thinned out; empty where it had none of its own.
        reused: whether the score is an earlier stage's, of the same network trained alike.
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
        """JSON's view of it."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        architecture = json.loads(self.architecture.to_json())
        return {**values, "architecture": architecture, "losses": list(self.losses)}

    @classmethod
    def from_described(cls, described: dict) -> "Trial":
        architecture = Architecture.from_json(json.dumps(described["architecture"]))
        losses = tuple(described["losses"])
        return cls(**{**described, "architecture": architecture, "losses": losses})


def best_of(trials: list[Trial]) -> Trial | None:
    """The highest score; between equal ones the lower loss, then the smaller, then the earlier."""
    complete = [trial for trial in trials if trial.state == COMPLETE]
    order = lambda t: (-t.score, t.loss, t.parameters, t.index)  # noqa: E731
    return min(complete, key=order, default=None)


class Study:
    """The trials and notes of all stages, in `path`, an Optuna journal.

    One process writes, as the lock of the search's directory sees to; others may read. A last line
    that a killed process left half-written is taken away when the next one opens the file to write.

    Args:
        path: the journal; a writer makes it where it is missing.
        writable: False to only read.

    Raises:
        UserError: the file is missing (reading only) or damaged.
    """

    def __init__(self, path: str | Path, writable: bool = True):
        self.path = Path(path)
        if writable:
            _mend(self.path)
        elif not self.path.is_file():
            raise UserError(f"{self.path} is missing: no search has begun there")
        try:
            self._storage = JournalStorage(JournalFileBackend(str(self.path)))
        except Exception as error:  # Optuna's reader has many kinds, AssertionError among them
            raise UserError(
                f"{self.path} is damaged and cannot be read: {_damage(self.path, error)}; restore "
                "it from a copy, or delete the search's folder to start over"
            ) from error

    @property
    def stages(self) -> list[str]:
        """The names of the stages that have begun, in their order."""
        return [study.study_name for study in self._storage.get_all_studies()]

    def begin(self, stage: str) -> None:
        """Makes room for a stage, where there is none."""
        if stage not in self.stages:
            optuna.create_study(storage=self._storage, study_name=stage, direction="maximize")

    def note(self, stage: str, **notes) -> None:
        """Keeps `notes`, JSON values, about a stage that has begun."""
        study = self._study(stage)
        for name, value in notes.items():
            if study.user_attrs.get(name) != value:
                study.set_user_attr(name, value)

    def notes(self, stage: str) -> dict:
        """What `note` was told last, by name."""
        return self._study(stage).user_attrs

    def add(self, stage: str, trial: Trial) -> None:
        """Writes a finished candidate down; it is on the disk when this returns."""
        self._study(stage).add_trial(
            optuna.trial.create_trial(
                state=_STATES[trial.state], value=trial.score, user_attrs=trial.described()
            )
        )

    def trials(self, stage: str) -> list[Trial]:
        """The stage's candidates so far, by index; none of a stage that has not begun.

        Raises:
            UserError: what the journal says is no trial of this project.
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
        """JSON's view of every stage: name, notes, "best" (an index or None) and "candidates"."""
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
    """The first line that is no entry of a journal; where all look like one, what Optuna said."""
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            entry = json.loads(line)
        except ValueError:
            return f"line {number} is no JSON"
        if not isinstance(entry, dict) or "op_code" not in entry:
            return f"line {number} is no entry of a journal"
    return f"Optuna does not know one of its entries ({first_line(error)})"


def _mend(path: Path) -> None:
    """Takes away what a killed process left: half a last line, and Optuna's lock.

    The lock of the search's own directory sees to it that no other process writes.
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
