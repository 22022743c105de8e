"""BLEU from sacrebleu's counts: segments are counted by sacrebleu, summed counts are scored for many samples at once.

Source: Papineni et al. 2002; smoothing "exp" of mteval-v13a (Chen and Cherry 2014, method 3); sacrebleu (Post 2018).
"""

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from ..plugin import FloatArray
from ..records import Statistics

if TYPE_CHECKING:
    from sacrebleu.metrics.bleu import BLEU

ORDER = 4
"""The longest n-grams that count."""


def count_matches(tokenizer: str, hypothesis: str, references: tuple[str, ...]) -> Statistics:
    """Return hypothesis length, reference length, matched 1- to 4-grams and all 1- to 4-grams of one segment."""
    score = _scorer(tokenizer).corpus_score([hypothesis], [[reference] for reference in references])
    return tuple(float(count) for count in (score.sys_len, score.ref_len, *score.counts, *score.totals))


def combine_counts(sums: FloatArray) -> FloatArray:
    """Return corpus BLEU, 0 to 100, of summed counts of shape (..., 10), as sacrebleu's defaults compute it."""
    lengths, references = sums[..., 0], sums[..., 1]
    correct, total = sums[..., 2 : 2 + ORDER], sums[..., 2 + ORDER : 2 + 2 * ORDER]
    defined = np.asarray((total > 0).all(axis=-1) & (correct > 0).any(axis=-1))
    # The first order without a match counts as half a match, the second as a quarter, and so on.
    halvings = np.cumsum(correct == 0, axis=-1)
    numerator = np.where(correct > 0, correct, 0.5**halvings)
    precisions = np.where(defined[..., None], 100.0 * numerator / np.where(total > 0, total, 1.0), 1.0)
    ratio = references / np.where(lengths > 0, lengths, 1.0)
    brevity = np.where(lengths < references, np.exp(np.minimum(0.0, 1.0 - ratio)), 1.0)
    return np.asarray(np.where(defined, brevity * np.exp(np.log(precisions).mean(axis=-1)), 0.0), dtype=np.float64)


def describe_bleu(tokenizer: str) -> str:
    """Return sacrebleu's signature of BLEU with `tokenizer` and one reference a segment."""
    scorer = _scorer("none")
    scorer.corpus_score(["a"], [["a"]])
    signature = str(scorer.get_signature())
    name = tokenizer if find_tokenizer_fault(tokenizer) else str(_scorer(tokenizer).tokenizer_signature)
    return signature.replace("|tok:none|", f"|tok:{name}|")


@cache
def find_tokenizer_fault(tokenizer: str) -> str | None:
    """Return why sacrebleu's `tokenizer` does not work on this machine, in one line, or None."""
    try:
        _scorer(tokenizer)
    except (ImportError, RuntimeError, OSError) as error:
        return " ".join(str(error).split()) or type(error).__name__
    return None


@cache
def _scorer(tokenizer: str) -> "BLEU":
    from sacrebleu.metrics.bleu import BLEU  # noqa: PLC0415  # a heavy package, for these metrics only

    return BLEU(tokenize=tokenizer)
