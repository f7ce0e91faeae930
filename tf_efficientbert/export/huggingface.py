"""Export as a Hugging Face folder, which `models.load` reads back."""

import json
from pathlib import Path

from safetensors.numpy import save

from tf_efficientbert.errors import UserError
from tf_efficientbert.export.huggingface_card import huggingface_card
from tf_efficientbert.models.huggingface_config import config_of, is_plain_bert
from tf_efficientbert.models.huggingface_folder import CONFIG, WEIGHTS, weight_slots
from tf_efficientbert.models.text_model import TextModel
from tf_efficientbert.models.torch_weights import state_dict
from tf_efficientbert.storage import replaced_directory


def export_huggingface(model: TextModel, folder: str | Path) -> dict:
    """Writes model.safetensors, config.json, vocab.txt, tokenizer_config.json and README.md.

    A plain BERT, as teachers are, opens in transformers as BertForSequenceClassification; another
    network has the model_type "efficientbert", which transformers doesn't know. Weights are
    float32; the fit projection, which only distillation uses, is left out.

    Returns: {"huggingface": path, "parameters": int, "opens_in_transformers": bool}.

    Raises:
        UserError: the model has no task, or one of a kind without a form there; the disk is full.
            What was there before is then unchanged.
    """
    if model.task is None:
        raise UserError("the model was trained for no task: there is nothing it could answer")
    if model.task.problem_type is None:
        raise UserError(f"Hugging Face's folders have no form here for a {model.task.kind} task")
    network = model.model.rebuilt(dtype="float32", fit_size=None)
    opens = is_plain_bert(network.backbone.architecture)
    config = config_of(network, model.task, model.max_tokens)
    # By this transformers knows that the matrices are PyTorch's.
    metadata = {"format": "pt"} if opens else None
    with replaced_directory(folder) as new:
        # Not by `save_file`, whose file only its owner may read.
        (new / WEIGHTS).write_bytes(save(state_dict(weight_slots(network)), metadata))
        (new / CONFIG).write_text(json.dumps(config, indent=2) + "\n", "utf-8")
        model.tokenizer.save(
            new, tokenizer_class="BertTokenizer", model_max_length=model.max_tokens
        )
        (new / "README.md").write_text(huggingface_card(model), "utf-8")
    parameters = network.count_params()
    return {"huggingface": str(folder), "parameters": parameters, "opens_in_transformers": opens}
