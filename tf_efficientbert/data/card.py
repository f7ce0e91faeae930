"""The data card: statistics of a task's labelled data."""

import itertools
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from tf_efficientbert.data.card_hints import hints
from tf_efficientbert.data.examples import Examples
from tf_efficientbert.data.text_file import shown
from tf_efficientbert.data.text_keys import text_key
from tf_efficientbert.data.tokenizer import Tokenizer
from tf_efficientbert.tasks.labelled_task import LabelledTask
from tf_efficientbert.tasks.scores import per_class_counts

__all__ = ["card_text", "describe"]

_BATCH = 4096
_UNCUT = 10**6  # tokens
_BARS = 24  # of the histogram of lengths
_LISTED_CLASSES = 8
_LISTED_ROWS = 5


def describe(
    task: LabelledTask,
    splits: Mapping[str, Examples],
    *,
    columns: Mapping[str, str],
    left_out: Sequence[dict],
    notes: Sequence[str],
    is_drawn: bool = False,
    tokenizer: Tokenizer,
    max_tokens: int,
) -> dict:
    """Returns the data card of a task's splits, ready for JSON.

    A text here means an example's text or pair of texts. Two texts are equal if their `text_key`
    is.

    Args:
        task: the task of the labels.
        splits: name -> examples, at least one of them with labelled examples.
        columns: role -> the name of the column in the user's files.
        left_out: {"file", "line", "reason"} of each row that was skipped, with "unit": "record"
            where "line" counts records.
        notes: sentences on how the files were read.
        is_drawn: whether the rows are a sample of all rows.
        tokenizer: counts the tokens.
        max_tokens: the length at which training cuts a text, [CLS] and [SEP] included.

    Returns: {
        "task", "kind": str;
        "splits": {name: rows};
        "labels": {name: count over all splits}, {} without classes;
        "labels_by_split": {split: {name: count}} for the splits with labels;
        "targets": {"min", "mean", "max"} over all splits, only without classes;
        "columns": as given;
        "tokens": {"p50", "p95", "p99", "max": lengths of uncut texts; "cut": the share of texts
            that are longer than "max_tokens", "cut_count": how many};
        "lengths": {"edges": bars + 1, "counts": bars}, a histogram of the lengths whose last bar
            counts longer texts too;
        "duplicates": {"rows": rows that repeat the text of an earlier row of their split,
            "contradicting": texts with different labels, over all splits};
        "overlap": {"first/second": rows of the second split whose text is in the first};
        "left_out", "notes": as given;
        "unknown_token_share": the share of word pieces that are [UNK];
        "hints": a sentence for each problem found}.
    """
    keys = {name: _keys(examples) for name, examples in splits.items()}
    lengths, unknown_share = _token_counts(splits.values(), tokenizer)
    cut = int((lengths > max_tokens).sum())
    percentiles = {f"p{q}": round(float(np.percentile(lengths, q))) for q in (50, 95, 99)}
    card = {
        "task": task.name,
        "kind": task.kind,
        "splits": {name: len(examples) for name, examples in splits.items()},
        **_labels(task, splits),
        "columns": dict(columns),
        "tokens": {
            **percentiles,
            "max": int(lengths.max()),
            "cut": cut / len(lengths),
            "cut_count": cut,
            "max_tokens": max_tokens,
        },
        "lengths": _histogram(lengths),
        "duplicates": {
            "rows": sum(len(each) - len(set(each)) for each in keys.values()),
            "contradicting": _contradicting(splits, keys),
        },
        "overlap": _overlap(keys),
        "left_out": sorted(left_out, key=lambda row: (row["file"], row["line"])),
        "unknown_token_share": unknown_share,
        "notes": list(notes),
    }
    return {**card, "hints": hints(card, lengths, is_drawn)}


def card_text(card: dict) -> str:
    """Returns the card as a few lines of text; long lists of classes and rows are shortened.

    Args:
        card: see `describe`.
    """
    tokens, duplicates, left_out = card["tokens"], card["duplicates"], card["left_out"]
    kind = f"{card['kind']}, {len(card['labels'])} classes" if card["labels"] else card["kind"]
    lines = [
        f"Data of {card['task']}: {kind}",
        "Rows: " + ", ".join(f"{name} {rows:,}" for name, rows in card["splits"].items()),
    ]
    if card["columns"]:
        roles = (f"{role} from {shown(column)}" for role, column in card["columns"].items())
        lines.append(f"Columns: {', '.join(roles)}")
    lines += [
        _labels_line(card),
        f"Tokens in a text: median {tokens['p50']}, 95 % have up to {tokens['p95']}, 99 % up to "
        f"{tokens['p99']}, longest {tokens['max']:,}; --max_tokens={tokens['max_tokens']} cuts "
        f"{tokens['cut_count']:,} ({100 * tokens['cut']:.1f} %)",
        f"Unknown word pieces, [UNK]: {100 * card['unknown_token_share']:.2f} %",
        f"Duplicates: {duplicates['rows']:,} rows repeat a text of their split; "
        f"texts with different labels: {duplicates['contradicting']:,}",
    ]
    if card["overlap"]:
        shared = (f"{pair} {count:,}" for pair, count in card["overlap"].items())
        lines.append(f"Rows whose text is in two splits: {', '.join(shared)}")
    lines.append(f"Rows left out: {len(left_out):,}")
    lines += [
        f"  {row['file']}, {row.get('unit', 'line')} {row['line']}: {row['reason']}"
        for row in left_out[:_LISTED_ROWS]
    ]
    if len(left_out) > _LISTED_ROWS:
        lines.append(f"  and {len(left_out) - _LISTED_ROWS:,} more")
    lines += [f"Note: {note}" for note in card["notes"]]
    lines += [f"Hint: {hint}" for hint in card["hints"]]
    return "\n".join(lines)


