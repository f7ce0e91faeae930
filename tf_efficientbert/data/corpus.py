"""Unlabelled text for warm-up distillation."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from tf_efficientbert.data import snippets, speeches
from tf_efficientbert.data.batching import EncodedExamples, encode
from tf_efficientbert.data.packing import packed
from tf_efficientbert.data.text_file import read_lines
from tf_efficientbert.data.tokenizer import Tokenizer
from tf_efficientbert.errors import UserError

# Between two sentences; a closing quote or bracket stays with the first.
_BETWEEN = re.compile(r"((?<=[.!?])[\"')]*)\s+(?=[\"'(]*[A-Z])")
_LEAST_CHARACTERS = 20
# Texts that `fetch_data` downloads, by the name given in place of a path.
_FETCHED = {"speeches": speeches.paragraphs, "snippets": snippets.unlabelled}


def encoded_corpus(
    corpus: str, sentences: int, max_tokens: int, tokenizer: Tokenizer, pairs: bool
) -> EncodedExamples:
    """The corpus as token ids, one sentence or one packed pair per example.

    Args:
        corpus: file names, separated by commas, see `read_sentences`.
        sentences: how many to take, at even distances; 0 for all.
        max_tokens: of an example; a longer sentence is cut.
        pairs: pack consecutive sentences, see `packing.packed`.

    Raises:
        UserError: a file cannot be read, or an argument is invalid; it names the flag of
            `CorpusOptions`.
    """
    if sentences < 0:
        raise UserError(f"--corpus_sentences={sentences}: expected 0 or more")
    if max_tokens < 3:
        raise UserError(f"--corpus_max_tokens={max_tokens}: expected 3 or more")
    names = [name.strip() for name in corpus.split(",") if name.strip()]
    if not names:
        raise UserError("--corpus names no file")
    encoded = encode(tokenizer, read_sentences(names, sentences), max_tokens=max_tokens)
    return packed(encoded, max_tokens) if pairs else encoded


def read_sentences(paths: Sequence[str | Path], limit: int | None = None) -> list[str]:
    """Reads the sentences of plain text files (UTF-8, one paragraph per line), in order.

    "speeches" and "snippets", in place of a path, are the texts of the default run.

    Paragraphs are cut after ., ! and ? before a capital; pieces under 20 characters are joined to
    the next one. With a `limit`, that many sentences at even distances over the whole text.

    Raises:
        UserError: a file cannot be read as UTF-8, or no file contains a sentence.
    """
    sentences = [s for path in paths for line in _paragraphs(path) for s in split_sentences(line)]
    if not sentences:
        raise UserError(f"{', '.join(map(str, paths))}: no text found")
    if limit and limit < len(sentences):
        sentences = [sentences[i * len(sentences) // limit] for i in range(limit)]
    return sentences


def _paragraphs(path: str | Path) -> Iterable[str]:
    fetched = _FETCHED.get(str(path))
    return fetched() if fetched else (line for _, line in read_lines(path))


def split_sentences(paragraph: str) -> Iterable[str]:
    """Yields the sentences of one paragraph."""
    short = ""
    for piece in _BETWEEN.sub(r"\1\n", " ".join(paragraph.split())).split("\n"):
        piece = f"{short} {piece}".strip()
        short = ""
        if len(piece) < _LEAST_CHARACTERS:
            short = piece
        else:
            yield piece
    if short:
        yield short
