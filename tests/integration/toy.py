"""A tiny pipeline whose teacher is a random BERT of two layers, and helpers to run jobs."""

import dataclasses
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

from tests import default_task
from tests.models.huggingface_folder import CONFIG, random_weights, write_folder
from tf_efficientbert.pipeline.options import PipelineOptions

SENTENCES = 48
_REPOSITORY = Path(__file__).resolve().parents[2]
STAGES = _REPOSITORY / "trainers" / "recipes" / "toy_stages.json"
_DEADLINE = 1800  # seconds, on a machine that may be busy


def write_bert(folder: Path) -> Path:
    """Writes a Hugging Face folder whose vocabulary has the default task's frequent words."""
    sentences = default_task.load("train").texts
    counts = Counter(word for text in sentences for word in re.findall("[a-z]+", text.lower()))
    words = sorted(word for word, count in counts.items() if count >= 5 and len(word) > 1)
    letters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    vocabulary = [*special, *letters, *(f"##{letter}" for letter in letters), *words]
    config = {
        **CONFIG,
        "vocab_size": len(vocabulary),
        "hidden_size": 48,
        "intermediate_size": 96,
        "num_attention_heads": 12,
        "num_hidden_layers": 2,
        "max_position_embeddings": 128,
    }
    weights = {name: value / 6 for name, value in random_weights(config).items()}
    write_folder(folder, config, weights)
    (folder / "vocab.txt").write_text("".join(f"{word}\n" for word in vocabulary), "utf-8")
    return folder


def pipeline_options(bert: Path, output_dir: Path, **changes) -> PipelineOptions:
    sizes = {"hidden_size": 48, "embedding_size": 32, "max_tokens": 64, "batch_size": 16}
    amounts = {"limit": SENTENCES, "corpus_sentences": 320, "latency_runs": 5}
    search = {"stages": str(STAGES), "group_size": 2}
    epochs = {"teacher_epochs": 1.0, "warm_up_epochs": 1.0, "student_epochs": 4.0}
    return PipelineOptions(
        output_dir=str(output_dir),
        teacher_dir=str(bert),
        supernet="fresh",
        **{**sizes, **amounts, **search, **epochs, **changes},
    )


def as_flags(options) -> list[str]:
    """Returns the flags for these options; None stands for a flag that is not set."""
    values = {name: v for name, v in dataclasses.asdict(options).items() if v is not None}
    return [f"--{n}={str(v).lower() if isinstance(v, bool) else v}" for n, v in values.items()]


def error_line(done: subprocess.CompletedProcess) -> str:
    """Returns the error message of a failed job, which must be one line."""
    assert done.returncode == 1, done.stderr[-3000:]
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    return line.removeprefix("error: ")


def _command(job: str, options) -> dict:
    flags = options if isinstance(options, list) else as_flags(options)
    return {
        "args": [sys.executable, "-m", job, *flags],
        "cwd": _REPOSITORY,
        "env": {**os.environ, "TQDM_DISABLE": "1"},
        "text": True,
    }


def run_job(job: str, options) -> subprocess.CompletedProcess:
    """Runs a job; `options` is its dataclass or a list of flags."""
    return subprocess.run(**_command(job, options), capture_output=True, timeout=_DEADLINE)


def finish_job(job: str, options) -> subprocess.CompletedProcess:
    """Runs a job, which must succeed."""
    done = run_job(job, options)
    assert done.returncode == 0, done.stderr[-3000:]
    return done


def kill_job_after(checkpoints: Path, step: int, job: str, options) -> None:
    """Runs a job and kills it right after it saves step `step` in `checkpoints`."""
    done = run_job(
        "tests.integration.killed_job", [str(checkpoints), str(step), job, *as_flags(options)]
    )
    assert done.returncode == -signal.SIGKILL, done.stderr[-3000:]


def newest_step(checkpoints: Path) -> int:
    """Returns the last saved step, or 0."""
    steps = [int(path.name.removeprefix("step-")) for path in checkpoints.glob("step-*")]
    return max(steps, default=0)
