"""A metric over a set of examples, with its interval: what `eval`, `score` and the boards show.

Rates have Wilson's or the exact interval, formulas of sums (BLEU, chrF) one of resamples; see docs/statistics.md.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypedDict

import numpy as np

from .errors import XlingualError
from .metrics import is_own
from .plugin import SHARE, Bounds, FloatArray, Metric
from .records import NO_INTERVAL, Estimate, Statistics
from .statistics.clusters import FEWEST_CLUSTERS, Level, Units, choose_units, number_units, read_values, sum_units
from .statistics.paired import Difference, paired_difference
from .statistics.quantiles import LEVEL
from .statistics.rates import rate_interval
from .statistics.resampling import FEWEST_RESAMPLED, RESAMPLES, expanded_interval, resample
from .statistics.shares import is_share

__all__ = ["FEWEST_JUDGED", "LEVEL", "Difference", "estimate", "paired_difference"]

FEWEST_JUDGED = 10
"""A metric that judges fewer examples than this, and fewer than half of them, is not computed."""
_NO_WIDTH = 1e-9
"""Of an interval: where all translations are perfect, or none has a word right, resamples tell nothing of the next."""


@dataclass(frozen=True, slots=True)
class _Scored:
    """Statistics of the scored examples, shape (examples, k), their sums over clusters, and what the clusters are."""

    values: FloatArray
    sums: FloatArray
    units: Units


def estimate(
    metric: Metric,
    language: str,
    statistics: Sequence[Statistics | None],
    clusters: Sequence[str],
    seed: int = 0,
    *,
    groups: Sequence[str] | None = None,
) -> Estimate:
    """Return `metric` over the examples that have statistics, with its 95% interval.

    `statistics`, `clusters` and `groups` have one entry an example; statistics of None are an unscored example. Groups
    (articles) are the clusters where there are enough of them. With too few clusters there is no interval, and
    `interval` says so. The same arguments give the same numbers. Raises PluginError for statistics that are not
    finite or not all of one length, which only a fault in the metric can give.
    """
    if len(clusters) != len(statistics):
        raise XlingualError(f"{len(statistics)} examples but {len(clusters)} clusters", where=metric.name)
    chosen = [index for index, row in enumerate(statistics) if row is not None]
    reason = metric.missing(language) or _too_few(len(chosen), len(statistics))
    if reason is not None:
        return _without_value(metric, language, len(statistics), reason)
    scored = _gather(metric, statistics, chosen, clusters, groups)
    value = float(metric.combine(scored.sums.sum(axis=0)))
    if not np.isfinite(value):
        return _without_value(metric, language, len(statistics), "the metric is undefined on these examples")
    found = Estimate(
        metric=metric.name,
        value=value,
        low=None,
        high=None,
        n=len(chosen),
        unscored=len(statistics) - len(chosen),
        signature=metric.signature(language),
        reason=None,
        clusters=len(scored.sums),
        clustered_by=scored.units.level.value,
        **_declared(metric),
    )
    return _with_interval(found, metric, scored, seed)


def _too_few(scored: int, examples: int) -> str | None:
    if not examples:
        return "there are no examples"
    if not scored:
        return "no example could be scored"
    if scored < FEWEST_JUDGED and 2 * scored < examples:
        return f"only {scored} of {examples} could be judged, and at least {FEWEST_JUDGED} are needed"
    return None


def _gather(
    metric: Metric,
    statistics: Sequence[Statistics | None],
    chosen: Sequence[int],
    clusters: Sequence[str],
    groups: Sequence[str] | None,
) -> _Scored:
    units = choose_units(
        [clusters[index] for index in chosen], None if groups is None else [groups[index] for index in chosen]
    )
    values = read_values(statistics, chosen, metric.name)
    return _Scored(values, sum_units(values, number_units(units.names)), units)


def _with_interval(found: Estimate, metric: Metric, scored: _Scored, seed: int) -> Estimate:
    sums, clusters = scored.sums, len(scored.sums)
    rate = is_share(metric, scored.values)
    fewest = FEWEST_CLUSTERS if rate else FEWEST_RESAMPLED
    if clusters < fewest:
        return replace(found, interval=f"{NO_INTERVAL}too few clusters ({clusters}, at least {fewest} needed)")
    units = scored.units
    few = 1 < units.groups < FEWEST_CLUSTERS and units.level is not Level.GROUP and units.groups < clusters
    note = f"; by {units.level.value}, for there are only {units.groups} groups" if few else ""
    if rate:
        interval = rate_interval(sums[:, 0], sums[:, 1], np.square(scored.values[:, 0]).sum())
        return replace(
            found,
            low=100 * float(interval.low),
            high=100 * float(interval.high),
            interval=interval.method + note,
            icc=None if interval.correlation is None else float(interval.correlation),
            effective_n=float(interval.effective_n),
        )
    ends = expanded_interval(resample(metric, [sums], seed)[0], clusters)
    if ends is None:
        return replace(found, interval=f"{NO_INTERVAL}a resample has no score")
    if ends[1] - ends[0] < _NO_WIDTH:
        return replace(found, interval=f"{NO_INTERVAL}all resamples have the same score")
    return replace(found, low=ends[0], high=ends[1], interval=f"bootstrap, {RESAMPLES:,} resamples{note}")


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
    """Return what a metric says of its scores; of xlingual's own, whose direction every board knows, other bounds."""
    found: _Declared = {} if is_own(metric.name) else {"higher_is_better": metric.higher_is_better}
    return found if metric.bounds == SHARE else {**found, "bounds": metric.bounds}
