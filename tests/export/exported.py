"""Small models whose cells together use every operator, and their exported forms."""

import re

from tests.models.small_models import small_architecture
from tests.models.small_text_models import small_text_model
from tf_efficientbert.architecture.presets import PRESETS

# The six published cells, unstacked, and one with the operators that they lack.
SLICED = small_architecture(
    [
        *(
            re.sub("linear[0-9]", "linear1", formula)
            for formula in PRESETS["efficientbert"]["formulas"]
        ),
        "linear1_2(swish(add(linear1_2(x,wb1),x)),wb2)",
    ],
    hidden_size=48,  # the converter leaves matrices of fewer than 1,024 numbers in float32
    ffn_width=48,
)
PADDED = small_architecture(
    [
        f"linear1_{ratio}(relu({operator}(linear1_{ratio}(x,wb1),x)),wb2)"
        for operator, ratio in (("add", 2), ("mul", 3), ("max", 4))
    ],
    ffn_width=120,
    channel_mismatch="pad",
)
TEACHER = small_architecture(
    ["linear1_1(gelu(linear1_1(x,wb1)),wb2)"], embedding="bert", ffn_width=48
)

MAKERS = {
    "classification": lambda: small_text_model("classification", SLICED),
    "pair": lambda: small_text_model("pair", PADDED, seed=1),
    "multilabel": lambda: small_text_model("multilabel", TEACHER, seed=3),
    "regression": lambda: small_text_model("regression", TEACHER, seed=2, exact_gelu=True),
}
