"""What a run will do, and how long that may take."""

import math
from collections.abc import Collection

from tf_efficientbert.architecture import Architecture
from tf_efficientbert.compression.steps import parse_steps
from tf_efficientbert.data.batching import EncodedExamples, encode
from tf_efficientbert.data.task_data import TaskData
from tf_efficientbert.data.tokenizer import Tokenizer
from tf_efficientbert.distillation.distiller import resolve_architecture
from tf_efficientbert.models.huggingface_config import architecture_of
from tf_efficientbert.models.teacher import find_teacher, read_config
from tf_efficientbert.pipeline.options import COMPRESSED, STUDENTS, PipelineOptions
from tf_efficientbert.search.stages import Stage, read_stages
from tf_efficientbert.tasks import Task

# Measured on two cores of an Intel Xeon with AMX: time of a multiply-accumulate, by whether it is
# one of bfloat16, of one parameter's AdamW update, of what a training step takes besides, and of
# exporting and checking one model.
_SECONDS_PER_MAC = {True: 9e-12, False: 1.15e-11}
_SECONDS_PER_UPDATE = 2.0e-9
_SECONDS_PER_STEP = 0.14
_SECONDS_PER_EXPORT = 36
_SECONDS_PER_START = 25  # of a training: reading models and text, tracing the step
_SECONDS_PER_CANDIDATE = 8  # its start, where it is trained alone: inheriting, tracing
_SECONDS_PER_SHARED_START = 60  # of the graph that holds all stacks and ratios
_TOKENS = 128  # of the text whose multiply-accumulates are counted


def plan(options: PipelineOptions, data: TaskData, finished: Collection[str] = ()) -> str:
    """The phases with their estimated minutes, as text.

    Args:
        finished: phases, "export_MODEL" of an export, that an earlier process has finished.

    Raises:
        UserError: the teacher's folder is missing or unusable.
    """
    folder = find_teacher(options.teacher_dir)
    tokenizer = Tokenizer.from_folder(folder)
    warm_up = options.supernet()
    text = warm_up.encoded(tokenizer)
    train = data.load("train")
    task = encode(tokenizer, train.texts, train.second_texts, max_tokens=options.max_tokens)
    supernet = warm_up.architecture()
    plain = resolve_architecture("plain", supernet)
    clock = _Clock(options, read_config(folder), data.task)
    exports = [name for name in options.models if f"export_{name}" not in finished]
    done = {*finished, *([] if exports else ["export"])}

    lines = [f"{options.output_dir}: from text to a searched, distilled and exported student:"]
    total = 0.0

    def phase(name: str, what: str, seconds: float) -> None:
        nonlocal total
        if name in done:
            lines.append(f"  {name:<10}     done  {what}")
            return
        total += seconds
        lines.append(f"  {name:<10} {seconds / 60:4.1f} min  {what}")

    def millions(architecture: Architecture) -> str:
        return f"{clock.parameters(architecture) / 1e6:.2f} M parameters"

    phase(
        "teacher",
        f"fine-tune {folder.name} ({millions(clock.teacher)}) on {len(task)} texts of "
        f"{data.task.name}",
        clock.training(task, options.teacher_epochs, clock.teacher),
    )
    phase(
        "supernet",
        f"warm up on {len(text)} sentences of raw text",
        clock.training(text, options.warm_up_epochs, supernet)
        + clock.forward(text, options.warm_up_epochs, clock.teacher),
    )
    stages = read_stages(options.stages)
    phase(
        "search",
        f"{', '.join(str(stage.candidates) for stage in stages)} candidates in three stages",
        _SECONDS_PER_START + sum(clock.stage(stage, text, task, plain) for stage in stages),
    )
    for name in STUDENTS:
        # What is searched for may be as large as the plain one.
        student = plain if name == "searched" else resolve_architecture(name, supernet)
        phase(
            name,
            f"distil {'at most ' if name == 'searched' else ''}{millions(student)} on the task",
            clock.distillation(task, options.student_epochs, student),
        )
    if options.compress:
        phase(
            COMPRESSED,
            f"make the searched one smaller: {options.compress}",
            clock.compression(
                task, options.compress_epochs, len(parse_steps(options.compress)), plain
            ),
        )
    phase(
        "export",
        f"SavedModel and LiteRT of {', '.join(exports) or 'all'}, compared and timed",
        _SECONDS_PER_EXPORT * len(exports),
    )
    cores = "two CPU cores"
    if options.bfloat16:
        cores += " that multiply bfloat16, twice that on others"
    lines.append(
        f"About {total / 60:.0f} minutes{' more' if finished else ''} on {cores}. Stop it when you "
        "like: the same command continues."
    )
    return "\n".join(lines)


