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
_SECONDS_PER_START = 15  # of a training: reading models and text, tracing the step


def plan(options: PipelineOptions, data: TaskData) -> str:
    """The phases with their estimated minutes, as text.

    Raises:
        UserError: the teacher's folder is missing or unusable.
    """
    folder = find_teacher(options.teacher_dir)
    config = read_config(folder)
    teacher = architecture_of(config)

    def parameters(architecture: Architecture) -> int:
        sizes = config["vocab_size"], config["max_position_embeddings"]
        return architecture.count_parameters(None, *sizes)

    tokenizer = Tokenizer.from_folder(folder)
    warm_up = options.supernet()
    text = warm_up.encoded(tokenizer)
    train = data.load("train")
    task = encode(tokenizer, train.sentences, train.second_sentences, max_tokens=options.max_tokens)
    supernet = warm_up.architecture()

    def seconds(examples, epochs, trained, teacher=None) -> float:
        steps = len(examples) * epochs / options.batch_size
        update = steps * parameters(trained) * _SECONDS_PER_UPDATE
        passes = _passes_seconds(examples, epochs, trained, teacher)
        return _SECONDS_PER_START + passes + update

    lines = [f"{options.output_dir}: from text to a distilled, exported student, in these steps:"]
    total = 0.0

    def phase(name: str, what: str, estimate: float) -> None:
        nonlocal total
        total += estimate
        lines.append(f"  {name:<10} {estimate / 60:4.1f} min  {what}")

    phase(
        "teacher",
        f"fine-tune {folder.name} ({parameters(teacher) / 1e6:.1f} M parameters) on "
        f"{len(task)} sentences of {data.task.name}",
        seconds(task, options.teacher_epochs, teacher),
    )
    phase(
        "supernet",
        f"warm up on {len(text)} sentences of raw text",
        seconds(text, options.warm_up_epochs, supernet, teacher),
    )
    for name in STUDENTS:
        student = resolve_architecture(name, supernet)
        phase(
            name,
            f"distil {parameters(student) / 1e6:.2f} M parameters on the task",
            seconds(task, options.student_epochs, student, teacher),
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


def _passes_seconds(
    examples: EncodedExamples,
    epochs: float,
    trained: Architecture,
    teacher: Architecture | None,
) -> float:
    """A rough estimate of the forward and backward passes, on two CPU cores.

    A step passes three times over the trained weights, forward and twice backward, and once over
    the teacher's.
    """
    macs = 3 * trained.count_macs(128) + (teacher.count_macs(128) if teacher else 0)
    return float(examples.lengths.sum()) * epochs / 128 * macs * _SECONDS_PER_MAC
