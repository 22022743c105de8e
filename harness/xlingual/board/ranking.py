"""From comparable cells to rows: averages, relative gains over a baseline, ranks by average."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

from ..errors import XlingualError
from ..metrics import find_metric
from ..plugin import SHARE
from ..statistics.parallel import LEAST_BASELINE, NO_BASELINE, is_near_zero, weakness
from .controls import KINDS
from .rows import BoardRow, Cell, CellState, Column, Gain

_DIGITS = 9
"""Averages are compared to this many decimals, so that the order of a sum makes no rank."""


def rank_rows(rows: Sequence[BoardRow], *, higher_is_better: bool) -> tuple[BoardRow, ...]:
    """Give ranks to models that have an average, and sort: by rank, then label; other models, then controls, last."""

    def merit(row: BoardRow) -> float:
        average = round(row.average or 0.0, _DIGITS)
        return -average if higher_is_better else average

    ranked = sorted((row for row in rows if _may_rank(row)), key=lambda row: (merit(row), row.model))
    placed: list[BoardRow] = []
    for index, row in enumerate(ranked):
        tied = index > 0 and merit(row) == merit(ranked[index - 1])
        placed.append(dataclasses.replace(row, rank=placed[-1].rank if tied else index + 1))
    others = sorted((row for row in rows if not _may_rank(row)), key=lambda row: (_place(row.control), row.model))
    return (*placed, *others)


def _place(control: str | None) -> int:
    return -1 if control is None else KINDS.index(control)


def _may_rank(row: BoardRow) -> bool:
    return row.average is not None and row.control is None


def choose_columns(cells: Mapping[str, Mapping[str, Cell]], columns: Sequence[Column]) -> tuple[str, ...]:
    """Return the tasks that averages and ranks are over; `cells` are those of models with whole runs.

    They are the columns that more than half of the models have: a language that one model has in addition keeps no
    other from its rank, and a model with its best language alone does not make that the whole board. Where only half of
    the columns or fewer would be left, they are all columns.
    """
    tasks = tuple(column.task for column in columns)
    whole = (CellState.MISSING, CellState.LIMITED)
    counts = [sum(task in found and found[task].state not in whole for found in cells.values()) for task in tasks]
    kept = tuple(task for task, count in zip(tasks, counts, strict=True) if 2 * count > len(cells))
    return kept if 2 * len(kept) > len(tasks) else tasks


def leave_none_alone(rows: Sequence[BoardRow], *, others: bool) -> tuple[BoardRow, ...]:
    """Take the rank from a row that is the only one to have one, where there are other models: it says nothing.

    `others` says that there are models beside the table, which were asked otherwise.
    """
    ranked = [row for row in rows if row.rank is not None]
    models = [row for row in rows if row.control is None]
    if len(ranked) != 1 or (len(models) == 1 and not others):
        return tuple(rows)
    reason = "no other model can be compared with it"
    return tuple(
        dataclasses.replace(row, rank=None, rank_low=None, rank_high=None, unranked=reason)
        if row.rank is not None
        else row
        for row in rows
    )


def average_cells(cells: Sequence[Cell]) -> float | None:
    """Return the mean over all cells, or None unless every one is complete.

    The intervals of the cells do not say how wide that of their mean is: see `inference.py`.
    """
    values = [cell.value for cell in cells if cell.state is CellState.COMPLETE and cell.value is not None]
    if not cells or len(values) != len(cells):
        return None
    return math.fsum(values) / len(values)


def least_baseline(metric: str, task: str) -> float:
    """Return the score below which a baseline is near zero: of scores from 0 to 100; 0 for other scales."""
    try:
        return LEAST_BASELINE if find_metric(metric, task=task).bounds == SHARE else 0.0
    except XlingualError:  # a metric of a plugin that is not here any more
        return 0.0


def find_gain(cells: Sequence[Cell], baseline: Sequence[Cell], least: float = LEAST_BASELINE) -> Gain:
    """Return the gain of `cells` over those of the baseline, over the columns that are complete in both.

    A baseline below `least` is near zero, as is one whose interval reaches there: no ratio to it is shown.

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
    scores = [(each.value or 0.0) for each, _ in pairs]
    base = [(each.value or 0.0) for _, each in pairs]
    mean = math.fsum(base) / len(base)
    of_means = 100 * (math.fsum(scores) / math.fsum(base) - 1) if math.fsum(base) else None
    weak = tuple(each.task for _, each in pairs if is_near_zero(each.value or 0.0, each.low, each.high, least))
    points, weak_mean = math.fsum(scores) / len(scores) - mean, abs(mean) < least
    zero = [theirs.task for _, theirs in pairs if not theirs.value]
    shares = [] if zero else [100 * (mine - theirs) / theirs for mine, theirs in zip(scores, base, strict=True)]
    doubts = {theirs.task: weakness(theirs.value or 0.0, theirs.low, theirs.high) for _, theirs in pairs}
    return Gain(
        value=math.fsum(shares) / len(shares) if shares else None,
        columns=tasks,
        reason=f"the baseline scores 0 in {', '.join(zero)}" if zero else None,
        of_means=of_means,
        weak=weak,
        undefined=tuple(zero or [task for task, doubt in doubts.items() if doubt >= NO_BASELINE]),
        points=points,
        weak_mean=weak_mean,
    )


@dataclasses.dataclass(frozen=True, slots=True)
class TableModels:
    """The models of a table by fingerprint, and the columns that they are ranked over."""

    labels: Mapping[str, str]
    controls: Mapping[str, str]
    """"floor" or "ceiling" of those that are controls."""
    notes: Mapping[str, tuple[str, ...]]
    baseline: str | None
    """A fingerprint."""
    ranked_columns: tuple[str, ...]
    least_baseline: float = LEAST_BASELINE
    """The score below which a baseline is near zero."""


def make_rows(
    cells: Mapping[str, Mapping[str, Cell]], columns: Sequence[Column], models: TableModels, *, higher_is_better: bool
) -> tuple[BoardRow, ...]:
    """Make a row of each model that has a cell; `cells` are by fingerprint and task."""
    lines = {
        fingerprint: tuple(found.get(column.task) or missing_cell(column.task) for column in columns)
        for fingerprint, found in cells.items()
    }
    base = lines.get(models.baseline) if models.baseline is not None else None
    rows = []
    for fingerprint, line in lines.items():
        counted = [cell for cell in line if cell.task in models.ranked_columns]
        control = models.controls.get(fingerprint)
        rows.append(
            BoardRow(
                model=models.labels[fingerprint],
                fingerprint=fingerprint,
                cells=line,
                average=average_cells(counted),
                rank=None,
                gain=find_gain(line, base, models.least_baseline)
                if base is not None and fingerprint != models.baseline
                else None,
                control=control,
                notes=models.notes.get(fingerprint, ()),
                unranked=None if control is not None else _why_unranked(counted),
            )
        )
    return rank_rows(rows, higher_is_better=higher_is_better)


def _why_unranked(cells: Sequence[Cell]) -> str | None:
    """Return what keeps a row from its rank: the first of its cells that is not complete."""
    for cell in cells:
        if cell.state is not CellState.COMPLETE:
            reason = (
                cell.reason if cell.state in (CellState.MARKED, CellState.MISSING, CellState.NOT_COMPUTED) else None
            )
            return f"{cell.task}: {reason or cell.state.value}"
    return None


def missing_cell(task: str) -> Cell:
    """Return the cell of a model that has no run on `task`."""
    nothing = CellState.MISSING
    return Cell(task=task, state=nothing, value=None, low=None, high=None, n=0, expected=0, limit=None, reason="no run")
