"""Export as a Hugging Face folder, which `models.load` also reads."""

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

    A plain BERT, such as a teacher, opens in transformers as BertForSequenceClassification. Other
    networks have the model_type "efficientbert", which transformers doesn't know. Weights are
    float32. The fit projection is left out: only distillation uses it.

    Returns: {"huggingface": path, "parameters": int, "opens_in_transformers": bool}.

    Raises:
        UserError: the model has no task, or a kind of task that this format does not support; the
            disk is full. An earlier folder is then unchanged.
    """
    if model.task is None:
        raise UserError("the model has no task head, so it cannot be exported")
    if model.task.problem_type is None:
        raise UserError(f"a {model.task.kind} task cannot be exported as a Hugging Face folder")
    network = model.model.rebuilt(dtype="float32", fit_size=None)
    opens = is_plain_bert(network.backbone.architecture)
    config = config_of(network, model.task, model.max_tokens)
    # Tells transformers that the matrices are in PyTorch's layout.
    metadata = {"format": "pt"} if opens else None
    with replaced_directory(folder) as new:
        # `save_file` would write a file that only its owner can read.
        (new / WEIGHTS).write_bytes(save(state_dict(weight_slots(network)), metadata))
        (new / CONFIG).write_text(json.dumps(config, indent=2) + "\n", "utf-8")
        model.tokenizer.save(
            new, tokenizer_class="BertTokenizer", model_max_length=model.max_tokens
        )
        (new / "README.md").write_text(huggingface_card(model), "utf-8")
    parameters = network.count_params()
    return {"huggingface": str(folder), "parameters": parameters, "opens_in_transformers": opens}
