"""Two models on the same examples: how far one is ahead, with an exact test and the interval that agrees with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

from ..errors import XlingualError
from ..plugin import FloatArray, Metric
from ..records import Statistics
from .clusters import Units, choose_units, mean_cluster_size, number_units, read_values, sum_units
from .multiple import detectable_difference
from .quantiles import TAIL, t_quantile, t_tail
from .rates import ASSUMED_CORRELATION, INFORMATIVE
from .resampling import FEWEST_RESAMPLED, expanded_interval, resample
from .shares import is_share
from .signflip import ALPHA, DRAWS, FEWEST_DIFFERENCES, flip_all, refused_beyond, sign_flip

_ROUNDING = 1e-9
_SEED = 0
"""Of draws: the same two runs always differ by the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How much the first of two models is ahead on the examples that both were scored on."""

    first: float
    second: float
    """The scores on those examples."""
    difference: float
    """First minus second, in points of the metric."""
    low: float | None
    high: float | None
    """95% interval: without 0 where p is at most 0.05. None with too few clusters, see `method`."""
    p: float
    """Two-sided, of a difference as large as this if there is none."""
    n: int
    """Examples that both were scored on."""
    clusters: int
    clustered_by: str
    """"group", "cluster" or "example"."""
    method: str
    """How interval and p-value were found."""
    p_behind: float
    """Two-sided, of a true difference of minus the margin; `p` where there is no margin."""
    ahead: int | None
    behind: int | None
    """Examples on which the first scored higher, and lower; None for formulas of sums whose counts differ."""
    detectable: float | None
    """Points from which on a difference would be found with a chance of 80%; None where there is no interval."""


@dataclass(frozen=True, slots=True)
class _Ends:
    """The interval of a difference and its standard error, in points."""

    low: float
    high: float
    error: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pair:
    """Sums of statistics of both models over clusters, shape (clusters, k), and what is known besides."""

    first: FloatArray
    second: FloatArray
    units: Units
    n: int
    margin: float
    ahead: int | None
    behind: int | None


def paired_difference(
    metric: Metric,
    first: Sequence[Statistics | None],
    second: Sequence[Statistics | None],
    clusters: Sequence[str],
    *,
    groups: Sequence[str] | None = None,
    margin: float = 0.0,
) -> Difference | None:
    """Return how far `first` is ahead of `second` on the same examples, or None where no example has both.

    `groups` are the articles of the examples, where they are known. `margin` is how many points `first` may be behind
    (below 0: ahead, for rates of failure). XlingualError where there are not as many clusters as examples.
    """
    if len(clusters) != len(first):
        raise XlingualError(f"{len(first)} examples but {len(clusters)} clusters", where=metric.name)
    both = [index for index, pair in enumerate(zip(first, second, strict=True)) if None not in pair]
    if not both:
        return None
    units = choose_units(
        [clusters[index] for index in both], None if groups is None else [groups[index] for index in both]
    )
    values = [read_values(rows, both, metric.name) for rows in (first, second)]
    numbers = number_units(units.names)
    sums = [sum_units(each, numbers) for each in values]
    scores = [float(metric.combine(each.sum(axis=0))) for each in sums]
    if not np.isfinite(scores).all():
        return None
    shares = all(is_share(metric, each) for each in values)
    apart = values[0][:, 0] - values[1][:, 0] if shares else np.zeros(0)
    known = shares or bool((values[0] == values[1]).all())
    pair = _Pair(
        first=sums[0],
        second=sums[1],
        units=units,
        n=len(both),
        margin=margin,
        ahead=int((apart > _ROUNDING).sum()) if known else None,
        behind=int((apart < -_ROUNDING).sum()) if known else None,
    )
    return _of_shares(pair, scores) if shares else _of_formulas(metric, pair, scores)


def _of_shares(pair: _Pair, scores: Sequence[float]) -> Difference:
    """Test a mean of single scores: the signs of the clusters' differences."""
    differences, sizes = pair.first[:, 0] - pair.second[:, 0], pair.first[:, 1]
    difference = scores[0] - scores[1]
    p, exact = sign_flip(differences)
    p_behind = p if pair.margin == 0 else sign_flip(differences + pair.margin / 100 * sizes)[0]
    found = refused_beyond(differences, sizes)
    method = f"sign-flip, {'exact' if exact else f'{DRAWS:,} draws'}"
    if found is None:
        return _describe(pair, scores, None, (p, p_behind), method)
    error = _widened_error(differences, sizes)
    ends = found
    if int((np.abs(differences) > _ROUNDING).sum()) < INFORMATIVE:
        half = t_quantile(1 - TAIL, len(sizes) - 1) * error
        ends = max(-1.0, min(ends[0], difference / 100 - half)), min(1.0, max(ends[1], difference / 100 + half))
        if pair.margin:
            # Signs take gains to be as likely as losses: where there are two losses alone, they are too sure.
            p_behind = max(p_behind, t_tail((difference + pair.margin) / 100 / error, len(sizes) - 1))
    agreed = _agree((100 * ends[0], 100 * ends[1]), difference, p)
    return _describe(pair, scores, _Ends(*agreed, 100 * error), (p, p_behind), method)


