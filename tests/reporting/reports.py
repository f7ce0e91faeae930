"""Complete reports, small or as large as after a long search."""

import json
import math
import random

from tf_efficientbert.architecture import Architecture
from tf_efficientbert.architecture.expression import parse
from tf_efficientbert.architecture.mutation import mutate

SIZES = {"hidden_size": 48, "ffn_width": 48}


def ordinary(stack: int = 1, denominator: int = 1) -> str:
    name = f"linear{stack}_{denominator}"
    return f"{name}(gelu({name}(x,wb1)),wb2)"


def architecture(seed: int, layers: int = 2) -> Architecture:
    draws = random.Random(seed)
    seeds = [ordinary(draws.randint(1, 4), draws.randint(1, 4)) for _ in range(layers)]
    formulas = [str(mutate(parse(text), draws.randrange(10**6), **SIZES)) for text in seeds]
    return Architecture.from_formulas(formulas, **SIZES)


def described(network: Architecture) -> dict:
    return json.loads(network.to_json())


def report(counts: tuple[int, ...] = (4, 3, 5), layers: int = 2, records: int = 30) -> dict:
    """Returns a report as in JSON; each stage has a failed second and a running last candidate."""
    names = ("joint", "formulas", "sizes")
    stages = [_stage(name, count, layers) for name, count in zip(names, counts, strict=True)]
    stages[-1]["training"] = _curve(records)
    searched = described(architecture(99, layers))
    return {
        "title": "quickstart",
        "task": "reviews",
        "split": "test",
        "examples": 400,
        "models": [
            _model("teacher", 0.92, None),
            _model("plain", 0.86, described(Architecture.from_formulas([ordinary()], **SIZES))),
            _model("published", 0.85, described(architecture(98, layers))),
            _model("searched", 0.88, searched),
        ],
        "data": data_card(),
        "classes": {
            "searched": [
                {"label": "negative", "precision": 0.93, "recall": 0.9, "f1": 0.91, "support": 280},
                {"label": "positive", "precision": 0.8, "recall": 0.83, "f1": 0.81, "support": 120},
            ]
        },
        "paired": {
            "searched": {
                "metric": "accuracy",
                "difference": 0.02,
                "standard_error": 0.015,
                "p_value": 0.1824,
            }
        },
        "compression": [
            _step("as it was", 0.88, 6_090_000, 20_900_000, 3.25),
            _step("prune(0.5)", 0.865, 4_000_000, 15_200_000, 95),
        ],
        "confusion": {
            "searched": {"labels": ["negative", "positive"], "counts": [[250, 30], [20, 100]]},
            "teacher": {"labels": ["negative", "positive"], "counts": [[260, 20], [12, 108]]},
        },
        "losses": {
            "teacher: fine-tuning": _curve(records, dev=True),
            "supernet: warm-up": _curve(records),
        },
        "search": {"stages": stages},
        "seconds": {"teacher": 66, "search": 3720.5, "export": 0.4},
    }


def data_card(labels: dict[str, int] | None = None) -> dict:
    """Returns a data card of three splits; `labels` are the training rows of each class."""
    train = labels or {"negative": 1500, "positive": 900}
    held_out = {name: count // 4 for name, count in train.items()}
    by_split = {"train": train, "dev": held_out, "test": held_out}
    return {
        "task": "reviews",
        "kind": "classification",
        "splits": {split: sum(counts.values()) for split, counts in by_split.items()},
        "labels": {name: count + 2 * held_out[name] for name, count in train.items()},
        "labels_by_split": by_split,
        "columns": {"text": "review", "label": "stars"},
        "tokens": {
            "p50": 24,
            "p95": 61,
            "p99": 80,
            "max": 700,
            "cut": 0.04,
            "cut_count": 144,
            "max_tokens": 64,
        },
        "lengths": {
            "edges": list(range(0, 193, 8)),
            "counts": [max(0, 600 - 9 * (bar - 4) ** 2) + 5 for bar in range(24)],
        },
        "duplicates": {"rows": 12, "contradicting": 3},
        "overlap": {"train/dev": 2, "train/test": 0, "dev/test": 0},
        "left_out": [
            {"file": "reviews.csv", "line": line, "reason": "the text is empty"}
            for line in (17, 230)
        ],
        "unknown_token_share": 0.0031,
        "notes": ["reviews.csv: text is 'review', label is 'stars'. Comma between columns"],
        "hints": ["144 of 3,600 texts are longer than 64 tokens and are cut there"],
    }


def _stage(name: str, count: int, layers: int) -> dict:
    candidates = [_candidate(index, layers, len(name), count) for index in range(count)]
    scores = {c["index"]: c["score"] for c in candidates if c["score"] is not None}
    return {
        "name": name,
        "metric": "accuracy",
        "planned": count,
        "ended": True,
        "validation_examples": 500,
        "sampler": "action space",
        "fits": [{"index": 4, "candidates": 2, "depth": 1, "share": 0.5}],
        "best": max(scores, key=scores.get) if scores else None,
        "training": [],
        "candidates": candidates,
    }


def _candidate(index: int, layers: int, salt: int, count: int) -> dict:
    draws = random.Random(1000 * salt + index)
    state = "failed" if index == 1 else "complete"
    candidate = {
        "index": index,
        "architecture": described(architecture(100 * salt + index, layers)),
        "score": round(draws.uniform(0.7, 0.9), 4) if state == "complete" else None,
        "parameters": draws.randint(5_000_000, 7_000_000),
        "state": state,
        "seconds": draws.uniform(5, 15),
        "losses": [3 * math.exp(-step / 10) for step in range(20)],
    }
    if state == "failed":
        candidate["reason"] = "the loss is not finite at step 9"
    if index == 0:
        candidate["reused"] = True
    return candidate


def _model(name: str, accuracy: float, network: dict | None) -> dict:
    files = {"bytes": 24_000_000, "latency_ms": {"1": 9.5, "2": 5.25}}
    model = {
        "name": name,
        "parameters": 6_090_000,
        "macs": 209_000_000,
        "test_accuracy": accuracy,
        "test_accuracy_standard_error": math.sqrt(accuracy * (1 - accuracy) / 400),
        "litert": {"float32": files, "int8": files},
    }
    return model | ({"architecture": network} if network else {})


def _step(name: str, accuracy: float, nonzero: int, zipped: int, seconds: float) -> dict:
    return {
        "step": name,
        "dev_accuracy": accuracy,
        "dev_accuracy_standard_error": 0.016,
        "parameters": 6_090_000,
        "nonzero_parameters": nonzero,
        "macs": 209_000_000,
        "zipped_bytes": zipped,
        "int8_bytes": 6_290_000,
        "seconds": seconds,
    }


def _curve(records: int, dev: bool = False) -> list[dict]:
    return [
        {"step": step, "loss": 90 * math.exp(-6 * step / records) + 0.5}
        | ({"dev_accuracy": 0.9} if dev and step % 10 == 0 else {})
        for step in range(1, records + 1)
    ]
