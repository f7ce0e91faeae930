"""Describes the phases of a run and estimates their time."""

from collections.abc import Mapping

from tf_efficientbert.architecture import Architecture
from tf_efficientbert.compression.steps import count_trainings, parse_steps
from tf_efficientbert.data.batching import encode
from tf_efficientbert.data.corpus import encoded_corpus
from tf_efficientbert.data.task_data import TaskData
from tf_efficientbert.data.tokenizer import Tokenizer
from tf_efficientbert.data.unlabelled import read_unlabelled, with_unlabelled
from tf_efficientbert.distillation.student_architecture import resolve_architecture
from tf_efficientbert.models.teacher import find_teacher, read_config
from tf_efficientbert.pipeline.estimates import Estimates
from tf_efficientbert.pipeline.options import COMPRESSED, STUDENTS, PipelineOptions
from tf_efficientbert.pipeline.rates import Rates
from tf_efficientbert.search.stages import read_stages


def plan(
    options: PipelineOptions,
    data: TaskData,
    rates: Rates,
    finished: Mapping[str, float] | None = None,
) -> str:
    """Returns a text with the phases and their estimated minutes.

    Args:
        rates: of this machine.
        finished: seconds of the phases that are finished already; an export is named
            "export_MODEL". Their ratio to the estimates corrects the remaining estimates.

    Raises:
        UserError: the teacher's folder is missing or unusable.
    """
    finished = finished or {}
    seconds, descriptions = _estimates(options, data, rates)
    known = [name for name in seconds if name in finished]
    estimated = sum(seconds[name] for name in known)
    pace = sum(finished[name] for name in known) / estimated if estimated else 1.0
    exports = [name for name in options.models if f"export_{name}" not in finished]
    seconds["export"] = sum(seconds.pop(f"export_{name}") for name in exports)
    descriptions["export"] = (
        f"SavedModel and LiteRT of {', '.join(exports) or 'all'}, compared and timed"
    )
    done = {*finished, *([] if exports else ["export"])}
    left = {name: pace * seconds[name] for name in descriptions if name not in done}
    lines = [f"{options.output_dir}: from text to a searched, distilled and exported student:"]
    for name, description in descriptions.items():
        time_left = f"{left[name] / 60:4.1f} min" if name in left else "    done"
        lines.append(f"  {name:<10} {time_left}  {description}")
    lines.append(
        f"About {sum(left.values()) / 60:.0f} minutes{' more' if finished else ''} on this "
        "machine. You can stop the run at any time: the same command resumes it."
    )
    return "\n".join(lines)


def _estimates(
    options: PipelineOptions, data: TaskData, rates: Rates
) -> tuple[dict[str, float], dict[str, str]]:
    """Returns the seconds of each phase and export, and the description of each phase."""
    folder = find_teacher(options.teacher_dir)
    tokenizer = Tokenizer.from_folder(folder)
    warm_up = options.warm_up(data.task.pair)
    text = encoded_corpus(
        warm_up.corpus,
        warm_up.corpus_sentences,
        warm_up.corpus_max_tokens,
        tokenizer,
        warm_up.packs_pairs(),
    )
    train = data.load("train")
    task = encode(tokenizer, train.texts, train.second_texts, max_tokens=options.max_tokens)
    taught = task
    if options.unlabelled_file:
        texts = read_unlabelled(options.unlabelled_file, options.unlabelled_share, options, data)
        more = encode(tokenizer, *texts.columns, max_tokens=options.max_tokens)
        taught = with_unlabelled(task, more)
    supernet = warm_up.architecture()
    plain = resolve_architecture("plain", supernet)
    estimates = Estimates(options, rates, read_config(folder), data.task)
    stages = read_stages(options.stages)
    seconds, descriptions = {}, {}

    def phase(name: str, description: str, estimate: float) -> None:
        seconds[name], descriptions[name] = estimate, description

    def millions(architecture: Architecture) -> str:
        return f"{estimates.parameters(architecture) / 1e6:.2f} M parameters"

    phase(
        "teacher",
        f"fine-tune {folder.name} ({millions(estimates.teacher)}) on {len(task)} texts of "
        f"{data.task.name}",
        estimates.training(task, options.teacher_epochs, estimates.teacher),
    )
    if options.trains_supernet:
        phase(
            "supernet",
            f"warm up on {len(text)} {'pairs' if warm_up.packs_pairs() else 'sentences'} of raw "
            "text",
            estimates.training(text, options.warm_up_epochs, supernet)
            + estimates.forward(text, options.warm_up_epochs, estimates.teacher),
        )
    phase(
        "search",
        f"{', '.join(str(stage.candidates) for stage in stages)} candidates in three stages",
        rates.training + sum(estimates.stage(stage, text, task, taught, plain) for stage in stages),
    )
    # The searched student may be as large as the plain one.
    students = [
        plain if name == "searched" else resolve_architecture(name, supernet) for name in STUDENTS
    ]
    phase(
        "students",
        f"distil {', '.join(STUDENTS)} on the task, side by side: at most "
        f"{millions(max(students, key=estimates.parameters))} each",
        estimates.students(taught, options.student_epochs, students),
    )
    if options.compress:
        phase(
            COMPRESSED,
            f"compress the searched model: {options.compress}",
            estimates.compression(
                taught,
                options.compress_epochs,
                count_trainings(parse_steps(options.compress)),
                plain,
            ),
        )
    seconds |= {f"export_{name}": rates.export for name in options.models}
    return seconds, descriptions
