"""Flags that name unlabelled text."""

import dataclasses

from tf_efficientbert.options import input_option, option


@dataclasses.dataclass(frozen=True, kw_only=True)
class CorpusOptions:
    """Which unlabelled text a job reads; `data.corpus.encoded_corpus` reads it."""

    corpus: str = input_option(
        "speeches,snippets",
        "text files a,b,c (a paragraph a line); speeches: State of the Union messages, snippets: "
        "film-review snippets without labels",
    )
    corpus_sentences: int = option(0, "use this many sentences, evenly spaced; 0: all")
    corpus_max_tokens: int = option(128, "most tokens per sentence of the corpus")
