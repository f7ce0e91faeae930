"""Reads the texts, labels and numbers of tensorflow_datasets' data sets as tables."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from tf_efficientbert.data.tabular import BadRow, Table, table_of_objects
from tf_efficientbert.errors import UserError, first_line

__all__ = ["read_tfds"]

# The names that data sets use for each split, in order of preference.
_SPLIT_NAMES = {
    "train": ("train",),
    "dev": ("validation", "validation_matched", "dev"),
    "test": ("test", "test_matched"),
}
_BATCH = 1000

_Decode = Callable[[object], object]


def read_tfds(name: str, data_dir: str | Path) -> dict[str, Table]:
    """Reads a data set that is prepared under a folder, or downloads and prepares it there.

    Args:
        name: a name of tensorflow_datasets' catalog, such as "ag_news_subset" or "glue/qnli".
        data_dir: the folder under which sets are prepared.

    Returns:
        The tables of "train", "dev" (the set's validation split) and "test" that the set has.
        Examples are in the set's order, numbered from 1. Texts are str, classes their names, an
        absent class (-1) None, a list of classes a list of names, numbers unchanged. Other
        features are left out and named in the notes.

    Raises:
        UserError: the set is unknown, cannot be prepared, or has none of the splits.
    """
    builder = _builder(name, data_dir)
    if not _is_prepared(builder):
        _prepare(builder, name, data_dir)
    present = list(builder.info.splits)
    parts = _parts(present)
    if not parts:
        problem = f"has the splits {', '.join(present)}, none for {', '.join(_SPLIT_NAMES)}"
        raise UserError(f"--tfds={name}: {problem}; take another set")
    decoders = _decoders(builder.info.features)
    if not decoders:
        raise UserError(f"--tfds={name}: no feature is text, a class or a number; take another set")
    notes = [f"tensorflow_datasets' {builder.info.full_name}"]
    if others := [split for split in present if split not in parts.values()]:
        notes.append(f"splits of the set that are not used: {', '.join(others)}")
    if others := sorted(set(builder.info.features) - set(decoders)):
        notes.append(f"left out, neither text, class nor number: {', '.join(others)}")
    return {
        part: _read_split(builder, f"tfds:{name}/{split}", split, decoders, tuple(notes))
        for part, split in parts.items()
    }


def _builder(name: str, data_dir: str | Path):
    import tensorflow_datasets as tfds

    try:
        return tfds.builder(name, data_dir=data_dir or None)  # None: the default folder
    except Exception as error:  # the package raises many kinds, AssertionError among them
        raise UserError(
            f"--tfds={name}: tensorflow_datasets has no such set, and none is prepared under "
            f"{_place(data_dir)} ({first_line(error)}); write the name as in its catalog, "
            "such as ag_news_subset or glue/qnli"
        ) from error


def _place(data_dir: str | Path) -> str:
    return f"--tfds_dir={data_dir}" if data_dir else "the library's default folder"


def _is_prepared(builder) -> bool:
    # The package warns if the folder does not exist.
    return builder.data_path.exists() and builder.is_prepared()


def _prepare(builder, name: str, data_dir: str | Path) -> None:
    try:
        builder.download_and_prepare()
    except Exception as error:  # a download can raise many kinds
        raise UserError(
            f"--tfds={name}: not prepared under {_place(data_dir)}, and downloading it failed: "
            f"{first_line(error)}; connect to the network, or name the folder that has "
            f"{Path(builder.data_dir).relative_to(builder.data_dir_root)} with --tfds_dir"
        ) from error


def _parts(present: Sequence[str]) -> dict[str, str]:
    """Returns train, dev, test -> the matching split, of those present."""
    found = {
        part: next((split for split in names if split in present), None)
        for part, names in _SPLIT_NAMES.items()
    }
    return {part: split for part, split in found.items() if split}


def _read_split(
    builder, path: str, split: str, decoders: Mapping[str, _Decode], notes: tuple[str, ...]
) -> Table:
    import tensorflow_datasets as tfds

    dataset = builder.as_dataset(
        split=split,
        shuffle_files=False,
        decoders=tfds.decode.PartialDecoding(dict.fromkeys(decoders, True)),
    )
    objects, bad_rows = [], []
    for number, example in enumerate(_examples(dataset), start=1):
        try:
            values = {key: decode(example[key]) for key, decode in decoders.items()}
        except UnicodeDecodeError as error:
            bad_rows.append(BadRow(number, f"not UTF-8: {error.reason}"))
        else:
            objects.append((number, values))
    return table_of_objects(path, objects, bad_rows, notes)


def _examples(dataset) -> Iterator[dict[str, object]]:
    """Yields the examples as Python values; lists may differ in length."""
    for batch in dataset.ragged_batch(_BATCH):
        columns = [_as_list(tensor) for tensor in batch.values()]
        for values in zip(*columns, strict=True):
            yield dict(zip(batch, values, strict=True))


def _as_list(tensor) -> list:
    import tensorflow as tf

    return tensor.to_list() if isinstance(tensor, tf.RaggedTensor) else tensor.numpy().tolist()


def _decoders(features) -> dict[str, _Decode]:
    """Returns feature name -> conversion to a plain value, for features that fit a table."""
    # Sorted, because a prepared set orders its features differently in each process.
    decoders = {name: _decoder(feature) for name, feature in sorted(features.items())}
    return {name: decode for name, decode in decoders.items() if decode}


def _decoder(feature) -> _Decode | None:
    import tensorflow_datasets as tfds

    if isinstance(feature, tfds.features.ClassLabel):
        return lambda value: None if value < 0 else feature.int2str(value)
    if isinstance(feature, tfds.features.Sequence):
        if isinstance(feature.feature, tfds.features.ClassLabel):
            return lambda values: [feature.feature.int2str(value) for value in values]
        return None
    if not isinstance(feature, tfds.features.Tensor) or feature.shape != ():
        return None
    is_text = np.dtype(feature.np_dtype).kind in "OSU"
    return bytes.decode if is_text else lambda value: value
