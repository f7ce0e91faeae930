"""What a run will do, and how long that may take."""

from tf_efficientbert.architecture import Architecture
from tf_efficientbert.data.batching import EncodedExamples, encode
from tf_efficientbert.data.task_data import TaskData
from tf_efficientbert.data.tokenizer import Tokenizer
from tf_efficientbert.distillation.distiller import resolve_architecture
from tf_efficientbert.models.teacher import architecture_of, find_teacher, read_config
from tf_efficientbert.pipeline.options import MODELS, STUDENTS, PipelineOptions

# Measured on the two-core machine of the README's results: time of a multiply-accumulate in a
# training step, of one parameter's AdamW update, and of exporting and checking one model.
_SECONDS_PER_MAC = 1.0e-11
_SECONDS_PER_UPDATE = 2.0e-9
_SECONDS_PER_EXPORT = 25


def plan(options: PipelineOptions, data: TaskData) -> str:
    """The phases with their estimated minutes, as text.

    Raises:
        UserError: the teacher's folder is missing or unusable.
    """
    folder = find_teacher(options.teacher_dir)
    teacher = architecture_of(read_config(folder))
    tokenizer = Tokenizer.from_folder(folder)
    warm_up = options.supernet()
    text = warm_up.encoded(tokenizer)
    train = data.load("train")
    task = encode(tokenizer, train.sentences, train.second_sentences, max_tokens=options.max_tokens)
    supernet = warm_up.architecture()
    lines = [f"{options.output_dir}: from text to a distilled, exported student, in these steps:"]
    total = 0.0

    def phase(name: str, what: str, seconds: float) -> None:
        nonlocal total
        total += seconds
        lines.append(f"  {name:<10} {seconds / 60:4.1f} min  {what}")

    phase(
        "teacher",
        f"fine-tune {folder.name} ({teacher.count_parameters(None) / 1e6:.1f} M parameters) on "
        f"{len(task)} sentences of {data.task.name}",
        _training_seconds(task, options.teacher_epochs, teacher),
    )
    phase(
        "supernet",
        f"warm up on {len(text)} sentences of raw text",
        _training_seconds(text, options.warm_up_epochs, supernet, teacher),
    )
    for name in STUDENTS:
        student = resolve_architecture(name, supernet)
        phase(
            name,
            f"distil {student.count_parameters(None) / 1e6:.2f} M parameters on the task",
            _training_seconds(task, options.student_epochs, student, teacher),
        )
    phase(
        "export",
        "SavedModel and LiteRT of all three, compared and timed",
        _SECONDS_PER_EXPORT * len(MODELS),
    )
    lines.append(
        f"About {total / 60:.0f} minutes on two CPU cores. Kill it when you like: the same command "
        "goes on where it was."
    )
    return "\n".join(lines)


def _training_seconds(
    examples: EncodedExamples,
    epochs: float,
    student: Architecture,
    teacher: Architecture | None = None,
    batch_size: int = 32,
) -> float:
    """A rough estimate for two CPU cores.

    A step passes three times over the student's weights, forward and twice backward, once over
    the teacher's, and updates every parameter.
    """
    macs = 3 * student.count_macs(128) + (teacher.count_macs(128) if teacher else 0)
    tokens = float(examples.lengths.sum()) * epochs
    updates = len(examples) * epochs / batch_size * student.count_parameters(None)
    return tokens / 128 * macs * _SECONDS_PER_MAC + updates * _SECONDS_PER_UPDATE
