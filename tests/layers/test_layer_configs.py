import json

import keras
import pytest

from tf_efficientbert.layers import (
    BertEmbedding,
    Dropout,
    FeedForward,
    FeedForwardCell,
    SelfAttention,
    TrigramEmbedding,
)
from tf_efficientbert.layers.linear import Linear

_TABLES = {"vocabulary_size": 9, "hidden_size": 8, "max_positions": 5, "num_segments": 3}
_COMMON = {"dropout": 0.3, "layer_norm_epsilon": 1e-7}
_FFN = {"hidden_size": 8, "channel_mismatch": "pad", "exact_gelu": True}
_CELL = "linear2_2(gelu(linear2_2(x,wb1)),wb2)"

# No argument has its default, so that the test notices a lost one.
_LAYERS = [
    (Dropout, {"rate": 0.3}),
    (BertEmbedding, {**_TABLES, **_COMMON}),
    (TrigramEmbedding, {"embedding_size": 4, **_TABLES, **_COMMON}),
    (Linear, {"units": 7, "use_bias": False}),
    (SelfAttention, {"hidden_size": 8, "num_heads": 2, **_COMMON}),
    (FeedForward, {"inner_width": 6, **_FFN, **_COMMON}),
    (FeedForwardCell, {"cell": _CELL, "ffn_width": 16, **_FFN, **_COMMON}),
]


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize(("kind", "arguments"), _LAYERS, ids=lambda value: str(value)[-40:])
def test_a_layer_is_rebuilt_from_its_config(kind, arguments, dtype):
    layer = kind(**arguments, dtype=dtype, name="named")
    config = keras.saving.serialize_keras_object(layer)
    copy = keras.saving.deserialize_keras_object(json.loads(json.dumps(config)))
    assert type(copy) is kind
    assert copy.get_config() == layer.get_config()
    assert copy.dtype_policy.name == dtype
    assert arguments.items() <= layer.get_config().items()
