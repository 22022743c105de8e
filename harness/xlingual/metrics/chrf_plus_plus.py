"""chrF++ (Popović 2017): F2 over 1- to 6-grams of characters and 1- and 2-grams of words, as sacrebleu computes it."""

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from ..plugin import FloatArray
from ..records import Statistics
from .corpus import CorpusMetric, with_cleaned

if TYPE_CHECKING:
    from sacrebleu.metrics.chrf import CHRF

CHARACTER_ORDER = 6
WORD_ORDER = 2
BETA = 2


def _count(_language: str, hypothesis: str, references: tuple[str, ...]) -> Statistics:
    # The public calls give the score only; sacrebleu's own significance tests get their counts here too.
    rows = _scorer()._extract_corpus_statistics([hypothesis], [[reference] for reference in references])
    return tuple(float(count) for count in rows[0])


def combine_orders(sums: FloatArray) -> FloatArray:
    """Return chrF, 0 to 100, of summed counts: hypothesis, reference and match of each order, shape (..., 3 orders)."""
    counts = sums.reshape(*sums.shape[:-1], -1, 3)
    hypothesis, reference, match = counts[..., 0], counts[..., 1], counts[..., 2]
    present = (hypothesis > 0) & (reference > 0)
    orders = np.maximum(present.sum(axis=-1), 1)
    precision = (np.where(present, match, 0.0) / np.where(present, hypothesis, 1.0)).sum(axis=-1) / orders
    recall = (np.where(present, match, 0.0) / np.where(present, reference, 1.0)).sum(axis=-1) / orders
    weighted = BETA**2 * precision + recall
    score = (1 + BETA**2) * precision * recall / np.where(weighted > 0, weighted, 1.0)
    return np.asarray(100.0 * score, dtype=np.float64)


def _describe(_language: str) -> str:
    scorer = _scorer()
    scorer.corpus_score(["a"], [["a"]])
    return str(scorer.get_signature())


def _lack(_language: str) -> str | None:
    return None


@lru_cache(maxsize=1)
def _scorer() -> "CHRF":
    from sacrebleu.metrics.chrf import CHRF  # noqa: PLC0415  # a heavy package, for these metrics only

    return CHRF(char_order=CHARACTER_ORDER, word_order=WORD_ORDER, beta=BETA)


_PLAIN = CorpusMetric(name="chrf++", count=_count, formula=combine_orders, describe=_describe, lack=_lack)
METRICS = with_cleaned(_PLAIN)
