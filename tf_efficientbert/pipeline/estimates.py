"""Estimates the time of a phase from the sizes of its networks and data."""

import math
from collections.abc import Sequence

from tf_efficientbert.architecture import Architecture
from tf_efficientbert.data.batching import EncodedExamples
from tf_efficientbert.distillation.cached_outputs import cached_bytes
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

    def students(
        self, examples: EncodedExamples, epochs: float, students: Sequence[Architecture]
    ) -> float:
        """Returns the time of distillations on the task, side by side with one teacher's passes."""
        passes = self._passes(examples, 1.0, len(students) * epochs, cached=self.teacher)
        alone = sum(self.training(examples, epochs, student) for student in students)
        return self._rates.side_by_side * alone + self._task_teacher(examples, passes)

    def compression(
        self, examples: EncodedExamples, epochs: float, steps: int, student: Architecture
    ) -> float:
        """Returns the time of `steps` distillations from the teacher and the original student."""
        # The hidden states to match, which are what is cached, are the student's.
        passes = self._passes(examples, 1.0, steps * epochs, cached=student)
        teachers = self._task_teacher(examples, passes) + self.forward(examples, passes, student)
        return steps * self.training(examples, epochs, student) + teachers

    def stage(
        self,
        stage: Stage,
        text: EncodedExamples,
        task: EncodedExamples,
        taught: EncodedExamples,
        largest: Architecture,
    ) -> float:
        """Returns the time of a search stage if all candidates have the largest size.

        Args:
            task: the training set, a part of which scores candidates.
            taught: the training set and unlabelled texts, from which they learn.
        """
        training = stage.training
        trained_share = (1 - stage.held_out) * training.task_share
        if stage.shares_weights:
            # Its graph contains all stacks and ratios and takes about twice as long to trace.
            seconds, trained, groups, scorings = 2 * self._rates.training, 1, 1, 1
        else:
            seconds, trained = self._rates.candidate * stage.candidates, stage.candidates
            groups = math.ceil(stage.candidates / self._options.group_size)
            scorings = math.ceil(training.task_epochs)
        for examples, share, epochs in (
            (text, training.text_share, training.text_epochs),
            (taught, trained_share, training.task_epochs),
        ):
            steps = self._steps(examples, share * epochs, largest, training.batch_size)
            seconds += trained * steps
            passes = self._passes(examples, share, groups * epochs, cached=self.teacher)
            if examples is text:
                seconds += self.forward(examples, passes, self.teacher)
            else:
                seconds += self._task_teacher(examples, passes)
        scored = stage.held_out * scorings * stage.candidates
        return seconds + self.forward(task, scored, largest)

    def _steps(
        self, examples: EncodedExamples, epochs: float, network: Architecture, batch_size: int
    ) -> float:
        # A backward pass costs two forward passes: for the inputs and for the weights.
        steps = len(examples) * epochs / batch_size
        return 3 * self.forward(examples, epochs, network) + steps * self._rates.step

    def _task_teacher(self, examples: EncodedExamples, passes: float) -> float:
        """Returns the time of the fine-tuned teacher's passes; a file of predictions needs none."""
        if self._options.teacher_predictions:
            return 0.0
        return self.forward(examples, passes, self.teacher)

    def _passes(
        self, examples: EncodedExamples, share: float, epochs: float, cached: Architecture
    ) -> float:
        """Returns how often a teacher passes over the examples; once if outputs are cached.

        Args:
            share: of the examples that is trained on.
            cached: the network whose hidden states would be cached.
        """
        states = [(cached.hidden_size, 2 if self._options.bfloat16 else 4)]
        states *= cached.num_layers + 1
        needed = cached_bytes(share * float(examples.lengths.sum()), states)
        fits = needed <= self._options.teacher_memory_gb * 1e9
        return share * (min(epochs, 1.0) if fits else epochs)
