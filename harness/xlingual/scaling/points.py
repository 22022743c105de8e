"""Measured points of a scaling law: what a model scored in a language after so much translation data; as CSV."""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from ..errors import UsageError
from ..files import Problem, data_error
from ..text import did_you_mean
from .table import TableRow, language_code, number, read_table, whole_number


class SizeUnit(StrEnum):
    """What amounts of translation data are counted in."""

    PAIRS = "pairs"
    TOKENS = "tokens"


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One trained model's score."""

    language: str
    """Code of the language that the model was taught."""
    pairs: int
    """Translation pairs trained on; 0: the base model."""
    tokens: int | None
    """Target tokens of these pairs; None where they were not counted."""
    seed: int | None
    """Of the subset and the training; None where it is not known."""
    metric: str
    score: float
    """0 to 100."""
    low: float | None
    high: float | None
    """95% interval of the score over the evaluated sentences; None where there is none."""
    origin: str | None
    """Which sweep or experiment it comes from: points of different ones are never taken for each other."""

    @property
    def place(self) -> tuple[str, int, int | None, str, str | None]:
        """What a table holds once: language, pairs, seed, metric and origin."""
        return self.language, self.pairs, self.seed, self.metric, self.origin


COLUMNS = ("language", "pairs", "tokens", "seed", "metric", "score", "low", "high", "origin")
_ALL, _UNNAMED = "all", "none"
REQUIRED = ("language", "pairs", "metric", "score")
"""The other columns may be left out; an empty cell of theirs is unset."""


def read_points(path: Path) -> tuple[Point, ...]:
    """Read a CSV table with a header; columns in any order.

    Raises DataError that lists every bad cell by line and column, for unknown and missing columns, and for two rows of
    one language, size, seed, metric and origin.
    """
    points: list[Point] = []
    problems: list[Problem] = []
    positions: dict[object, str] = {}
    for row in read_table(path, COLUMNS, REQUIRED):
        point = _read_row(row)
        problems += row.problems
        if point is not None:
            points.append(point)
            first = positions.setdefault(point.place, row.position)
            if first != row.position:
                what = f"the same language, pairs, seed, metric and origin as line {first[1:]}"
                problems.append(Problem(row.position, what))
    if problems:
        raise data_error(str(path), problems)
    return tuple(points)


def choose_origin(points: Sequence[Point], word: str | None) -> tuple[Point, ...]:
    """Return the points of the origin `word`, "all" for every one; for None those of the only origin.

    Raises UsageError where there are several and none is named, or none like that.
    """
    origins = list(dict.fromkeys(point.origin or _UNNAMED for point in points))
    if word == _ALL or (word is None and len(origins) < 2):
        return tuple(points)
    if word is None:
        what = f"the table has points of {len(origins)} origins: {', '.join(origins)}"
        raise UsageError(what, where="--origin", hint=f"name one, or {_ALL} to take them for points of one law")
    if word not in origins:
        raise UsageError(f"no point is of {word!r}", where="--origin", hint=did_you_mean(word, [*origins, _ALL]))
    return tuple(point for point in points if (point.origin or _UNNAMED) == word)


def points_csv(points: Iterable[Point]) -> str:
    """Return `points` as the text of a CSV table that `read_points` reads back to the same points."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for point in points:
        cells = [getattr(point, name) for name in COLUMNS]
        writer.writerow("" if cell is None else repr(cell) if isinstance(cell, float) else cell for cell in cells)
    return text.getvalue()


def _read_row(row: TableRow) -> Point | None:
    language, metric = row.read("language", language_code), row.read("metric", str)
    pairs, tokens, seed = (
        row.read("pairs", whole_number),
        row.read("tokens", whole_number),
        row.read("seed", whole_number),
    )
    score, low, high = row.read("score", _score), row.read("low", _score), row.read("high", _score)
    origin = row.read("origin", str)
    if row.problems or language is None or pairs is None or metric is None or score is None:
        return None
    if (low is None) != (high is None):
        row.problems.append(Problem(row.position, "'low' and 'high' must be given together"))
    elif low is not None and high is not None and not low <= score <= high:
        row.problems.append(Problem(row.position, f"'score' {score} is not between 'low' {low} and 'high' {high}"))
    return Point(
        language=language,
        pairs=pairs,
        tokens=tokens,
        seed=seed,
        metric=metric,
        score=score,
        low=low,
        high=high,
        origin=origin,
    )


def _score(cell: str) -> float:
    value = number(cell)
    if not 0.0 <= value <= 100.0:
        raise ValueError(f"{cell!r} is not between 0 and 100")
    return value
