"""The model card of an exported model."""

from collections.abc import Mapping

from tf_efficientbert.data.tokenizer import DIFFERENCES
from tf_efficientbert.export.buckets import buckets_for
from tf_efficientbert.export.signature import SERVED_TOKENS
from tf_efficientbert.models.text_model import TextModel

# The row of the signature that only this kind of task has.
_OWN_SIGNATURES = {
    "classify": "\n| `classify` | `inputs`, as `examples` | `classes`, `scores` [batch, classes], "
    "in the order of the labels |",
    "regress": "\n| `regress` | `inputs`, as `examples` | `outputs` [batch] |",
    "answer": "",
}


def model_card(model: TextModel, name: str, scores: Mapping[str, str] | None = None) -> str:
    """Returns the card in Markdown.

    Args:
        name: the title.
        scores: scores by description.
    """
    differences = "\n".join(f"- {difference}" for difference in DIFFERENCES)
    sections = [
        f"# {name}",
        _facts(model),
        _asking(model),
        f"## Tokens\n\nThose of Hugging Face's BERT tokenizer, except:\n\n{differences}",
        _architecture(model),
    ]
    if scores:
        lines = "\n".join(f"- {what}: {value}" for what, value in scores.items())
        sections.append(f"## Scores\n\n{lines}")
    return "\n\n".join(sections) + "\n"


def _facts(model: TextModel) -> str:
    tokens = model.max_tokens
    macs = model.backbone.architecture.count_macs(tokens)
    return f"""\
{_task(model)}
- Parameters: {model.model.count_params():,}, head included
- Multiply-accumulates for {tokens} tokens: {macs:,}
- Vocabulary: {len(model.tokenizer.vocabulary):,} word pieces, text {model.tokenizer.casing}
- Longest text: {tokens} tokens, `[CLS]` and `[SEP]` included; {_cut(model)}
- Lengths text is padded to: {", ".join(map(str, buckets_for(tokens)))}"""


def _task(model: TextModel) -> str:
    task = model.task
    texts = " and ".join(f"`{text}`" for text in task.served_texts)
    labels = ", ".join(f"`{label}`" for label in task.labels) or "none"
    return f"""\
- Task: {task.name}; {texts} in, {task.described_answer} out
- Labels, in the order of the outputs: {labels}"""


def _cut(model: TextModel) -> str:
    if model.task.served_as == "answer":
        return "longer contexts are cut, and questions of more than 64 tokens or half of the total"
    return f"longer text is cut{', the longer of a pair first' if model.task.pair else ''}"


def _asking(model: TextModel) -> str:
    names = model.task.served_texts
    texts = ", ".join(f"`{text}`" for text in names)
    tokens = ", ".join(f"`{served}`" for served in SERVED_TOKENS.values())
    answers, of_tokens = model.task.described_outputs
    own = _OWN_SIGNATURES[model.task.served_as]
    instance = ", ".join(f'"{text}": "..."' for text in names)
    return f"""\
## Use

| signature | inputs | outputs |
| --- | --- | --- |
| `serving_default` | strings {texts} [batch] | {answers} |
| `tokens` | int32 {tokens} [batch, tokens] | {of_tokens} |
| `serving_examples` | `examples` [batch]: serialized tf.Example with {texts} | {answers} |{own}

All signatures but `tokens` need TensorFlow Text's operations in the server. `tokens` accepts any
width. Tokens that the mask leaves out, and everything from a second `[CLS]` of a row on, count as
padding. Rows are cut at {model.max_tokens} tokens. TF Serving's batching needs the same width from
all callers: use one of the lengths above.

Replace MODEL by the model's name in the server:

    curl -d '{{"instances": [{{{instance}}}]}}' \\
        http://localhost:8501/v1/models/MODEL:predict"""


def _architecture(model: TextModel) -> str:
    a = model.backbone.architecture
    cells = "\n".join(f"    {formula}" for formula in a.formulas)
    return f"""\
## Architecture

Layers: {a.num_layers}, hidden width {a.hidden_size}, {a.num_heads} attention heads, \
{a.embedding} embedding of width {a.embedding_size}. The feed-forward cells:

{cells}"""
