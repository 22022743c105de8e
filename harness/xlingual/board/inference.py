"""What a table can say for sure: intervals of averages and gains, ranks that hold, and the difference it can show.

All of it comes from the samples of the runs, with the items of parallel languages drawn together. A table whose samples
are not all there, or do not give the scores beside them, says so instead.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from statistics import median

import numpy as np

from ..errors import XlingualError
from ..metrics import find_metric
from ..plugin import FloatArray, Metric
from ..statistics.clusters import FEWEST_CLUSTERS
from ..statistics.multiple import detectable_difference, holm, rank_limits
from ..statistics.paired import unseen_variance
from ..statistics.parallel import (
    JointUnits,
    Scored,
    average_of_rates,
    is_near_zero,
    join_units,
    mean_of_ratios,
    ratio_of_means,
)
from ..statistics.quantiles import t_tail
from ..statistics.resampling import FEWEST_RESAMPLED, RESAMPLES, expanded_interval, resample
from ..statistics.shares import is_share
from ..statistics.signflip import ALPHA, DRAWS, FEWEST_DIFFERENCES, flip, sign_flip
from .collection import CollectedRun
from .rows import BoardRow, BoardTable, Gain, TableTests
from .samples import ScoreReader, common_ids

_SEED = 0
_EXACT_PAIRS = 1000
"""Pairs of models up to which whole-numbered differences are counted exactly."""
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class _Entry:
    """A row and the scored examples of its columns."""

    row: BoardRow
    columns: tuple[Scored, ...]


@dataclass(frozen=True, slots=True)
class _Pairs:
    """The scores of M models on the examples that all were scored on, and of each pair the p-value and the error."""

    scores: FloatArray
    """Averages, shape (M,)."""
    p_values: Mapping[tuple[int, int], float]
    errors: Mapping[tuple[int, int], float]
    clusters: int
    method: str


def infer_table(
    table: BoardTable, runs: Mapping[str, Mapping[str, CollectedRun]], scores: ScoreReader | None = None
) -> BoardTable:
    """Return `table` with intervals of averages and gains, and rank limits; `runs` are by fingerprint and task."""
    reader = scores or ScoreReader()
    whole = [row for row in table.rows if row.average is not None and row.control is None]
    if not whole:
        return table
    try:
        metric = find_metric(table.metric, task=table.columns[0].task)
        entries = [
            _Entry(row, tuple(reader.read(runs[row.fingerprint][task], metric) for task in table.ranked_columns))
            for row in whole
        ]
    except XlingualError as error:
        return replace(table, tests=TableTests(note=f"{error.where}: {error.what}" if error.where else error.what))
    rows = {}
    for each in entries:
        low, high = _average_interval(metric, each) or (None, None)
        rows[each.row.fingerprint] = replace(each.row, average_low=low, average_high=high)
    tests = TableTests(note=None)
    if len(entries) > 1:
        found = _compare_all(metric, [each.columns for each in entries])
        tests = _describe(found)
        for fingerprint, limits in zip(rows, _limits(found, table) if found else (), strict=found is not None):
            rows[fingerprint] = replace(rows[fingerprint], rank=limits[0], rank_low=limits[0], rank_high=limits[1])
    base = next((each for each in entries if each.row.model == table.baseline), None)
    if base is not None:
        for each in entries:
            row = rows[each.row.fingerprint]
            if row.gain is not None and row.gain.points is not None and row.gain.columns == table.ranked_columns:
                rows[row.fingerprint] = replace(row, gain=_gain_interval(metric, row.gain, each, base))
    tests = replace(tests, parallel=_are_parallel(entries[0].columns))
    return replace(table, rows=tuple(rows.get(row.fingerprint, row) for row in table.rows), tests=tests)


def _are_parallel(columns: Sequence[Scored]) -> bool | None:
    """Return whether all columns have the same examples, by id: languages of unlike benchmarks are not parallel."""
    return all(each.keys() == columns[0].keys() for each in columns[1:]) if len(columns) > 1 else None


def _average_interval(metric: Metric, entry: _Entry) -> tuple[float, float] | None:
    """Return the interval of a row's average, or None where there are too few clusters."""
    units = join_units(entry.columns)
    sums = [units.sums(place, scored) for place, scored in enumerate(entry.columns)]
    if _are_shares(metric, [entry.columns]):
        if units.count < FEWEST_CLUSTERS:
            return None
        squares = [sum(each.statistics[0] ** 2 for each in scored.values()) for scored in entry.columns]
        found = average_of_rates(sums, squares)
        return 100 * float(found.low), 100 * float(found.high)
    if units.count < FEWEST_RESAMPLED:
        return None
    ends = expanded_interval(np.mean(resample(metric, sums, _SEED), axis=0), units.count)
    return None if ends is None or ends[1] - ends[0] < _ROUNDING else ends


def _are_shares(metric: Metric, models: Sequence[Sequence[Scored]]) -> bool:
    return all(
        is_share(metric, np.array([each.statistics for each in scored.values()], dtype=np.float64))
        for columns in models
        for scored in columns
    )


def _shared(models: Sequence[Sequence[Scored]]) -> list[list[Scored]]:
    """Return the columns of every model, each with the examples alone that all models were scored on."""
    kept = [common_ids(columns) for columns in zip(*models, strict=True)]
    return [
        [{each: scored[each] for each in ids} for ids, scored in zip(kept, columns, strict=True)] for columns in models
    ]


def _compare_all(metric: Metric, models: Sequence[Sequence[Scored]]) -> _Pairs | None:
    """Test every pair of models; None where they share no example in a column, or clusters are too few."""
    shared = _shared(models)
    if not all(shared[0]):
        return None
    units = join_units(shared[0])
    shares = _are_shares(metric, shared)
    if units.count < (FEWEST_DIFFERENCES if shares else FEWEST_RESAMPLED):
        return None
    sums = [[units.sums(place, scored) for place, scored in enumerate(columns)] for columns in shared]
    return _by_signs(units, sums) if shares else _by_resamples(metric, units, sums)


