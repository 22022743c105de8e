"""Metrics of lm-eval's tasks, `lm-eval:NAME:AGGREGATION[:lower]`: its own values of examples, put together as it does.

lm-eval aggregates lists of values; here every aggregation is a formula of sums, so that it has an interval. Those that
are none (a median, a function of the task's own) are not computed, and say so. Scores are 100 times lm-eval's, but for
perplexities, bits, BLEU and chrF, which have its own scale.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ..errors import UsageError
from ..plugin import SHARE, Bounds, FloatArray
from ..records import Example, Response, Statistics
from . import LOWER_SUFFIX
from .bleu_counts import combine_counts
from .chrf_plus_plus import combine_orders
from .mean import combine_means


def _ratio(sums: FloatArray) -> FloatArray:
    above, below = sums[..., 0], sums[..., 1]
    return np.asarray(np.where(below > 0, above / np.where(below > 0, below, 1.0), np.nan), dtype=np.float64)


def _perplexity(sums: FloatArray) -> FloatArray:
    with np.errstate(over="ignore"):  # beyond what a number holds it is infinite, which is no score
        return np.asarray(np.exp(-_ratio(sums)), dtype=np.float64)


def _bits(sums: FloatArray) -> FloatArray:
    return np.asarray(-_ratio(sums) / np.log(2.0), dtype=np.float64)


def _f1(sums: FloatArray) -> FloatArray:
    """From true positives, false positives, false negatives and true negatives."""
    hits, false, missed = (sums[..., place] for place in range(3))
    return 100.0 * _ratio(np.stack([2 * hits, 2 * hits + false + missed], axis=-1))


def _matthews(sums: FloatArray) -> FloatArray:
    hits, false, missed, rest = (sums[..., place] for place in range(4))
    product = (hits + false) * (hits + missed) * (rest + false) * (rest + missed)
    root = np.sqrt(np.where(product > 0, product, 1.0))
    return np.asarray(100.0 * np.where(product > 0, (hits * rest - false * missed) / root, 0.0), dtype=np.float64)


FORMULAS: Mapping[str, Callable[[FloatArray], FloatArray]] = {
    "mean": combine_means,
    "nanmean": combine_means,
    "mean_of_known": combine_means,
    "brier_score": combine_means,
    "perplexity": _perplexity,
    "weighted_perplexity": _perplexity,
    "bits_per_byte": _bits,
    "f1": _f1,
    "matthews_corrcoef": _matthews,
    "bleu": combine_counts,
    "chrf": combine_orders,
    "chrf++": combine_orders,
}
"""By lm-eval's name of the aggregation."""


_BOUNDS: Mapping[str, Bounds] = {
    "perplexity": (0.0, None),
    "weighted_perplexity": (0.0, None),
    "matthews_corrcoef": (-100.0, 100.0),
    **dict.fromkeys(("f1", "bleu", "chrf", "chrf++"), SHARE),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LmEvalMetric:
    """A metric that a task of lm-eval's measures itself."""

    name: str
    aggregation: str
    higher_is_better: bool

    @property
    def bounds(self) -> Bounds:
        """What the aggregation can give; tasks measure what they like, so that means have no bounds."""
        return _BOUNDS.get(self.aggregation, (None, None))

    def missing(self, _language: str) -> str | None:
        """Return that the aggregation is no formula of sums, or None."""
        known = self.aggregation in FORMULAS
        return None if known else f"not computed: lm-eval's aggregation {self.aggregation!r} is no formula of sums"

    def signature(self, _language: str) -> str:
        """Name the metric and the aggregation; the version of lm-eval is the task's."""
        return self.name

    def measure(self, _example: Example, _response: Response) -> Statistics | None:
        """Return None: the task measures its answers itself."""
        return None

    def combine(self, sums: FloatArray) -> FloatArray:
        """Turn summed statistics, shape (..., k), into scores."""
        return FORMULAS[self.aggregation](sums)


def read_name(name: str) -> LmEvalMetric:
    """Return the metric that `name` describes; UsageError where it describes none."""
    parts = name.split(":")
    if len(parts) not in (3, 4) or not all(parts) or parts[3:] not in ([], [LOWER_SUFFIX[1:]]):
        raise UsageError(f"no such metric: {name!r}", hint="lm-eval:NAME:AGGREGATION[:lower]")
    return LmEvalMetric(name=name, aggregation=parts[2], higher_is_better=len(parts) == 3)
