"""BLEU over SentencePiece tokens, from a model file that is already on this machine.

sacrebleu fetches a missing model in the middle of scoring, without a check of what it got. So texts are tokenized
here, as sacrebleu does it (pieces joined by spaces), and sacrebleu counts what it takes for tokenized text.
"""

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import EnvironmentFault
from ..records import Statistics
from .bleu_counts import combine_counts, count_matches, describe_bleu
from .corpus import CorpusMetric
from .sentencepiece_model import find_model, find_model_fault, load_processor, model_digest

if TYPE_CHECKING:
    from sentencepiece import SentencePieceProcessor


def _sentencepiece_bleu(name: str, model: str) -> CorpusMetric:
    """Return the metric `name`: BLEU over the tokens of the SentencePiece model `model`, "flores101" or "flores200"."""

    def count(_language: str, hypothesis: str, references: tuple[str, ...]) -> Statistics:
        processor = _processor(model)
        pieces = [_tokenize(processor, text) for text in (hypothesis, *references)]
        return count_matches("none", pieces[0], tuple(pieces[1:]))

    def describe(_language: str) -> str:
        signature = describe_bleu("none").replace("|tok:none|", f"|tok:{model}|")
        path = find_model(model)
        return f"{signature}|spm:{model_digest(path)[:8]}" if path else signature

    def lack(_language: str) -> str | None:
        fault = find_model_fault(model)
        return f"not computed: {fault} (xlingual doctor --fetch-spm)" if fault else None

    return CorpusMetric(name=name, count=count, formula=combine_counts, describe=describe, lack=lack)


def _tokenize(processor: "SentencePieceProcessor", text: str) -> str:
    return " ".join(processor.encode(text.rstrip(), out_type=str))


def _processor(model: str) -> "SentencePieceProcessor":
    path = find_model(model)
    if path is None:
        raise EnvironmentFault(
            find_model_fault(model) or "the SentencePiece model vanished",
            where=f"SentencePiece model {model}",
            hint="xlingual doctor --fetch-spm gets it from its official address",
        )
    return _load(path, model_digest(path))


@lru_cache(maxsize=4)
def _load(path: Path, _digest: str) -> "SentencePieceProcessor":
    return load_processor(path)


METRICS = (
    _sentencepiece_bleu("spbleu", "flores101"),
    _sentencepiece_bleu("spbleu_flores200", "flores200"),
)
"""As Goyal et al. 2022 and the x-LLaMA paper have it, and with the model of NLLB 2022: not comparable."""
