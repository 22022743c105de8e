"""Estimates of a metric with intervals from a bootstrap over clusters, and tests of two models on the same examples.

Examples of one paragraph stand or fall together, so that whole clusters are drawn (Cameron, Gelbach and Miller 2008;
for translation Koehn 2004). Metrics are formulas of sums, so that a resample is a weighting of the clusters' sums and
1,000 of them cost one matrix product.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from .errors import PluginError, XlingualError
from .metrics import is_own
from .plugin import SHARE, Bounds, FloatArray, Metric
from .records import Estimate, Statistics

RESAMPLES = 1000
LEVEL = 95.0
"""Per cent of resamples inside an interval."""
_CELLS = 4_000_000
"""Draws held at once, so that memory does not grow with the data."""
_ROUNDING = 1e-9
"""Differences of scores below this are none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How much the first of two models is ahead on the examples that both were scored on."""

    difference: float
    """First minus second, in points of the metric."""
    low: float | None
    high: float | None
    """95% interval; None with fewer than two clusters."""
    p: float | None
    """Two-sided, of a difference as large as this if there is none; None with fewer than two clusters."""
    n: int
    """Examples that both were scored on."""


def estimate(
    metric: Metric, language: str, statistics: Sequence[Statistics | None], clusters: Sequence[str], seed: int = 0
) -> Estimate:
    """Return `metric` over the examples that have statistics, with its 95% percentile interval.

    `statistics` and `clusters` have one entry an example; an entry of None is an unscored example. The interval is
    None with fewer than two clusters. The same arguments give the same numbers. Raises PluginError for statistics
    that are not finite or not all of one length, which only a fault in the metric can give.
    """
    scored = [index for index, row in enumerate(statistics) if row is not None]
    reason = metric.missing(language)
    if reason is None and not scored:
        reason = "no example could be scored" if statistics else "there are no examples"
    if reason is not None:
        return _without_value(metric, language, len(statistics), reason)
    sums = _sum_clusters(metric, statistics, clusters, scored)
    value = float(metric.combine(sums.sum(axis=0)))
    if not np.isfinite(value):
        return _without_value(metric, language, len(statistics), "the metric is undefined on these examples")
    low, high = _interval(_resample(metric, [sums], seed)[0]) if len(sums) > 1 else (None, None)
    return Estimate(
        metric=metric.name,
        value=value,
        low=low,
        high=high,
        n=len(scored),
        unscored=len(statistics) - len(scored),
        signature=metric.signature(language),
        reason=None,
        **_declared(metric),
    )


def paired_difference(
    metric: Metric,
    first: Sequence[Statistics | None],
    second: Sequence[Statistics | None],
    clusters: Sequence[str],
    seed: int = 0,
) -> Difference | None:
    """Return how far `first` is ahead of `second` on the same examples, or None where no example has both.

    Both are resampled together, so that what is hard for both cancels out. The test shifts the resampled differences
    to a mean of nothing and counts those as large as the one observed (Noreen 1989; Riezler and Maxwell 2005).
    """
    both = [index for index, pair in enumerate(zip(first, second, strict=True)) if None not in pair]
    if not both:
        return None
    sums = [_sum_clusters(metric, rows, clusters, both) for rows in (first, second)]
    difference = float(metric.combine(sums[0].sum(axis=0)) - metric.combine(sums[1].sum(axis=0)))
    if not np.isfinite(difference):
        return None
    if len(sums[0]) < 2:
        return Difference(difference=difference, low=None, high=None, p=None, n=len(both))
    ahead, behind = _resample(metric, sums, seed)
    differences = ahead - behind
    low, high = _interval(differences)
    as_large = np.abs(differences - difference) >= abs(difference) - _ROUNDING
    p = (1 + int(as_large.sum())) / (1 + RESAMPLES)
    return Difference(difference=difference, low=low, high=high, p=p, n=len(both))


def _without_value(metric: Metric, language: str, count: int, reason: str) -> Estimate:
    return Estimate(
        metric=metric.name,
        value=None,
        low=None,
        high=None,
        n=0,
        unscored=count,
        signature=metric.signature(language),
        reason=reason,
        **_declared(metric),
    )


class _Declared(TypedDict, total=False):
    """What an Estimate says of its metric, for boards that do not have it."""

    higher_is_better: bool
    bounds: Bounds


def _declared(metric: Metric) -> _Declared:
    """Return what a metric says of its scores; nothing for xlingual's own, which every board knows."""
    if is_own(metric.name):
        return {}
    found: _Declared = {"higher_is_better": metric.higher_is_better}
    return found if metric.bounds == SHARE else {**found, "bounds": metric.bounds}


def _sum_clusters(
    metric: Metric, statistics: Sequence[Statistics | None], clusters: Sequence[str], chosen: Sequence[int]
) -> FloatArray:
    """Return the sums of the chosen examples' statistics, shape (clusters, k), clusters in order of appearance."""
    if len(clusters) != len(statistics):
        raise XlingualError(f"{len(statistics)} examples but {len(clusters)} clusters", where=metric.name)
    numbers: dict[str, int] = {}
    groups: NDArray[np.intp] = np.array([numbers.setdefault(clusters[index], len(numbers)) for index in chosen])
    rows = [statistics[index] for index in chosen]
    if len({len(row) for row in rows if row is not None}) != 1:
        raise PluginError("examples have statistics of different lengths", where=metric.name)
    values: FloatArray = np.array(rows, dtype=np.float64)
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if bad.size:
        raise PluginError(
            f"the statistics {rows[bad[0]]} of example {chosen[bad[0]] + 1} are not finite",
            where=metric.name,
            hint="this is a fault in the metric: an example that cannot be judged has None",
        )
    sums: FloatArray = np.zeros((len(numbers), values.shape[1]), dtype=np.float64)
    np.add.at(sums, groups, values)
    return sums


def _resample(metric: Metric, sums: Sequence[FloatArray], seed: int) -> list[FloatArray]:
    """Return the scores, shape (RESAMPLES,), of each of `sums` under the same draws of its clusters."""
    generator = np.random.Generator(np.random.PCG64(seed))
    clusters = len(sums[0])
    chances = np.full(clusters, 1.0 / clusters)
    at_once = max(1, min(RESAMPLES, _CELLS // clusters))
    scores: list[list[FloatArray]] = [[] for _ in sums]
    for start in range(0, RESAMPLES, at_once):
        draws = generator.multinomial(clusters, chances, size=min(at_once, RESAMPLES - start)).astype(np.float64)
        for parts, each in zip(scores, sums, strict=True):
            parts.append(metric.combine(draws @ each))
    return [np.concatenate(parts) for parts in scores]


def _interval(scores: FloatArray) -> tuple[float | None, float | None]:
    """Return the percentile interval, or none of it where a resample has no score."""
    if not np.isfinite(scores).all():
        return None, None
    tail = (100.0 - LEVEL) / 2
    low, high = np.percentile(scores, [tail, 100.0 - tail])
    return float(low), float(high)
