"""What a run will do, and how long that may take."""

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

# Measured on two cores of an Intel Xeon with AMX, in bfloat16: time of a
# multiply-accumulate in a training step, of one parameter's AdamW update, and of exporting and
# checking one model.
_SECONDS_PER_MAC = 1.4e-11
_SECONDS_PER_UPDATE = 2.0e-9
_SECONDS_PER_EXPORT = 36
_SECONDS_PER_START = 25  # of a training: reading models and text, tracing the step
_SECONDS_PER_CANDIDATE = 15  # its start, where it is trained alone: inheriting, tracing
_SECONDS_PER_SHARED_START = 60  # of the graph that holds all stacks and ratios


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

    lines = [f"{options.output_dir}: from text to a searched, distilled and exported student:"]
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
    plain = resolve_architecture("plain", supernet)

    def stage_seconds(stage: Stage) -> float:
        training = stage.training
        trained, held_out = (1 - stage.held_out), stage.held_out
        # Passes over the whole text and the whole task that one training comes to.
        lessons = (
            (text, training.text_share * training.text_epochs),
            (task, training.task_share * trained * training.task_epochs),
        )

        def training_seconds(network: Architecture, teacher_share: float) -> float:
            updates = sum(len(each) * passes for each, passes in lessons) / training.batch_size
            return updates * parameters(network) * _SECONDS_PER_UPDATE + sum(
                _passes_seconds(each, passes, network, teacher, teacher_share)
                for each, passes in lessons
            )

        scoring = _passes_seconds(task, held_out / 3, plain, None)  # forward alone
        if stage.shares_weights:
            once = _SECONDS_PER_SHARED_START + training_seconds(plain, 1.0)
            return once + stage.candidates * scoring
        each = _SECONDS_PER_CANDIDATE + training_seconds(plain, 1 / options.group_size) + scoring
        return stage.candidates * each

    stages = read_stages(options.stages)
    phase(
        "search",
        f"{', '.join(str(stage.candidates) for stage in stages)} candidates in three stages",
        _SECONDS_PER_START + sum(map(stage_seconds, stages)),
    )
    for name in STUDENTS:
        # What is searched for may be as large as the plain one.
        student = plain if name == "searched" else resolve_architecture(name, supernet)
        at_most = "at most " if name == "searched" else ""
        phase(
            name,
            f"distil {at_most}{parameters(student) / 1e6:.2f} M parameters on the task",
            seconds(task, options.student_epochs, student, teacher),
        )
    if options.compress:
        steps = len(parse_steps(options.compress))
        once = seconds(task, options.compress_epochs, plain, teacher)
        phase(COMPRESSED, f"make the searched one smaller: {options.compress}", steps * once)
    phase(
        "export",
        f"SavedModel and LiteRT of all {len(options.models)}, compared and timed",
        _SECONDS_PER_EXPORT * len(options.models),
    )
    lines.append(
        f"About {total / 60:.0f} minutes on two CPU cores that multiply bfloat16, two or three "
        "times that on others. Kill it when you like: the same command goes on where it was."
    )
    return "\n".join(lines)


def _passes_seconds(
    examples: EncodedExamples,
    epochs: float,
    trained: Architecture,
    teacher: Architecture | None,
    teacher_share: float = 1.0,
) -> float:
    """A rough estimate of the forward and backward passes, on two CPU cores.

    A step passes three times over the trained weights, forward and twice backward, and once over
    the teacher's, which several candidates may share.
    """
    macs = 3 * trained.count_macs(128)
    if teacher:
        macs += teacher_share * teacher.count_macs(128)
    return float(examples.lengths.sum()) * epochs / 128 * macs * _SECONDS_PER_MAC
