"""Intervals of corpus scores (BLEU, chrF): resamples of whole clusters, from summed counts alone.

A corpus score is a formula of sums, so that a resample is a weighting of the clusters' sums, and 1,000 of them cost one
matrix product (Koehn 2004 for translation).
"""

from collections.abc import Sequence
from math import sqrt
from typing import Protocol

import numpy as np

from ..plugin import FloatArray
from .quantiles import TAIL, normal_share, t_quantile

RESAMPLES = 1000
FEWEST_RESAMPLED = 10
"""Below this many clusters there are too few different resamples."""
_CELLS = 4_000_000
"""Draws held at once, so that memory does not grow with the data."""


class Combines(Protocol):
    """A metric, of which only its formula over summed statistics is used."""

    def combine(self, sums: FloatArray) -> FloatArray:
        """Turn summed statistics, shape (..., k), into scores, shape (...)."""
        ...


def resample(metric: Combines, sums: Sequence[FloatArray], seed: int, draws: int = RESAMPLES) -> list[FloatArray]:
    """Return the scores, shape (draws,), of each of `sums`, shape (clusters, k), under the same draws of clusters."""
    generator = np.random.Generator(np.random.PCG64(seed))
    clusters = len(sums[0])
    chances = np.full(clusters, 1.0 / clusters)
    at_once = max(1, min(draws, _CELLS // clusters))
    scores: list[list[FloatArray]] = [[] for _ in sums]
    for start in range(0, draws, at_once):
        weights = generator.multinomial(clusters, chances, size=min(at_once, draws - start)).astype(np.float64)
        for parts, each in zip(scores, sums, strict=True):
            parts.append(np.asarray(metric.combine(weights @ each), dtype=np.float64))
    return [np.concatenate(parts) for parts in scores]


def expanded_interval(scores: FloatArray, clusters: int) -> tuple[float, float] | None:
    """Return the 95% percentile interval of resampled `scores`, or None where one of them is no number.

    Percentiles are taken further out than 2.5 and 97.5, as far as t is wider than the normal distribution and the
    resamples narrower than the data, both by the number of clusters (Hesterberg 2015, the expanded percentile
    interval): at 24 clusters 1.7 and 98.3.
    """
    if not np.isfinite(scores).all():
        return None
    tail = 100 * normal_share(-sqrt(clusters / (clusters - 1)) * t_quantile(1 - TAIL, clusters - 1))
    low, high = np.percentile(scores, [tail, 100.0 - tail])
    return float(low), float(high)
