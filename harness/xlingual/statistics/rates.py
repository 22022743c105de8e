"""Intervals of rates: the share of right answers, or the mean of scores from 0 to 1.

Every example a cluster: the exact interval of Clopper and Pearson where there are few right or few wrong ones, else
Wilson's. Clusters of several: Wilson's on an effective number of examples. A bootstrap of rates is no choice: of 24
wrong answers it makes [0, 0] (Brown, Cai and DasGupta 2001; Franco et al. 2019 for clusters).
"""

from dataclasses import dataclass

import numpy as np

from ..plugin import FloatArray
from .clusters import cluster_variance, intraclass_correlation, mean_cluster_size
from .quantiles import NORMAL, TAIL, beta_quantile, t_quantile

ASSUMED_CORRELATION = 0.25
"""The intra-class correlation where the run's own clusters say little of it; a high one, so that doubt widens."""
INFORMATIVE = 15
"""Clusters with a right and with a wrong answer from which on the run's own variance stands alone."""
RARE = 5
"""Right or wrong answers below which single examples have the exact interval."""
_RARE_CLUSTERED = 2
"""Effective right or wrong answers below which the whole width is t's."""
_LEAST_FREEDOM = 15
"""Degrees of freedom of t that clusters which tell nothing leave, where there are as many clusters."""
_SPREAD_ROOM = 1.0
"""Weight, in examples, of the guess that scores spread as far as right and wrong answers do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RateInterval:
    """Intervals of one rate or of many, each from 0 to 1; all arrays have the shape of the rates."""

    low: FloatArray
    high: FloatArray
    effective_n: FloatArray
    """As many independent examples would be as sure."""
    correlation: "FloatArray | None"
    """The estimated intra-class correlation; None where every example is a cluster."""
    method: str


def clopper_pearson(successes: float, n: float) -> tuple[float, float]:
    """Return the exact interval of `successes` of `n`; neither need be whole."""
    low = 0.0 if successes <= 0 else beta_quantile(TAIL, successes, n - successes + 1)
    high = 1.0 if successes >= n else beta_quantile(1 - TAIL, successes + 1, n - successes)
    return low, high


def wilson(rate: FloatArray, n: FloatArray, quantile: "FloatArray | float") -> tuple[FloatArray, FloatArray]:
    """Return Wilson's score interval of rates in `n` examples."""
    square = np.square(quantile)
    centre = (rate + square / (2 * n)) / (1 + square / n)
    half = quantile * np.sqrt(rate * (1 - rate) / n + square / (4 * n**2)) / (1 + square / n)
    return np.clip(centre - half, 0.0, 1.0), np.clip(centre + half, 0.0, 1.0)


def rate_interval(totals: FloatArray, sizes: FloatArray, squares: FloatArray) -> RateInterval:
    """Return the 95% intervals of rates, from clusters' sums of scores.

    `totals`, shape (..., k), are sums of scores from 0 to 1 in k clusters, `sizes`, shape (k,), the numbers of examples
    in them, and `squares`, shape (...), the summed squares of the scores. Needs two clusters.
    """
    if float(sizes.max()) <= 1.0:
        return _of_single_examples(totals.sum(axis=-1), float(sizes.sum()), squares)
    return _of_clusters(totals, sizes, squares)


def _spread(rate: FloatArray, count: float, squares: FloatArray) -> FloatArray:
    """Return the variance of scores as a share of that of right and wrong; 1 where there is little to tell it by."""
    most = count * rate * (1 - rate)
    own = np.maximum(squares - count * rate**2, 0.0)
    return np.asarray(np.minimum(1.0, (own + _SPREAD_ROOM) / (most + _SPREAD_ROOM)), dtype=np.float64)


def _of_single_examples(right: FloatArray, count: float, squares: FloatArray) -> RateInterval:
    rate = right / count
    graded = np.abs(squares - right) > 1e-9 * count
    effective = np.where(graded, count / _spread(rate, count, squares), count)
    quantile = np.where(graded, t_quantile(1 - TAIL, count - 1), NORMAL)
    low, high = wilson(rate, effective, quantile)
    rare = np.minimum(right, count - right) < RARE
    exact = {float(each): clopper_pearson(float(each), count) for each in np.unique(right[rare])}
    low = np.where(rare, [exact.get(float(each), (0.0,))[0] for each in right.flat], low.flat).reshape(right.shape)
    high = np.where(rare, [exact.get(float(each), (0.0, 0.0))[1] for each in right.flat], high.flat)
    method = "Clopper-Pearson" if bool(rare.all()) else "Wilson"
    return RateInterval(low=low, high=high.reshape(right.shape), effective_n=effective, correlation=None, method=method)


def _of_clusters(totals: FloatArray, sizes: FloatArray, squares: FloatArray) -> RateInterval:
    """Return Wilson's interval on the effective number of examples.

    The variance is a mean of the run's own (CR2) and of one by ASSUMED_CORRELATION. The own one weighs the more the
    more clusters hold both right and wrong answers: where a handful of clusters holds all the right ones, the spread
    between clusters is small by chance. The quantile is t's for the part of the error that clusters add, for that is
    estimated from them, with twice as many degrees of freedom as there are such clusters; the rest is known from the
    rate. Weights were chosen by simulation: docs/statistics.md.
    """
    clusters, count = len(sizes), float(sizes.sum())
    rate = totals.sum(axis=-1) / count
    single = rate * (1 - rate) / count * _spread(rate, count, squares)
    assumed = 1 + (mean_cluster_size(sizes) - 1) * ASSUMED_CORRELATION
    telling = np.minimum((totals > 0).sum(axis=-1), (totals < sizes).sum(axis=-1))
    weight = np.clip(np.maximum(telling / INFORMATIVE, (telling / clusters) ** 2), 0.0, 1.0)
    variance = weight * cluster_variance(totals, sizes) + (1 - weight) * assumed * single
    known = single > 0
    effect = np.where(known, np.maximum(variance / np.where(known, single, 1.0), 1.0), assumed)
    effective = count / effect
    freedom = np.clip(2 * telling, min(_LEAST_FREEDOM, clusters - 1), clusters - 1)
    quantiles = {int(each): t_quantile(1 - TAIL, int(each)) for each in np.unique(freedom)}
    whole = np.array([quantiles[int(each)] for each in freedom.flat]).reshape(freedom.shape)
    quantile = NORMAL + (whole - NORMAL) * np.sqrt(1 - 1 / effect)
    quantile = np.where(np.minimum(rate, 1 - rate) * effective < _RARE_CLUSTERED, whole, quantile)
    low, high = wilson(rate, np.where(known, effective / _spread(rate, count, squares), effective), quantile)
    correlation = intraclass_correlation(totals, sizes, squares) if count > clusters else None
    return RateInterval(low=low, high=high, effective_n=effective, correlation=correlation, method="Wilson, clustered")
