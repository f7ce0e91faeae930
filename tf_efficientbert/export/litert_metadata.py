"""Metadata that lets MediaPipe's TextClassifier open a LiteRT file, and the files it names.

The metadata is a separate flatbuffer (MediaPipe's metadata_schema.fbs, identifier M001) in a buffer
of the model. Vocabulary, labels and task are a zip archive appended to the file. MediaPipe ignores
the task; it holds, among others, the thresholds of a multilabel task. Only the tables that a BERT
classifier needs are written. The numbers in the code are the fields' positions in the schema.
"""

import io
import json
import zipfile
from collections.abc import Sequence

from ai_edge_litert import schema_py_generated as schema
from flatbuffers import Builder

from tf_efficientbert.export.flatbuffer import pack, unpack
from tf_efficientbert.tasks import LabelledTask

_METADATA_NAME = b"TFLITE_METADATA"
_METADATA_IDENTIFIER = b"M001"
_VOCABULARY_FILE, _LABELS_FILE, _TASK_FILE = "vocab.txt", "labels.txt", "task.json"

_LABELS_TYPE, _VOCABULARY_TYPE = 2, 5  # AssociatedFileType.TENSOR_AXIS_LABELS, VOCABULARY
_BERT_TOKENIZER = 4  # its position in the union ProcessUnitOptions
_FEATURES = 1  # position of FeatureProperties in the union ContentProperties

# Our input names to MediaPipe's; MediaPipe identifies inputs by name.
MEDIAPIPE_NAMES = {"token_ids": "ids", "padding_mask": "mask", "segment_ids": "segment_ids"}


def with_metadata(content: bytes, vocabulary: Sequence[str], task: LabelledTask) -> bytes:
    """Adds metadata and files to a LiteRT file, so that MediaPipe's TextClassifier opens it.

    Args:
        content: the file, with one signature. Its inputs have the names in `MEDIAPIPE_NAMES`, its
            only output holds the classes' probabilities.
        vocabulary: the word pieces in the order of their ids.
        task: its labels are in the order of the output.

    Raises:
        ValueError: the file has several signatures, or other inputs.
    """
    model = unpack(content)
    if len(model.subgraphs) != 1 or len(model.signatureDefs) != 1:
        raise ValueError(f"MediaPipe takes one signature, the file has {len(model.signatureDefs)}")
    (signature,) = model.signatureDefs
    by_tensor = {tensor.tensorIndex: tensor.name.decode() for tensor in signature.inputs}
    inputs = [by_tensor[index] for index in model.subgraphs[0].inputs]
    if set(inputs) != set(MEDIAPIPE_NAMES):
        raise ValueError(f"expected the inputs {list(MEDIAPIPE_NAMES)}, the file has {inputs}")
    metadata = _metadata(task.name, [MEDIAPIPE_NAMES[each] for each in inputs])
    model.buffers.append(schema.BufferT(data=metadata))
    entry = schema.MetadataT(name=_METADATA_NAME, buffer=len(model.buffers) - 1)
    model.metadata = [*(model.metadata or []), entry]
    described = json.dumps(task.to_dict(), ensure_ascii=False)
    files = {_VOCABULARY_FILE: vocabulary, _LABELS_FILE: task.labels, _TASK_FILE: [described]}
    return _with_files(pack(model), files)


def _with_files(content: bytes, files: dict[str, Sequence[str]]) -> bytes:
    """Appends a zip archive to `content`; `files` maps names to lines of text."""
    archive = io.BytesIO(content)
    # Not compressed: MediaPipe reads the files in place.
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_STORED) as zipped:
        for name, lines in files.items():
            # A fixed date keeps repeated exports identical.
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            zipped.writestr(entry, "".join(f"{line}\n" for line in lines).encode("utf-8"))
    return archive.getvalue()


def _metadata(name: str, inputs: Sequence[str]) -> bytes:
    builder = Builder()
    vocabulary = _associated_file(builder, _VOCABULARY_FILE, _VOCABULARY_TYPE)
    tokenizer = _table(builder, {0: _vector(builder, [vocabulary])})
    unit = _table(builder, {1: tokenizer}, {0: _BERT_TOKENIZER})
    subgraph = {
        2: _vector(builder, [_tensor(builder, each) for each in inputs]),
        3: _vector(builder, [_probabilities(builder)]),
        5: _vector(builder, [unit]),  # input_process_units
    }
    fields = {
        0: builder.CreateString(name),
        3: _vector(builder, [_table(builder, subgraph)]),
        7: builder.CreateString("1.3.0"),  # min_parser_version: it knows the BERT tokenizer
    }
    builder.Finish(_table(builder, fields), file_identifier=_METADATA_IDENTIFIER)
    return bytes(builder.Output())


def _tensor(builder: Builder, name: str, associated_files: Sequence[int] = ()) -> int:
    content = _table(builder, {1: _table(builder, {})}, {0: _FEATURES})
    fields = {0: builder.CreateString(name), 3: content}
    if associated_files:
        fields[6] = _vector(builder, associated_files)
    return _table(builder, fields)


def _probabilities(builder: Builder) -> int:
    labels = _associated_file(builder, _LABELS_FILE, _LABELS_TYPE)
    return _tensor(builder, "probability", [labels])


def _associated_file(builder: Builder, name: str, kind: int) -> int:
    return _table(builder, {0: builder.CreateString(name)}, {2: kind})


def _table(builder: Builder, offsets: dict[int, int], bytes_: dict[int, int] | None = None) -> int:
    """Writes a table of offsets and single bytes, keyed by field position; returns its offset."""
    bytes_ = bytes_ or {}
    builder.StartObject(max([*offsets, *bytes_], default=-1) + 1)
    for place, offset in offsets.items():
        builder.PrependUOffsetTRelativeSlot(place, offset, 0)
    for place, value in bytes_.items():
        builder.PrependUint8Slot(place, value, 0)
    return builder.EndObject()


def _vector(builder: Builder, offsets: Sequence[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return builder.EndVector()