def unseen_variance(sizes: FloatArray) -> float:
    """Return what one example more in favour of either model adds to the variance of a mean difference.

    What was not seen in 24 examples may be there in the 25th (as of Bonett and Price 2012, in effective examples).
    """
    effective = float(sizes.sum()) / (1 + (mean_cluster_size(sizes) - 1) * ASSUMED_CORRELATION)
    return 2 / (effective + 2) ** 2


def _widened_error(differences: FloatArray, sizes: FloatArray) -> float:
    """Return the standard error of a mean difference, never zero: where few clusters differ, intervals are as wide."""
    clusters, count = len(sizes), float(sizes.sum())
    mean = float(differences.sum()) / count
    own = float(((differences - mean * sizes) ** 2).sum()) * clusters / (clusters - 1) / count**2
    return sqrt(own + unseen_variance(sizes))


def _of_formulas(metric: Metric, pair: _Pair, scores: Sequence[float]) -> Difference:
    """Test a formula of sums: whole clusters change sides between the models, and the formula is computed anew.

    The interval is that of resamples of both together, so that what is hard for both cancels out.
    """
    difference = scores[0] - scores[1]
    middle, half = (pair.first + pair.second) / 2, (pair.first - pair.second) / 2
    swapped = flip_all(half, _SEED)
    total = middle.sum(axis=0)
    apart = np.abs(metric.combine(total + swapped) - metric.combine(total - swapped))
    p = float((apart >= abs(difference) - _ROUNDING).mean())
    clusters = len(pair.first)
    exact = len(swapped) == 2**clusters
    ends: _Ends | None = None
    p_behind = p
    if clusters >= FEWEST_RESAMPLED:
        ours, theirs = resample(metric, [pair.first, pair.second], _SEED)
        found = expanded_interval(ours - theirs, clusters)
        if found is not None:
            ends = _Ends(*_agree(found, difference, p), float((ours - theirs).std()))
        if pair.margin:
            shifted = np.abs(ours - theirs - difference) >= abs(difference + pair.margin) - _ROUNDING
            p_behind = (1 + int(shifted.sum())) / (1 + len(ours))
    elif pair.margin:
        p_behind = 1.0
    method = f"swaps, {'exact' if exact else f'{DRAWS:,} draws'}; interval by bootstrap"
    return _describe(pair, scores, ends, (p, p_behind), method, fewest=FEWEST_RESAMPLED)


def _agree(ends: tuple[float, float], difference: float, p: float) -> tuple[float, float]:
    """Return `ends` with 0 outside where the test refuses 0, and inside where it does not.

    Test and interval come from draws of their own, so that close to 5% they may differ by a hair.
    """
    low, high = min(ends[0], difference), max(ends[1], difference)
    if p > ALPHA:
        return min(low, 0.0), max(high, 0.0)
    nearest = _ROUNDING if difference > 0 else -_ROUNDING
    return (max(low, nearest), high) if difference > 0 else (low, min(high, nearest))


def _describe(
    pair: _Pair,
    scores: Sequence[float],
    ends: _Ends | None,
    p_values: tuple[float, float],
    method: str,
    fewest: int = FEWEST_DIFFERENCES,
) -> Difference:
    clusters = len(pair.first)
    few = ""
    if ends is None:
        why = f"too few clusters ({clusters}, at least {fewest} needed)"
        few = f"; no interval: {why if clusters < fewest else 'a resample has no score'}"
    return Difference(
        first=scores[0],
        second=scores[1],
        difference=scores[0] - scores[1],
        low=None if ends is None else ends.low,
        high=None if ends is None else ends.high,
        p=p_values[0],
        n=pair.n,
        clusters=clusters,
        clustered_by=pair.units.level.value,
        method=method + few,
        p_behind=p_values[1],
        ahead=pair.ahead,
        behind=pair.behind,
        detectable=None if ends is None else detectable_difference(ends.error, clusters),
    )
