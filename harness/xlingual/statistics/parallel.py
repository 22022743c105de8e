"""Averages over languages: parallel items are drawn once for all of them, for what is hard in one is hard in all.

Six languages with an error of 2 points each have an average with an error of 1.6 where their items correlate by 0.6,
and not of 0.8, as independent ones would.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..plugin import FloatArray
from ..records import Statistics
from .clusters import FEWEST_CLUSTERS, choose_units, sum_units
from .rates import RateInterval, rate_interval

WEAK_BASELINE = 0.2
"""Fieller's g of a baseline from which on ratios to it are warned of."""
LEAST_BASELINE = 5.0
"""Points of 100 below which a baseline is near zero, however sure: from 0.1 to 1.0 is +900%, and nothing."""
NO_BASELINE = 1.0
"""The same from which on its interval holds zero, and a ratio to it has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredExample:
    """What one example adds to a metric, and what it hangs together with."""

    statistics: Statistics
    cluster: str
    group: str | None
    """None: the file is from before articles were written down."""


Scored = Mapping[str, ScoredExample]
"""The scored examples of one model in one language, by id."""


@dataclass(frozen=True, slots=True)
class JointUnits:
    """The clusters of several languages: those that share an example are one."""

    places: tuple[Mapping[str, int], ...]
    """Of each language, the number of the cluster that an example is in, by id."""
    count: int

    def sums(self, language: int, scored: Scored) -> FloatArray:
        """Return the statistics of a language summed over all clusters, shape (count, k)."""
        place = self.places[language]
        ids = [each for each in scored if each in place]
        values = np.array([scored[each].statistics for each in ids], dtype=np.float64)
        return sum_units(values, np.array([place[each] for each in ids], dtype=np.intp), self.count)


def join_units(languages: Sequence[Scored]) -> JointUnits:
    """Return the clusters of the examples in several languages.

    Examples with the same id in two languages are translations of each other, and join their clusters: whatever an
    article is called there, and however many of its questions were translated. Languages without an id in common are
    drawn by themselves. Where articles of different languages overlap so that hardly any stay apart, paragraphs are
    joined instead.
    """
    found = _join(languages, by_group=True)
    return found if found.count >= FEWEST_CLUSTERS else _join(languages, by_group=False)


def _join(languages: Sequence[Scored], *, by_group: bool) -> JointUnits:
    roots: dict[tuple[int, str], tuple[int, str]] = {}

    def find(node: tuple[int, str]) -> tuple[int, str]:
        while (above := roots.setdefault(node, node)) != node:
            roots[node] = roots[above]
            node = above
        return node

    homes: dict[str, tuple[int, str]] = {}
    nodes: list[dict[str, tuple[int, str]]] = []
    for language, scored in enumerate(languages):
        groups = [each.group for each in scored.values()]
        known = [each for each in groups if each is not None] if by_group else []
        whole = bool(groups) and len(known) == len(groups)
        units = choose_units([each.cluster for each in scored.values()], known if whole else None)
        nodes.append({each: (language, unit) for each, unit in zip(scored, units.names, strict=True)})
        for each, node in nodes[-1].items():
            roots[find(node)] = find(homes.setdefault(each, node))
    numbers: dict[tuple[int, str], int] = {}
    places = tuple(
        {each: numbers.setdefault(find(node), len(numbers)) for each, node in found.items()} for found in nodes
    )
    return JointUnits(places, len(numbers))


def average_of_rates(sums: Sequence[FloatArray], squares: Sequence[float]) -> RateInterval:
    """Return the interval of the mean of rates, each language with equal weight.

    `sums` hold (score, count) of each language over the same clusters, shape (clusters, 2), and `squares` its summed
    squares of scores. Languages of one size make one rate of all their examples; others are scaled to it.
    """
    counts = [float(each[:, 1].sum()) for each in sums]
    scales = [sum(counts) / len(counts) / count for count in counts]
    pooled = np.sum([scale * each for scale, each in zip(scales, sums, strict=True)], axis=0)
    filled = pooled[pooled[:, 1] > 0]
    total = sum(scale * square for scale, square in zip(scales, squares, strict=True))
    return rate_interval(filled[:, 0], filled[:, 1], np.array(total))


def weakness(value: float, low: float | None, high: float | None) -> float:
    """Return Fieller's g of a baseline by its own interval; 0 where it has none."""
    if low is None or high is None:
        return 0.0
    return ((high - low) / 2 / value) ** 2 if value else float("inf")


def is_near_zero(value: float, low: float | None, high: float | None, least: float) -> bool:
    """Return whether a ratio to a baseline says little: it is below `least`, or its interval reaches near zero."""
    return not value or abs(value) < least or weakness(value, low, high) >= WEAK_BASELINE


def mean_of_ratios(scores: FloatArray, baseline: FloatArray) -> FloatArray:
    """Return the mean over languages of the gain over the baseline in per cent; languages are the last axis."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((100 * (scores - baseline) / baseline).mean(axis=-1), dtype=np.float64)


def ratio_of_means(scores: FloatArray, baseline: FloatArray) -> FloatArray:
    """Return the gain of the average over the baseline's average, in per cent; languages are the last axis."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(100 * (scores.mean(axis=-1) / baseline.mean(axis=-1) - 1), dtype=np.float64)
