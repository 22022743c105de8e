"""The points of a table as arrays, checked for what a fit needs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, UsageError
from ..plugin import FloatArray
from ..text import did_you_mean
from .points import Point, SizeUnit

FEWEST_SIZES = 3
"""Different sizes a language needs: two parameters and something left to judge them by."""
_HALF_WIDTHS = 1.959964
"""Standard deviations in half of a 95% interval."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurements:
    """Rows of one metric; `languages` index `codes`."""

    codes: tuple[str, ...]
    metric: str
    points: tuple[Point, ...]
    sizes: FloatArray
    """In the unit of the law."""
    scores: FloatArray
    weights: FloatArray
    """Multiply residuals; 1 for a measurement of median precision."""
    languages: NDArray[np.intp]
    gammas: FloatArray
    """By language; 1 where there is no similarity."""
    unit_size: int
    floors: FloatArray
    """By language: the mean score without data, NaN where it was not measured."""
    notes: tuple[str, ...]

    def log_sizes(self, *, similarity: bool) -> FloatArray:
        """Return log(gamma * X / U) of every row."""
        gammas = self.gammas[self.languages] if similarity else 1.0
        return np.asarray(np.log(gammas * self.sizes / self.unit_size))

    def distinct_sizes(self) -> list[int]:
        """Return how many different sizes each language was measured at."""
        return [len(np.unique(self.sizes[self.languages == each])) for each in range(len(self.codes))]

    def with_gammas(self, similarity: Mapping[str, float]) -> "Measurements":
        """Return the same rows with the similarity of each language; UsageError where one is missing."""
        if missing := [code for code in self.codes if code not in similarity]:
            raise UsageError(f"no similarity of {missing[0]}", where="--similarity", hint="give one for every language")
        return replace(self, gammas=np.array([similarity[code] for code in self.codes]))

    def only(self, rows: NDArray[np.bool_]) -> "Measurements":
        """Return the rows that are True, with the same languages and unit."""
        return Measurements(
            codes=self.codes,
            metric=self.metric,
            points=tuple(point for point, kept in zip(self.points, rows, strict=True) if kept),
            sizes=self.sizes[rows],
            scores=self.scores[rows],
            weights=self.weights[rows],
            languages=self.languages[rows],
            gammas=self.gammas,
            unit_size=self.unit_size,
            floors=self.floors,
            notes=self.notes,
        )


def gather(points: Sequence[Point], unit: SizeUnit, metric: str | None) -> Measurements:
    """Return the points of `metric` as arrays; those of size 0, of the untuned model, are the floors of the laws.

    DataError where none has translation data, or a language has fewer than FEWEST_SIZES sizes.
    """
    metric = _one_metric(points, metric)
    chosen = [point for point in points if point.metric == metric]
    notes = []
    untuned = [point for point in chosen if _size(point, unit) == 0]
    chosen = [point for point in chosen if _size(point, unit) > 0]
    if not chosen:
        raise DataError("no point has translation data", where=metric)
    codes = tuple(dict.fromkeys(point.language for point in chosen))
    floors = _floors(codes, untuned)
    if without := [code for code, floor in zip(codes, floors, strict=True) if untuned and np.isnan(floor)]:
        notes.append(f"no score of the untuned model in {', '.join(without)}: the law has no floor there")
    sizes = np.array([_size(point, unit) for point in chosen], dtype=np.float64)
    languages: NDArray[np.intp] = np.array([codes.index(point.language) for point in chosen])
    for index, code in enumerate(codes):
        found = len(np.unique(sizes[languages == index]))
        if found < FEWEST_SIZES:
            what = f"{found} size{'' if found == 1 else 's'} of data, and a law needs at least {FEWEST_SIZES}"
            raise DataError(what, where=f"{metric}: {code}", hint="measure more sizes, or leave the language out")
    return Measurements(
        codes=codes,
        metric=metric,
        points=tuple(chosen),
        sizes=sizes,
        scores=np.array([point.score for point in chosen]),
        weights=_weights(chosen, notes),
        languages=languages,
        gammas=np.ones(len(codes)),
        unit_size=10 ** round(float(np.log10(sizes).mean())),
        floors=floors,
        notes=tuple(notes),
    )


def _floors(codes: Sequence[str], untuned: Sequence[Point]) -> FloatArray:
    scores = {code: [point.score for point in untuned if point.language == code] for code in codes}
    return np.array([float(np.mean(found)) if found else np.nan for found in scores.values()])


def _one_metric(points: Sequence[Point], metric: str | None) -> str:
    metrics = list(dict.fromkeys(point.metric for point in points))
    if not metrics:
        raise DataError("there are no points")
    if metric is None and len(metrics) > 1:
        raise UsageError(f"the table has several: {', '.join(metrics)}", where="--metric", hint="name one")
    if metric is not None and metric not in metrics:
        raise UsageError(f"no point has {metric!r}", where="--metric", hint=did_you_mean(metric, metrics))
    return metric or metrics[0]


def _size(point: Point, unit: SizeUnit) -> int:
    if unit is SizeUnit.PAIRS:
        return point.pairs
    if point.tokens is None:
        what = f"the point of {point.language} at {point.pairs} pairs has no tokens"
        raise UsageError(what, where="--unit tokens", hint="fill the column, or fit by pairs")
    return point.tokens


def _weights(points: Sequence[Point], notes: list[str]) -> FloatArray:
    """Return weights from the intervals where every point has one.

    They are relative: all points of a language are scored on the same sentences, so that their intervals say how much
    more one wanders than another, not how far. No weight is above 2, for training wanders too: an interval of no width
    (all scores 0) does not make a point certain.
    """
    widths = [None if point.low is None or point.high is None else point.high - point.low for point in points]
    known = np.array([width for width in widths if width is not None]) / (2 * _HALF_WIDTHS)
    if 0 < len(known) < len(points):
        notes.append(f"{len(points) - len(known)} points have no interval: all points have the same weight")
    middle = float(np.median(known)) if len(known) == len(points) else 0.0
    if middle == 0.0:
        return np.ones(len(points))
    return np.asarray(middle / np.maximum(known, middle / 2.0))
