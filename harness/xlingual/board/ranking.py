"""From comparable cells to rows: averages, relative gains over a baseline, ranks by average."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

from ..statistics.parallel import NO_BASELINE, WEAK_BASELINE, weakness
from .rows import BoardRow, Cell, CellState, Column, Gain

_DIGITS = 9
"""Averages are compared to this many decimals, so that the order of a sum makes no rank."""


def rank_rows(rows: Sequence[BoardRow], *, higher_is_better: bool) -> tuple[BoardRow, ...]:
    """Give ranks to the rows that have an average, and sort: by rank, then label; rows without one come last."""

    def merit(row: BoardRow) -> float:
        average = round(row.average or 0.0, _DIGITS)
        return -average if higher_is_better else average

    ranked = sorted((row for row in rows if row.average is not None), key=lambda row: (merit(row), row.model))
    placed: list[BoardRow] = []
    for index, row in enumerate(ranked):
        tied = index > 0 and merit(row) == merit(ranked[index - 1])
        placed.append(dataclasses.replace(row, rank=placed[-1].rank if tied else index + 1))
    others = sorted((row for row in rows if row.average is None), key=lambda row: row.model)
    return (*placed, *others)


def average_cells(cells: Sequence[Cell]) -> float | None:
    """Return the mean over all cells, or None unless every one is complete.

    The intervals of the cells do not say how wide that of their mean is: see `inference.py`.
    """
    values = [cell.value for cell in cells if cell.state is CellState.COMPLETE and cell.value is not None]
    if not cells or len(values) != len(cells):
        return None
    return math.fsum(values) / len(values)


def find_gain(cells: Sequence[Cell], baseline: Sequence[Cell]) -> Gain:
    """Return the relative gain of `cells` over those of the baseline, over the columns that are complete in both.

    The mean of ratios is the paper's headline. It is ruled by the columns where the baseline is lowest: from 58.1 to
    45.2 and from 1.6 to 6.5 points is +138.9%, though the average falls. The ratio of means, -13.5%, is beside it.
    """
    pairs = [
        (mine, theirs)
        for mine, theirs in zip(cells, baseline, strict=True)
        if mine.state is CellState.COMPLETE and theirs.state is CellState.COMPLETE
    ]
    tasks = tuple(mine.task for mine, _ in pairs)
    if not pairs:
        return Gain(value=None, columns=(), reason="no column is complete in both")
    if zero := [theirs.task for _, theirs in pairs if not theirs.value]:
        return Gain(value=None, columns=tasks, reason=f"the baseline scores 0 in {', '.join(zero)}")
    scores = [(each.value or 0.0) for each, _ in pairs]
    base = [(each.value or 0.0) for _, each in pairs]
    shares = [100 * (mine - theirs) / theirs for mine, theirs in zip(scores, base, strict=True)]
    doubts = {theirs.task: weakness(theirs.value or 0.0, theirs.low, theirs.high) for _, theirs in pairs}
    return Gain(
        value=math.fsum(shares) / len(shares),
        columns=tasks,
        reason=None,
        of_means=100 * (math.fsum(scores) / math.fsum(base) - 1),
        weak=tuple(task for task, doubt in doubts.items() if doubt >= WEAK_BASELINE),
        undefined=tuple(task for task, doubt in doubts.items() if doubt >= NO_BASELINE),
    )


def make_rows(
    cells: Mapping[str, Mapping[str, Cell]],
    columns: Sequence[Column],
    labels: Mapping[str, str],
    baseline: str | None,
    *,
    higher_is_better: bool,
) -> tuple[BoardRow, ...]:
    """Make a row of each model that has a cell; `cells` are by fingerprint and task, `baseline` is a fingerprint."""
    lines = {
        fingerprint: tuple(found.get(column.task) or missing_cell(column.task) for column in columns)
        for fingerprint, found in cells.items()
    }
    base = lines.get(baseline) if baseline is not None else None
    rows = [
        BoardRow(
            model=labels[fingerprint],
            fingerprint=fingerprint,
            cells=line,
            average=average_cells(line),
            rank=None,
            gain=find_gain(line, base) if base is not None and fingerprint != baseline else None,
        )
        for fingerprint, line in lines.items()
    ]
    return rank_rows(rows, higher_is_better=higher_is_better)


def missing_cell(task: str) -> Cell:
    """Return the cell of a model that has no run on `task`."""
    nothing = CellState.MISSING
    return Cell(task=task, state=nothing, value=None, low=None, high=None, n=0, expected=0, limit=None, reason="no run")