def _keys(examples: Examples) -> list[str]:
    return [text_key(*texts) for texts in zip(*examples.columns, strict=True)]


def _token_counts(splits: Iterable[Examples], tokenizer: Tokenizer) -> tuple[np.ndarray, float]:
    """Returns the uncut length of each text, with [CLS] and [SEP], and the share of [UNK]."""
    unknown_id = tokenizer.vocabulary.index("[UNK]")
    lengths, unknown, pieces = [], 0, 0
    for examples in splits:
        for start in range(0, len(examples), _BATCH):
            batch = [list(texts[start : start + _BATCH]) for texts in examples.columns]
            token_ids, _ = tokenizer.encode(*batch, max_tokens=_UNCUT)
            lengths.append(token_ids.row_lengths().numpy())
            flat = token_ids.flat_values.numpy()
            unknown += int((flat == unknown_id).sum())
            pieces += len(flat) - len(batch[0]) * (1 + len(batch))  # without [CLS] and [SEP]
    return np.concatenate(lengths), unknown / max(pieces, 1)


def _labels(task: LabelledTask, splits: Mapping[str, Examples]) -> dict:
    """Returns the card's "labels" and "labels_by_split", and "targets" of a regression."""
    labels = {name: each.labels for name, each in splits.items() if each.labels is not None}
    if not task.has_classes:
        values = np.concatenate(list(labels.values())).astype(float)
        targets = {name: float(getattr(values, name)()) for name in ("min", "mean", "max")}
        return {"labels": {}, "labels_by_split": {}, "targets": targets}
    counts = {
        name: per_class_counts(each, each, len(task.labels))[:, 2] for name, each in labels.items()
    }
    named = {
        name: dict(zip(task.labels, each.tolist(), strict=True)) for name, each in counts.items()
    }
    total = sum(counts.values())
    return {
        "labels": dict(zip(task.labels, total.tolist(), strict=True)),
        "labels_by_split": named,
    }


def _contradicting(splits: Mapping[str, Examples], keys: Mapping[str, Sequence[str]]) -> int:
    first, contradicting = {}, set()
    for name, examples in splits.items():
        if examples.labels is None:
            continue
        for key, target in zip(keys[name], examples.labels.tolist(), strict=True):
            if first.setdefault(key, target) != target:
                contradicting.add(key)
    return len(contradicting)


def _overlap(keys: Mapping[str, Sequence[str]]) -> dict[str, int]:
    known = {name: set(each) for name, each in keys.items()}
    return {
        f"{first}/{second}": sum(key in known[first] for key in keys[second])
        for first, second in itertools.combinations(keys, 2)
    }


def _histogram(lengths: np.ndarray) -> dict:
    # Capped: otherwise a few very long texts put all others into one bar.
    last = min(int(lengths.max()), 3 * int(np.percentile(lengths, 95)))
    width = -(-(last + 1) // _BARS)
    edges = np.arange(0, last + width + 1, width)
    counts, _ = np.histogram(np.minimum(lengths, last), edges)
    return {"edges": edges.tolist(), "counts": counts.tolist()}


def _labels_line(card: dict) -> str:
    if not card["labels"]:
        targets = card["targets"]
        return f"Targets: {targets['min']:g} to {targets['max']:g}, mean {targets['mean']:.4g}"
    ordered = sorted(card["labels"].items(), key=lambda item: -item[1])
    if len(ordered) <= 2 * _LISTED_CLASSES:
        return f"Classes: {_listed(ordered)}"
    most, least = ordered[:_LISTED_CLASSES], ordered[-_LISTED_CLASSES:]
    return f"Classes: most frequent {_listed(most)}; least frequent {_listed(least)}"


def _listed(classes: Sequence[tuple[str, int]]) -> str:
    return ", ".join(f"{shown(name)} {count:,}" for name, count in classes)