def _by_signs(units: JointUnits, sums: Sequence[Sequence[FloatArray]]) -> _Pairs:
    """Test the differences of averages of rates by the signs of their clusters."""
    counts = [float(each[:, 1].sum()) for each in sums[0]]
    parts = np.stack([np.mean([each[:, 0] / n for each, n in zip(row, counts, strict=True)], axis=0) for row in sums])
    weights = np.mean([each[:, 1] / n for each, n in zip(sums[0], counts, strict=True)], axis=0)
    pairs = list(combinations(range(len(parts)), 2))
    # Counts of right answers where all columns are of one size: then the test is exact.
    scale = counts[0] * len(counts) if len(set(counts)) == 1 else 0.0
    whole = bool(scale) and np.allclose(parts * scale, np.rint(parts * scale), atol=1e-6) and len(pairs) <= _EXACT_PAIRS
    p_values, errors = {}, {}
    flipped = None if whole else flip(parts.T, _SEED)
    for i, j in pairs:
        apart = parts[i] - parts[j]
        spread = apart - apart.sum() * weights
        own = units.count / (units.count - 1) * (spread**2).sum()
        errors[i, j] = 100 * float(np.sqrt(own + unseen_variance(weights * counts[0])))
        if flipped is None:
            p_values[i, j] = sign_flip(np.rint(apart * scale))[0]
        else:
            null = flipped[:, i] - flipped[:, j]
            p_values[i, j] = _drawn_p(null, float(apart.sum()), float(np.sqrt((apart**2).sum())), units.count)
    method = "exact sign-flips" if whole else f"sign-flips, {DRAWS:,} draws"
    return _Pairs(100 * parts.sum(axis=1), p_values, errors, units.count, method)


def _by_resamples(metric: Metric, units: JointUnits, sums: Sequence[Sequence[FloatArray]]) -> _Pairs:
    """Test the differences of averages of formulas by resamples of all models and languages together."""
    flat = [each for row in sums for each in row]
    drawn = np.array(resample(metric, flat, _SEED)).reshape(len(sums), len(sums[0]), -1).mean(axis=1)
    scores = np.array([np.mean([float(metric.combine(each.sum(axis=0))) for each in row]) for row in sums])
    p_values, errors = {}, {}
    for i, j in combinations(range(len(sums)), 2):
        difference = float(scores[i] - scores[j])
        null = drawn[i] - drawn[j] - difference
        errors[i, j] = float(null.std())
        p_values[i, j] = _drawn_p(null, difference, errors[i, j], units.count)
    return _Pairs(scores, p_values, errors, units.count, f"paired bootstrap, {RESAMPLES:,} draws")


def _drawn_p(null: FloatArray, observed: float, error: float, clusters: int) -> float:
    """Return the share of draws as far out as `observed`; the tail of t where none is, for Holm needs small ones."""
    beyond = int((np.abs(null) >= abs(observed) - _ROUNDING).sum())
    drawn = (1 + beyond) / (1 + len(null))
    return drawn if beyond or error <= 0 else min(drawn, t_tail(observed / error, clusters - 1))


def _limits(found: _Pairs, table: BoardTable) -> list[tuple[int, int]]:
    """Return the best and the worst rank of every model, by pairs that differ after Holm's correction."""
    ahead = np.zeros((len(found.scores), len(found.scores)), dtype=np.bool_)
    corrected = holm(list(found.p_values.values()))
    for (i, j), p in zip(found.p_values, corrected, strict=True):
        better = found.scores[i] > found.scores[j] if table.higher_is_better else found.scores[i] < found.scores[j]
        if p <= ALPHA:
            ahead[(i, j) if better else (j, i)] = True
    return rank_limits(ahead)


def _describe(found: _Pairs | None) -> TableTests:
    if found is None:
        return TableTests(note="too few clusters that all models were scored on")
    error = median(found.errors.values())
    return TableTests(
        note=None,
        clusters=found.clusters,
        pairs=len(found.p_values),
        method=found.method,
        detectable=detectable_difference(error, found.clusters),
    )


def _gain_interval(metric: Metric, gain: Gain, entry: _Entry, base: _Entry) -> Gain:
    """Return `gain` with intervals of all its forms, by joint draws of what both models were scored on.

    Where the baseline of a language may be zero, the mean of ratios has none.
    """
    ours, theirs = _shared([entry.columns, base.columns])
    if not all(ours):
        return gain
    units = join_units(ours)
    if units.count < FEWEST_RESAMPLED:
        return gain
    sums = [units.sums(place, scored) for row in (ours, theirs) for place, scored in enumerate(row)]
    drawn = np.array(resample(metric, sums, _SEED)).T
    mine, other = drawn[:, : len(ours)], drawn[:, len(ours) :]
    interval = partial(expanded_interval, clusters=units.count)
    ratios = None if gain.undefined else interval(mean_of_ratios(mine, other))
    means = interval(ratio_of_means(mine, other))
    points = interval(mine.mean(axis=-1) - other.mean(axis=-1))
    average = interval(other.mean(axis=-1))
    is_weak = average is not None and is_near_zero(sum(average) / 2, *average, 0.0)
    return replace(
        gain,
        points_low=None if points is None else points[0],
        points_high=None if points is None else points[1],
        weak_mean=gain.weak_mean or is_weak,
        low=None if ratios is None else ratios[0],
        high=None if ratios is None else ratios[1],
        means_low=None if means is None else means[0],
        means_high=None if means is None else means[1],
    )