class _Clock:
    """Rough estimates in seconds, for two CPU cores.

    Args:
        config: of the BERT that teaches.
        task: what the heads answer.
    """

    def __init__(self, options: PipelineOptions, config: dict, task: Task):
        self._options, self._task = options, task
        self._tables = config["vocab_size"], config["max_position_embeddings"]
        self.teacher = architecture_of(config)

    def parameters(self, network: Architecture) -> int:
        """As deployed, encoder and head."""
        head = self._task.new_head(network.hidden_size, 0.0)
        head.build((None, None, network.hidden_size))
        return network.count_parameters(None, *self._tables) + head.count_params()

    def forward(self, examples: EncodedExamples, passes: float, network: Architecture) -> float:
        """Passes over all examples, of which a part may be one."""
        macs = network.count_macs(_TOKENS) / _TOKENS * float(examples.lengths.sum()) * passes
        return macs * _SECONDS_PER_MAC[self._options.bfloat16]

    def training(self, examples: EncodedExamples, epochs: float, network: Architecture) -> float:
        """A training of its own, without the teacher's passes."""
        return _SECONDS_PER_START + self._steps(examples, epochs, network, self._options.batch_size)

    def distillation(
        self, examples: EncodedExamples, epochs: float, student: Architecture
    ) -> float:
        """One on the task, with the teacher's passes."""
        taught = self._teaching(examples, 1.0, epochs, self.teacher)
        return self.training(examples, epochs, student) + taught

    def compression(
        self, examples: EncodedExamples, epochs: float, steps: int, student: Architecture
    ) -> float:
        """Each step a distillation; the teacher and the student as it was teach in all of them."""
        taught = sum(
            self._teaching(examples, 1.0, steps * epochs, network)
            for network in (self.teacher, student)
        )
        return steps * self.training(examples, epochs, student) + taught

    def stage(
        self, stage: Stage, text: EncodedExamples, task: EncodedExamples, largest: Architecture
    ) -> float:
        """A stage of the search whose candidates are all as large as one may be."""
        lesson = stage.training
        learnt_from = (1 - stage.held_out) * lesson.task_share
        parts = (
            (text, lesson.text_share, lesson.text_epochs),
            (task, learnt_from, lesson.task_epochs),
        )
        if stage.shares_weights:
            seconds, trained, groups = _SECONDS_PER_SHARED_START, 1, 1
        else:
            seconds, trained = _SECONDS_PER_CANDIDATE * stage.candidates, stage.candidates
            groups = math.ceil(stage.candidates / self._options.group_size)
        for examples, share, epochs in parts:
            steps = self._steps(examples, share * epochs, largest, lesson.batch_size)
            seconds += trained * steps
            seconds += self._teaching(examples, share, groups * epochs, self.teacher)
        return seconds + stage.candidates * self.forward(task, stage.held_out, largest)

    def _steps(
        self, examples: EncodedExamples, epochs: float, network: Architecture, batch_size: int
    ) -> float:
        # A step passes three times over the weights: forward and twice backward.
        once = self.parameters(network) * _SECONDS_PER_UPDATE + _SECONDS_PER_STEP
        steps = len(examples) * epochs / batch_size
        return 3 * self.forward(examples, epochs, network) + steps * once

    def _teaching(
        self, examples: EncodedExamples, share: float, epochs: float, teacher: Architecture
    ) -> float:
        """A teacher's passes over a share: one where it is recorded (`TeacherPass.recorded`)."""
        value = 2 if self._options.bfloat16 else 4
        states = (teacher.num_layers + 1) * teacher.hidden_size
        needed = value * states * share * float(examples.lengths.sum())
        once = needed <= self._options.teacher_memory_gb * 1e9
        return self.forward(examples, share * (min(epochs, 1.0) if once else epochs), teacher)
