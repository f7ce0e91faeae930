"""Estimates the time of a phase from the sizes of its networks and data."""

import math

from tf_efficientbert.architecture import Architecture
from tf_efficientbert.data.batching import EncodedExamples
from tf_efficientbert.models.huggingface_config import architecture_of
from tf_efficientbert.pipeline.options import PipelineOptions
from tf_efficientbert.pipeline.rates import Rates
from tf_efficientbert.search.stages import Stage
from tf_efficientbert.tasks import Task

_TOKENS = 128  # text length for counting multiply-accumulates


class Estimates:
    """Rough estimates in seconds.

    Args:
        config: config.json of the teacher's BERT.
        task: determines the sizes of the heads.
    """

    def __init__(self, options: PipelineOptions, rates: Rates, config: dict, task: Task):
        self._options, self._rates, self._task = options, rates, task
        self._tables = config["vocab_size"], config["max_position_embeddings"]
        self.teacher = architecture_of(config)

    def parameters(self, network: Architecture) -> int:
        """Returns the parameters of encoder and head, as deployed."""
        head = self._task.new_head(network.hidden_size, 0.0)
        head.build((None, None, network.hidden_size))
        return network.count_parameters(None, *self._tables) + head.count_params()

    def forward(self, examples: EncodedExamples, passes: float, network: Architecture) -> float:
        """Returns the time of forward passes over the examples; `passes` may be a fraction."""
        macs = network.count_macs(_TOKENS) / _TOKENS * float(examples.lengths.sum()) * passes
        return macs * self._rates.mac

    def training(self, examples: EncodedExamples, epochs: float, network: Architecture) -> float:
        """Returns the time of a training without the teacher's passes."""
        return self._rates.training + self._steps(
            examples, epochs, network, self._options.batch_size
        )

    def distillation(
        self, examples: EncodedExamples, epochs: float, student: Architecture
    ) -> float:
        """Returns the time of a distillation on the task, with the teacher's passes."""
        teacher_passes = self._teacher_passes(examples, 1.0, epochs, self.teacher)
        return self.training(examples, epochs, student) + teacher_passes

    def compression(
        self, examples: EncodedExamples, epochs: float, steps: int, student: Architecture
    ) -> float:
        """Returns the time of `steps` distillations from the teacher and the original student."""
        teacher_passes = sum(
            self._teacher_passes(examples, 1.0, steps * epochs, network)
            for network in (self.teacher, student)
        )
        return steps * self.training(examples, epochs, student) + teacher_passes

    def stage(
        self, stage: Stage, text: EncodedExamples, task: EncodedExamples, largest: Architecture
    ) -> float:
        """Returns the time of a search stage if all candidates have the largest size."""
        training = stage.training
        trained_share = (1 - stage.held_out) * training.task_share
        parts = (
            (text, training.text_share, training.text_epochs),
            (task, trained_share, training.task_epochs),
        )
        if stage.shares_weights:
            # Its graph contains all stacks and ratios and takes about twice as long to trace.
            seconds, trained, groups = 2 * self._rates.training, 1, 1
        else:
            seconds, trained = self._rates.candidate * stage.candidates, stage.candidates
            groups = math.ceil(stage.candidates / self._options.group_size)
        for examples, share, epochs in parts:
            steps = self._steps(examples, share * epochs, largest, training.batch_size)
            seconds += trained * steps
            seconds += self._teacher_passes(examples, share, groups * epochs, self.teacher)
        return seconds + stage.candidates * self.forward(task, stage.held_out, largest)

    def _steps(
        self, examples: EncodedExamples, epochs: float, network: Architecture, batch_size: int
    ) -> float:
        # A backward pass costs two forward passes: for the inputs and for the weights.
        steps = len(examples) * epochs / batch_size
        return 3 * self.forward(examples, epochs, network) + steps * self._rates.step

    def _teacher_passes(
        self, examples: EncodedExamples, share: float, epochs: float, teacher: Architecture
    ) -> float:
        """Returns the time of a teacher's passes; if outputs are cached, of at most one."""
        bytes_per_value = 2 if self._options.bfloat16 else 4
        states = (teacher.num_layers + 1) * teacher.hidden_size
        needed = bytes_per_value * states * share * float(examples.lengths.sum())
        is_cached = needed <= self._options.teacher_memory_gb * 1e9
        return self.forward(examples, share * (min(epochs, 1.0) if is_cached else epochs), teacher)
