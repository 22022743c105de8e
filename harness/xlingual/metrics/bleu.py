"""BLEU with the tokenizer of the language: "zh", "ja-mecab", "ko-mecab", characters without spaces, else "13a"."""

from ..languages import LANGUAGES
from ..records import Statistics
from .bleu_counts import combine_counts, count_matches, describe_bleu, find_tokenizer_fault
from .corpus import CorpusMetric, with_cleaned

_EXTRAS = {"ja-mecab": "ja", "ko-mecab": "ko"}


def _tokenizer(language: str) -> str:
    row = LANGUAGES.get(language)
    return row.bleu_tokenizer if row else "13a"


def _count(language: str, hypothesis: str, references: tuple[str, ...]) -> Statistics:
    return count_matches(_tokenizer(language), hypothesis, references)


def _lack(language: str) -> str | None:
    tokenizer = _tokenizer(language)
    if find_tokenizer_fault(tokenizer) is None:
        return None
    extra = f" (pip install 'sacrebleu[{_EXTRAS[tokenizer]}]')" if tokenizer in _EXTRAS else ""
    return f"not computed: the {tokenizer} tokenizer of sacrebleu is not installed{extra}"


def _describe(language: str) -> str:
    return describe_bleu(_tokenizer(language))


_PLAIN = CorpusMetric(name="bleu", count=_count, formula=combine_counts, describe=_describe, lack=_lack)
METRICS = with_cleaned(_PLAIN)
