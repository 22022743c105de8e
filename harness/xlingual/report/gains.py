"""Gains over the baseline: differences in points first, in per cent only of a baseline that is clearly above zero.

From a chrF++ of 0.1 to one of 1.0 is +900%, and nothing: the page shows +0.9.
"""

import math
from collections.abc import Mapping, Sequence

from ..board import Board
from ..board.markdown import markdown_table, show_points
from ..board.ranking import least_baseline
from ..board.rows import BoardTable, Cell, CellState, Gain
from ..escape import escape_markdown
from ..metrics import decimals
from ..statistics.parallel import LEAST_BASELINE, is_near_zero
from ..tune.records import TuneRecord
from .page import Section

_NOTHING = "–"
_PIVOT = "en"


def gains_section(board: Board, tuned: Sequence[TuneRecord]) -> Section | None:
    """Return the average gains over the baseline: a column for each benchmark. None where no table has it."""
    tables = [table for table in board.tables if table.baseline is not None]
    if not tables:
        return None
    header = ["Model", *(f"{escape_markdown(table.family)} {escape_markdown(table.metric)}" for table in tables)]
    places = {record.plan.recipe.name: place for place, record in enumerate(tuned)}
    names = sorted({row.model for table in tables for row in table.rows}, key=lambda name: (places.get(name, -1), name))
    rows = [
        [escape_markdown(name), *(_show_gain(_gain_of(name, table), table, len(table.columns)) for table in tables)]
        for name in names
        if name != tables[0].baseline
    ]
    taught = {record.plan.recipe.name: code for record in tuned if (code := _only_language(record)) is not None}
    if taught:
        cells = []
        for table in tables:
            count = sum(column.language in taught.values() for column in table.columns)
            cells.append(_show_gain(own_language_gain(table, taught), table, count))
        rows.insert(0, ["each x-model in its own language", *cells])
    baseline = escape_markdown(tables[0].baseline or "")
    notes = (
        f"Average gain over {baseline} in points, with its 95% interval where there are enough examples. Behind it, "
        "where the baseline is clearly above zero in every language, the relative gain in the form of the paper: the "
        "mean over languages of 100 × (model − baseline) / baseline.",
        *_near_zero(tables),
        *(_OWN_LANGUAGE if taught else ()),
    )
    return Section(heading=f"Gains over {tables[0].baseline}", parts=(*notes, markdown_table(header, rows, texts=1)))


_OWN_LANGUAGE = (
    "The paper's figure of x-LLaMA is that of each model in its own language; its interval here is at least as wide as "
    "it has to be: it counts the errors of model and baseline as independent, those of the languages as the same.",
)


def _near_zero(tables: Sequence[BoardTable]) -> list[str]:
    """Name the tasks whose baseline is near zero."""
    weak = {task for table in tables for row in table.rows if row.gain is not None for task in row.gain.weak}
    tasks = [column.task for table in tables for column in table.columns if column.task in weak]
    if not tasks:
        return []
    named = escape_markdown(", ".join(tasks))
    least = f"below {LEAST_BASELINE:g} of 100 points, or its interval reaches near zero"
    return [f"No relative gain where the baseline is near zero ({least}): {named}."]


def own_language_gain(table: BoardTable, taught: Mapping[str, str]) -> Gain:
    """Return the mean gain over the baseline of each model in the language it was taught.

    `taught` is the language by model; a column counts where it is complete for both. The interval is that of the widest
    case: paired errors add up as independent ones, languages err together.
    """
    rows = {row.model: row for row in table.rows}
    pairs: dict[str, tuple[Cell, Cell]] = {}
    for place, column in enumerate(table.columns):
        base = rows[table.baseline].cells[place] if table.baseline in rows else None
        models = [name for name, code in taught.items() if code == column.language and name in rows]
        for own in (rows[name].cells[place] for name in models):
            states = {own.state, None if base is None else base.state}
            if base is not None and states == {CellState.COMPLETE}:
                pairs[column.task] = own, base
    if not pairs:
        return Gain(value=None, columns=(), reason="no column to compare")
    least = least_baseline(table.metric, table.columns[0].task)
    values = {task: (own.value or 0.0, base.value or 0.0) for task, (own, base) in pairs.items()}
    points = math.fsum(own - base for own, base in values.values()) / len(values)
    weak = [task for task, (_, base) in pairs.items() if is_near_zero(base.value or 0.0, base.low, base.high, least)]
    shares = [100.0 * (own - base) / base for own, base in values.values() if base]
    half = _half_width(list(pairs.values()))
    return Gain(
        value=math.fsum(shares) / len(shares) if len(shares) == len(values) else None,
        columns=tuple(pairs),
        reason=None,
        weak=tuple(weak),
        points=points,
        points_low=None if half is None else points - half,
        points_high=None if half is None else points + half,
    )


def _half_width(pairs: Sequence[tuple[Cell, Cell]]) -> float | None:
    """Return half the width of the interval of the mean difference, None where a cell has none."""
    halves = []
    for pair in pairs:
        widths = [None if each.low is None or each.high is None else (each.high - each.low) / 2 for each in pair]
        if widths[0] is None or widths[1] is None:
            return None
        halves.append(math.hypot(widths[0], widths[1]))
    return math.fsum(halves) / len(halves)


def _only_language(record: TuneRecord) -> str | None:
    """Return the one language beside English that a model was taught; None for none or several."""
    codes = {each.language for each in record.plan.sources} - {_PIVOT}
    return codes.pop() if len(codes) == 1 else None


def _gain_of(name: str, table: BoardTable) -> Gain | None:
    return next((row.gain for row in table.rows if row.model == name), None)


def _show_gain(gain: Gain | None, table: BoardTable, count: int) -> str:
    """Return the gain with how many of `count` columns enter it, where these are not all."""
    if gain is None or gain.points is None:
        return _NOTHING
    part = "" if len(gain.columns) == count else f" ({len(gain.columns)} of {count})"
    relative = "" if gain.clear_value is None else f"; {gain.clear_value:+.1f}%"
    return f"{show_points(gain, decimals(table.metric))}{relative}{part}"
