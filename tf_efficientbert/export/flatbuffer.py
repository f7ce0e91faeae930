"""Repacks LiteRT flatbuffers: smaller, with aligned weights."""

from ai_edge_litert import schema_py_generated as schema
from flatbuffers import Builder

_FILE_IDENTIFIER = b"TFL3"
_ALIGNMENT = 16  # of weights, as in schema.fbs


class _AlignedBuffer(schema.BufferT):
    """Packs weights aligned; the generated packer does not align them."""

    def Pack(self, builder: Builder) -> int:  # noqa: N802  the schema's name
        content = bytes(self.data)
        builder.StartVector(1, len(content), _ALIGNMENT)
        builder.head -= len(content)
        builder.Bytes[builder.head : builder.head + len(content)] = content
        data = builder.EndVector()
        schema.BufferStart(builder)
        schema.BufferAddData(builder, data)
        return schema.BufferEnd(builder)


class _Shared:
    """An object that several tensors share and that is packed once."""

    def __init__(self, value):
        self._value, self._offset = value, None

    def Pack(self, builder: Builder) -> int:  # noqa: N802  the schema's name
        if self._offset is None:
            self._offset = self._value.Pack(builder)
        return self._offset


def unpack(content: bytes) -> schema.ModelT:
    """Returns the model of a LiteRT file as objects."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    for buffer in model.buffers:
        if buffer.offset > 1:  # the content follows the flatbuffer; 0 and 1 mean no such content
            buffer.data = content[buffer.offset : buffer.offset + buffer.size]
            buffer.offset = buffer.size = 0
    return model


def pack(model: schema.ModelT) -> bytes:
    """Returns the bytes of `model`'s file, with aligned weights.

    Signatures share weights, but the converters repeat a weight's scales for each signature, 12
    bytes a channel. Here the signatures share the scales too.
    """
    shared = {}
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            quantization = tensor.quantization
            if quantization is not None and quantization.scale is not None:
                key = tensor.buffer, _described(quantization)
                tensor.quantization = shared.setdefault(key, _Shared(quantization))
    model.buffers = [_aligned(buffer) for buffer in model.buffers]
    builder = Builder(sum(len(b.data) for b in model.buffers if b.data is not None) + 2**16)
    builder.Finish(model.Pack(builder), file_identifier=_FILE_IDENTIFIER)
    return bytes(builder.Output())


def _described(quantization: schema.QuantizationParametersT) -> tuple:
    vectors = quantization.scale, quantization.zeroPoint, quantization.min, quantization.max
    contents = (None if v is None else bytes(memoryview(v).cast("B")) for v in vectors)
    return *contents, quantization.quantizedDimension, quantization.details is None


def _aligned(buffer: schema.BufferT) -> schema.BufferT:
    return buffer if buffer.data is None else _AlignedBuffer(buffer.data)
