"""The backbone of EfficientBERT students, supernets and BERT teachers."""

import keras
from keras import ops

from tf_efficientbert.architecture import Architecture, CellSpec
from tf_efficientbert.layers import BertEmbedding, FeedForwardCell, SelfAttention, TrigramEmbedding
from tf_efficientbert.layers.dropout import fold_in
from tf_efficientbert.layers.self_attention import attention_bias


@keras.saving.register_keras_serializable(package="tf_efficientbert")
class EfficientBert(keras.Model):
    """A BERT-like encoder whose feed-forward cells are given by an `Architecture`.

    Dong et al., EfficientBERT (Findings of EMNLP 2021, arXiv 2109.07222), section 3. Ordinary BERT
    is the architecture with the BERT embedding and ordinary cells; `architecture.supernet()`
    returns a supernet's.

    Args:
        architecture: Architecture, or its JSON text.
        vocabulary_size: int, rows of the token table.
        max_positions: int, the longest sequence.
        fit_size: int or None. If set, one shared Dense(fit_size), the fit projection of
            distillation, is applied to every returned hidden state.
        layer_norm_epsilon: float; 1e-5 in the paper's models, config.json's value for others.
        exact_gelu: bool, gelu by the error function instead of the tanh approximation.
        dropout: float, rate everywhere.

    Example:
        model = EfficientBert(Architecture.from_preset("efficientbert_tiny"))
        outputs = model({"token_ids": ids, "segment_ids": segments, "padding_mask": mask})
    """

    def __init__(
        self,
        architecture: Architecture | str,
        vocabulary_size: int = 30522,
        max_positions: int = 512,
        fit_size: int | None = None,
        layer_norm_epsilon: float = 1e-5,
        exact_gelu: bool = False,
        dropout: float = 0.1,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if isinstance(architecture, str):
            architecture = Architecture.from_json(architecture)
        # === Layers ===
        width = architecture.hidden_size
        common = {
            "dropout": dropout,
            "layer_norm_epsilon": layer_norm_epsilon,
            "dtype": self.dtype_policy,
        }
        tables = {
            "vocabulary_size": vocabulary_size,
            "hidden_size": width,
            "max_positions": max_positions,
            "name": "embedding",
        }
        if architecture.embedding == "trigram":
            tables["embedding_size"] = architecture.embedding_size
            self.embedding = TrigramEmbedding(**tables, **common)
        else:
            self.embedding = BertEmbedding(**tables, **common)
        self.attentions = [
            SelfAttention(width, architecture.num_heads, name=f"attention_{i}", **common)
            for i in range(architecture.num_layers)
        ]
        self.cells = [
            FeedForwardCell(
                cell,
                hidden_size=width,
                ffn_width=architecture.ffn_width,
                channel_mismatch=architecture.channel_mismatch,
                exact_gelu=exact_gelu,
                name=f"cell_{i}",
                **common,
            )
            for i, cell in enumerate(architecture.cells)
        ]
        self.fit_projection = None
        if fit_size:
            self.fit_projection = keras.layers.Dense(
                fit_size,
                kernel_initializer=keras.initializers.TruncatedNormal(stddev=0.02),
                dtype=self.dtype_policy,
                name="fit_projection",
            )
        # === Config ===
        self.architecture = architecture
        self.vocabulary_size = vocabulary_size
        self.max_positions = max_positions
        self.fit_size = fit_size
        self.layer_norm_epsilon = layer_norm_epsilon
        self.exact_gelu = exact_gelu
        self.dropout = dropout
        self.build()

    def build(self, input_shape=None):
        if self.built:
            return
        hidden = (None, None, self.architecture.hidden_size)
        self.embedding.build()
        for attention, cell in zip(self.attentions, self.cells, strict=True):
            attention.build(hidden)
            cell.build(hidden)
        if self.fit_projection:
            self.fit_projection.build(hidden)
        self.built = True

    def call(
        self,
        inputs,
        training=False,
        dropout_seed=None,
        cells: tuple[CellSpec, ...] | None = None,
        choices=None,
    ):
        """Encodes a batch.

        Args:
            inputs: {"token_ids", "segment_ids", "padding_mask"}, each int32 [batch, tokens]; the
                mask is 1 for real tokens.
            training: bool, whether dropout is on.
            dropout_seed: int32 [2] or None, see `layers.Dropout`.
            cells: for a supernet, the cell to use in each layer, sliced from the layer's own.
            choices: the same as a tensor, int32 [layers, 2] of stacks and ratios' denominators
                with the layers' own formulas: one graph covers all slices, see
                `layers.FeedForwardCell`.

        Returns: {"sequence_output": [batch, tokens, d], "hidden_states": a list of the embedding's
        output and each layer's, [batch, tokens, fit_size or d], "pooled": the mean of the last
        hidden state over real tokens, [batch, fit_size or d], "attention_scores": a list of each
        layer's scores before softmax, [batch, heads, tokens, tokens], "queries", "keys", "values":
        lists of each layer's, [batch, tokens, d]}.
        """
        token_ids = inputs["token_ids"]
        bias = attention_bias(inputs["padding_mask"])
        x = self.embedding(
            token_ids,
            inputs["segment_ids"],
            dropout_seed=fold_in(dropout_seed, 0),
            training=training,
        )
        tokens = ops.shape(token_ids)[1]
        x = ops.reshape(x, (-1, self.architecture.hidden_size))  # see SelfAttention.call
        hidden_states, attention_scores, projections = [x], [], []
        for i, (attention, ffn_cell) in enumerate(zip(self.attentions, self.cells, strict=True)):
            x, scores, projected = attention(
                x, bias, dropout_seed=fold_in(dropout_seed, 2 * i + 1), training=training
            )
            x = ffn_cell(
                x,
                cell=cells[i] if cells else None,
                choice=None if choices is None else choices[i],
                dropout_seed=fold_in(dropout_seed, 2 * i + 2),
                training=training,
            )
            hidden_states.append(x)
            attention_scores.append(scores)
            projections.append(projected)
        if self.fit_projection:
            hidden_states = [self.fit_projection(state) for state in hidden_states]

        def by_token(flat):
            return ops.reshape(flat, (-1, tokens, flat.shape[-1]))

        hidden_states = [by_token(state) for state in hidden_states]
        queries, keys, values = (
            list(map(by_token, kind)) for kind in zip(*projections, strict=True)
        )
        return {
            "sequence_output": by_token(x),
            "hidden_states": hidden_states,
            "pooled": _mean_of_real_tokens(hidden_states[-1], inputs["padding_mask"]),
            "attention_scores": attention_scores,
            "queries": queries,
            "keys": keys,
            "values": values,
        }

    def rebuilt(self, **changes) -> "EfficientBert":
        """Returns a copy with the same weights and some constructor arguments changed.

        For arguments that keep the weights' shapes: `dtype`, `dropout` and `fit_size`, whose
        projection is removed or added with new weights.
        """
        # A fixed name: Keras numbers default names per process, which would change the files.
        named = {**self.get_config(), "name": "efficient_bert"}
        copy = EfficientBert.from_config({**named, **changes})
        theirs = {layer.name: layer for layer in self.layers}
        for layer in copy.layers:
            if layer.name in theirs:
                layer.set_weights(theirs[layer.name].get_weights())
        return copy

    def get_config(self):
        return {
            **super().get_config(),
            "architecture": self.architecture.to_json(),
            "vocabulary_size": self.vocabulary_size,
            "max_positions": self.max_positions,
            "fit_size": self.fit_size,
            "layer_norm_epsilon": self.layer_norm_epsilon,
            "exact_gelu": self.exact_gelu,
            "dropout": self.dropout,
        }


def _mean_of_real_tokens(states, padding_mask):
    mask = ops.cast(padding_mask, "float32")[..., None]
    return ops.sum(ops.cast(states, "float32") * mask, axis=1) / ops.sum(mask, axis=1)
