"""Flags of a search."""

import dataclasses

from tf_efficientbert.data.corpus_options import CorpusOptions
from tf_efficientbert.data.task_data import TaskOptions
from tf_efficientbert.data.unlabelled import UnlabelledOptions
from tf_efficientbert.distillation.recipe_options import RecipeOptions
from tf_efficientbert.distillation.task_teacher import TaskTeacherOptions
from tf_efficientbert.errors import UserError
from tf_efficientbert.models.pretrained_supernet import supernet_option
from tf_efficientbert.options import input_option, option
from tf_efficientbert.search.stages import read_stages
from tf_efficientbert.training.options import TrainingOptions

__all__ = ["SAMPLERS", "SearchOptions"]

SAMPLERS = ("action-space", "evolution", "random")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SearchOptions(
    TaskOptions, CorpusOptions, UnlabelledOptions, TaskTeacherOptions, RecipeOptions
):
    """Options of `search`."""

    output_dir: str = option("", "output folder; run again with it to resume")
    supernet: str = supernet_option(
        "", "folder that pretrain_supernet made: …/model; or pretrained, see docs/distillation.md"
    )
    shared_supernet: str = input_option(
        "", "another supernet, from which weight-sharing candidates inherit; empty: --supernet"
    )
    teacher_dir: str = input_option(
        "", "BERT that teaches on raw text, see train_teacher; empty: MiniLM"
    )
    stages: str = input_option("paper", "paper, quick, or a JSON file of three stages")
    from_stage: int = option(1, "first stage to run (1 to 3); earlier ones must be finished")
    to_stage: int = option(3, "last stage to run")
    sampler: str = option("action-space", "action-space (learned), evolution or random")
    group_size: int = option(4, "candidates trained together, sharing the teacher's outputs")
    min_parameters: int = option(
        0, "fewest parameters of a candidate; 0: 15/16 of --max_parameters"
    )
    max_parameters: int = option(
        0, "most parameters, without the task head; 0: as many as the plain student"
    )
    dropout: float = option(0.1, "dropout rate")
    seed: int = option(0, "random seed")
    bfloat16: bool = option(False, "compute in bfloat16, keep weights in float32")
    checkpoint_seconds: float = option(20.0, "seconds between checkpoints")

    def __post_init__(self) -> None:
        TaskOptions.__post_init__(self)
        TaskTeacherOptions.__post_init__(self)
        RecipeOptions.__post_init__(self)
        UnlabelledOptions.__post_init__(self)
        self.require_no_predictions(self.teacher_predictions)
        if not self.resolved_recipe.prediction_ratio:
            raise UserError("--prediction_ratio=0: a search compares predictions; expected above 0")
        if not self.supernet:
            raise UserError("--supernet is missing: name the folder of a saved model")
        if not 1 <= self.from_stage <= self.to_stage <= 3:
            raise UserError(
                f"--from_stage={self.from_stage}, --to_stage={self.to_stage}: expected stages from "
                "1 to 3, the first no later than the last"
            )
        if self.sampler not in SAMPLERS:
            raise UserError(f"--sampler={self.sampler}: expected one of {', '.join(SAMPLERS)}")
        if self.group_size < 1:
            raise UserError(f"--group_size={self.group_size}: expected 1 or more")
        for name in ("min_parameters", "max_parameters"):
            if not getattr(self, name) >= 0:
                raise UserError(f"--{name}={getattr(self, name)}: expected 0 or more")
        self.training  # noqa: B018  checks seed, dropout and checkpoint_seconds
        CorpusOptions.__post_init__(self)
        read_stages(self.stages)

    @property
    def training(self) -> TrainingOptions:
        """Training options that are the same in all stages."""
        names = ("dropout", "seed", "bfloat16", "checkpoint_seconds")
        return TrainingOptions(**{name: getattr(self, name) for name in names})
