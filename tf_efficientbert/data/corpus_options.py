"""Flags that name unlabelled text."""

import dataclasses

from tf_efficientbert.errors import UserError
from tf_efficientbert.options import input_option, option

_PACKINGS = ("auto", "sentences", "pairs")


@dataclasses.dataclass(frozen=True, kw_only=True)
class CorpusOptions:
    """Which unlabelled text a job reads; `data.corpus.encoded_corpus` reads it."""

    corpus: str = input_option(
        "speeches,snippets",
        "text files a,b,c (a paragraph a line); speeches: State of the Union messages, snippets: "
        "film-review snippets without labels",
    )
    corpus_sentences: int = option(0, "use this many sentences, evenly spaced; 0: all")
    corpus_max_tokens: int = option(128, "most tokens per example of the corpus")
    packing: str = option(
        "auto",
        "what an example of the corpus is: sentences (one each), or pairs (consecutive sentences "
        "packed into two segments, as in the paper); auto: pairs if the task's examples are pairs "
        "of texts",
    )

    def __post_init__(self) -> None:
        if self.packing not in _PACKINGS:
            raise UserError(f"--packing={self.packing}: expected one of {', '.join(_PACKINGS)}")

    def packs_pairs(self, pair_task: bool = False) -> bool:
        """Returns whether examples are packed pairs.

        Args:
            pair_task: whether the task's examples are pairs of texts.
        """
        return self.packing == "pairs" or (self.packing == "auto" and pair_task)
