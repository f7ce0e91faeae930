"""The model card (README.md) of a Hugging Face folder."""

from tf_efficientbert.data.tokenizer import DIFFERENCES
from tf_efficientbert.models.huggingface_config import is_plain_bert
from tf_efficientbert.models.text_model import TextModel

_CARD = """---
library_name: {library}
pipeline_tag: text-classification
tags:
- {tag}
---

# {title}

- Task: {task}
- Output: {answer}
- Network: {network}
- Size: {parameters:,} parameters with the task head, {macs:,} multiply-adds of the encoder for
  {tokens} tokens
- Text: {case}, cut into {pieces:,} word pieces, at most {tokens} tokens with [CLS] and [SEP]
- Metrics: {metrics}

This card states no scores. `tf-efficientbert evaluate` scores the model on your data.

## Use

With tf_efficientbert (FOLDER is the path of this folder):

    import tf_efficientbert as teb
    model = teb.models.load("FOLDER")
    model.predict({arguments})

{transformers}
"""

_OPENS = """With transformers, the same logits:

    from transformers import AutoModelForSequenceClassification, AutoTokenizer
    tokenizer = AutoTokenizer.from_pretrained("FOLDER")
    model = AutoModelForSequenceClassification.from_pretrained("FOLDER")
    model(**tokenizer({arguments}, truncation=True, return_tensors="pt")).logits

transformers tokenizes text differently in some cases. If both texts of a pair are cut, it may keep
one more token of the longer one. And as for tf_efficientbert's tokens:

{differences}"""

_DOES_NOT_OPEN = """transformers does not support this network (model_type "efficientbert"), whose
feed-forward networks come from an architecture search. Load it with tf_efficientbert.
`architecture` in config.json defines what each layer computes. model.safetensors holds every
variable under its path, matrices as [in, out]."""


def huggingface_card(model: TextModel) -> str:
    """Returns the card of a model with a task, as Markdown with Hugging Face's header."""
    architecture, task = model.backbone.architecture, model.task
    plain = is_plain_bert(architecture)
    kind = "BERT" if plain else "EfficientBERT"
    texts = ['"one text"', '"another text"'][: 2 if task.pair else 1]
    layers = f"{architecture.num_layers} layers, hidden size {architecture.hidden_size}"
    return _CARD.format(
        library="transformers" if plain else "tf-efficientbert",
        tag="bert" if plain else "efficientbert",
        title=f"{kind} for {task.name}",
        task=f"{task.name}, {'pairs of texts' if task.pair else 'single texts'}",
        answer=": ".join(filter(None, (task.described_answer, ", ".join(task.labels)))),
        network=f"{kind}, {layers}, {architecture.num_heads} heads",
        parameters=model.model.rebuilt(fit_size=None).count_params(),
        macs=architecture.count_macs(model.max_tokens),
        tokens=model.max_tokens,
        case=model.tokenizer.casing,
        pieces=len(model.tokenizer.vocabulary),
        metrics=", ".join(task.metrics),
        arguments=", ".join(f"[{text}]" for text in texts),
        transformers=(_OPENS if plain else _DOES_NOT_OPEN).format(
            arguments=", ".join(texts),
            differences="\n".join(f"- {difference}" for difference in DIFFERENCES),
        ),
    )
