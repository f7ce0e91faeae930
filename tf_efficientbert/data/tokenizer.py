"""BERT's WordPiece tokenizer, through tensorflow-text."""

import json
from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf
import tensorflow_text

from tf_efficientbert.data.bert_normalizer import normalizer_model
from tf_efficientbert.data.vocabulary import PAD, arranged, read_tokenizer_files
from tf_efficientbert.errors import UserError

SPECIAL_TOKENS = (PAD, "[UNK]", "[CLS]", "[SEP]")
# Shown with a model: where tokens are not those of Hugging Face's BERT tokenizer.
DIFFERENCES = (
    "Special tokens such as [SEP] are ordinary text.",
    "A word of more than 100 characters is one [UNK] only if it has more than 400 bytes.",
    "Combining marks, format characters and punctuation that Unicode 9 (2016) or later added are "
    "treated as such; Hugging Face's tables are older. U+1734 and U+166D differ, too.",
    "Private-use characters beyond U+FFFF stay, as part of a word without pieces; each ideograph "
    "from U+2B820 to U+2B91F is a word.",
)
# A longer word is one [UNK]. BERT's limit is 100 characters, TensorFlow Text's one of bytes.
_MOST_BYTES = 400


class Tokenizer:
    """Converts text to token ids: [CLS] first [SEP] and, for pairs, second [SEP].

    Args:
        vocabulary: the word pieces in the order of their ids; [PAD] must be the first.
        lower_case: bool, lower-case text, as for uncased BERTs.
        strip_accents: bool, remove accents; None: as `lower_case`.

    Raises:
        UserError: a special token is missing, [PAD] is not the first or an entry is repeated.
    """

    def __init__(
        self,
        vocabulary: Sequence[str],
        lower_case: bool = True,
        strip_accents: bool | None = None,
    ):
        missing = [token for token in SPECIAL_TOKENS if token not in set(vocabulary)]
        if missing:
            raise UserError(f"the vocabulary has no {', '.join(missing)}")
        if vocabulary[0] != PAD:
            raise UserError(f"the vocabulary starts with {vocabulary[0]!r}, expected {PAD!r}")
        repeated = len(vocabulary) - len(set(vocabulary))
        if repeated:
            raise UserError(f"the vocabulary has {repeated} repeated entries")
        self.vocabulary = tuple(vocabulary)
        self.lower_case = lower_case
        self.strip_accents = lower_case if strip_accents is None else strip_accents
        self.cls_id = self.vocabulary.index("[CLS]")
        self.sep_id = self.vocabulary.index("[SEP]")
        self._word_pieces = tensorflow_text.FastBertTokenizer(
            list(vocabulary),
            max_bytes_per_word=_MOST_BYTES,
            token_out_type=tf.int32,
            fast_bert_normalizer_model_buffer=tf.constant(
                normalizer_model(self.lower_case, self.strip_accents)
            ),
        )

    def same_tokens(self, other: "Tokenizer") -> bool:
        """Whether both give the same ids for any text."""
        return (self.vocabulary, self.lower_case, self.strip_accents) == (
            other.vocabulary,
            other.lower_case,
            other.strip_accents,
        )

    @property
    def casing(self) -> str:
        """What happens to case and accents, in words."""
        case = "lower-cased" if self.lower_case else "case kept"
        return f"{case}, accents {'removed' if self.strip_accents else 'kept'}"

    @classmethod
    def from_folder(cls, folder: str | Path) -> "Tokenizer":
        """Reads a folder's vocabulary and settings, see `vocabulary.read_tokenizer_files`.

        Raises:
            UserError: a file cannot be read, or the vocabulary is invalid.
        """
        files = read_tokenizer_files(folder)
        try:
            return cls(arranged(files), files.lower_case, files.strip_accents)
        except UserError as error:
            raise UserError(f"{files.path}: {error}") from error

    def save(self, folder: str | Path, **config) -> None:
        """Writes the files that `from_folder` reads.

        Args:
            config: further entries of tokenizer_config.json, for other programs.
        """
        text = "".join(f"{token}\n" for token in self.vocabulary)
        (Path(folder) / "vocab.txt").write_text(text, "utf-8")
        own = {"do_lower_case": self.lower_case}
        if self.strip_accents != self.lower_case:
            own["strip_accents"] = self.strip_accents
        config = {**own, **config}
        (Path(folder) / "tokenizer_config.json").write_text(json.dumps(config), "utf-8")

    def encode(self, texts, second_texts=None, max_tokens: int = 128):
        """Returns token and segment ids of a batch, in a graph or eagerly.

        Args:
            texts, second_texts: string tensors [batch], or lists.
            max_tokens: int; longer input is cut, for pairs the longer side first.

        Returns: (token_ids, segment_ids), int32 ragged [batch, (tokens)].
        """
        parts = [self._word_pieces.tokenize(texts)]
        if second_texts is not None:
            parts.append(self._word_pieces.tokenize(second_texts))
        parts = [_flat(part) for part in parts]
        room = max_tokens - 1 - len(parts)  # [CLS] and a [SEP] after each part
        parts = tensorflow_text.RoundRobinTrimmer(room).trim(parts)
        return tensorflow_text.combine_segments(parts, self.cls_id, self.sep_id)

    def encode_questions(self, questions, contexts, max_tokens: int):
        """Returns token ids of [CLS] question [SEP] context [SEP], and the context's byte offsets.

        Args:
            questions, contexts: string tensors [batch], or lists.
            max_tokens: int; a question is cut to 64 word pieces, or to half of the room if that is
                less, and a context to the rest.

        Returns: (token_ids, segment_ids, starts, ends), int32 ragged [batch, (tokens)]; the last
            two are byte offsets in the context, -1 for tokens outside it.
        """
        room = max_tokens - 3
        question = _flat(self._word_pieces.tokenize(questions))[:, : min(64, room // 2)]
        trimmer = tensorflow_text.WaterfallTrimmer(room)  # keeps the first part, cuts the second
        context = [
            trimmer.trim([question, tf.cast(_flat(part), tf.int32)])[1]
            for part in self._word_pieces.tokenize_with_offsets(contexts)
        ]
        token_ids, segment_ids = tensorflow_text.combine_segments(
            [question, context[0]], self.cls_id, self.sep_id
        )
        nowhere = tf.fill([question.nrows(), 1], -1)
        before = [nowhere, -tf.ones_like(question), nowhere]
        starts, ends = (tf.concat([*before, part, nowhere], axis=1) for part in context[1:])
        return token_ids, segment_ids, starts, ends

    def cut(self, text: str, pieces: int) -> str:
        """Returns the first `pieces` word pieces of `text` as text, or all if it has fewer."""
        _, _, ends = self._word_pieces.tokenize_with_offsets([text])
        ends = ends.flat_values.numpy()
        if len(ends) <= pieces:
            return text
        return text.encode("utf-8")[: ends[pieces - 1] if pieces else 0].decode("utf-8")

    def encode_padded(self, *texts, max_tokens: int = 128):
        """Encodes one text or pair, padded, for graphs that must not slice ragged tensors.

        Args:
            texts: string tensors [1], one or two.
            max_tokens: int; see `encode`.

        Returns: (token_ids, segment_ids, padding_mask), int32 [1, max_tokens].
        """
        parts = [self._word_pieces.tokenize(text).flat_values for text in texts]
        room = max_tokens - 1 - len(parts)
        if len(parts) == 1:
            kept = [parts[0][:room]]
        else:  # round-robin: the first part gets the odd token
            first, second = parts
            left = tf.maximum(room - tf.size(second), (room + 1) // 2)
            first = first[:left]
            kept = [first, second[: room - tf.size(first)]]
        token_ids, segment_ids = [tf.constant([self.cls_id])], [tf.constant([0])]
        for segment, part in enumerate(kept):
            part = tf.concat([part, [self.sep_id]], axis=0)
            token_ids.append(part)
            segment_ids.append(tf.fill(tf.shape(part), segment))
        token_ids = tf.concat(token_ids, axis=0)
        segment_ids = tf.concat(segment_ids, axis=0)

        def padded(values):
            missing = max_tokens - tf.size(values)
            return tf.reshape(tf.pad(values, [[0, missing]]), (1, max_tokens))

        return padded(token_ids), padded(segment_ids), padded(tf.ones_like(token_ids))


def _flat(pieces: tf.RaggedTensor) -> tf.RaggedTensor:
    """Returns [batch, (tokens)]; the pieces may be grouped by word."""
    return pieces.merge_dims(1, 2) if pieces.ragged_rank > 1 else pieces
