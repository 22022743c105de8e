"""A leaderboard drawn on a terminal: one table a family and metric, intervals below the values."""

import click

from ..board import Board
from ..board.printing import show_rank
from ..board.rows import BoardRow, BoardTable, Cell, CellState
from ..escape import show_hidden
from ..metrics import decimals
from .display import draw_table

_NOTHING = "-"


def show_board(board: Board) -> None:
    """Print the ranks, values and intervals of `board`, and what stands beside the tables in a line."""
    click.echo(show_hidden(board.title))
    if not board.tables:
        click.echo("no run fits this leaderboard")
    for table in board.tables:
        _show_table(table, is_headline=False)
    for table in board.headlines:
        _show_table(table, is_headline=True)
    asides = {
        "not comparable, so not ranked": len(board.not_ranked),
        "files or runs left out": len(board.left_out),
        "older runs, replaced": board.superseded,
        "figures that others report": len(board.reported),
    }
    for what, count in asides.items():
        if count:
            click.echo(f"{count} {what}")
    click.echo("protocols, signatures, diagnostics and reasons: --format markdown")


def _show_table(table: BoardTable, *, is_headline: bool) -> None:
    digits = decimals(table.metric)
    columns = () if is_headline else table.columns
    averaged = len(table.columns) > 1
    header = ["rank", "model", *(show_hidden(column.variant) for column in columns), *["average"] * averaged]
    gains = table.baseline is not None
    header += ["gain, points", "gain, of ratios", "gain, of means"] if gains else []
    rows = []
    if not table.columns:
        click.echo(show_hidden(f"{table.family}: no run was asked as this leaderboard wants; see --board all"))
        return
    for row in table.rows:
        cells = [] if is_headline else [_show_cell(cell, digits) for cell in row.cells]
        cells += [_show_interval(row.average, row.average_low, row.average_high, digits)] if averaged else []
        rows.append([show_rank(row, _NOTHING), show_hidden(row.model, 60), *cells])
        rows[-1] += _show_gains(row, digits) if gains else ()
    direction = "" if table.higher_is_better else ", lower is better"
    against = f", gains over {table.baseline}" if table.baseline is not None else ""
    draw_table(show_hidden(f"{table.family}: {table.metric}{direction}, with 95% intervals{against}"), header, rows)
    for row in table.rows:
        if row.unranked is not None:
            click.echo(show_hidden(f"not ranked, {row.model}: {row.unranked}"))


def _show_cell(cell: Cell, digits: int) -> str:
    if cell.state is CellState.MISSING:
        return _NOTHING
    if cell.state is CellState.NOT_COMPUTED or cell.value is None:
        return "not\ncomputed"
    if cell.state is CellState.INCOMPLETE:
        return f"{cell.value:.{digits}f}\n{cell.n}/{cell.expected}"
    if cell.state is CellState.MARKED:
        return f"{cell.value:.{digits}f}\nmarked"
    if cell.state is CellState.LIMITED:
        return f"{cell.value:.{digits}f}\nof {show_hidden(cell.limit or '')}"
    return _show_interval(cell.value, cell.low, cell.high, digits)


def _show_interval(value: float | None, low: float | None, high: float | None, digits: int, sign: str = "") -> str:
    if value is None:
        return _NOTHING
    text = f"{value:{sign}.{digits}f}"
    return text if low is None or high is None else f"{text}\n{low:{sign}.{digits}f}..{high:{sign}.{digits}f}"


def _show_gains(row: BoardRow, digits: int) -> tuple[str, str, str]:
    """Return the difference in points, and the two relative gains where the baseline is not near zero."""
    gain = row.gain
    if gain is None:
        return "baseline", "baseline", "baseline"
    points = _show_interval(gain.points, gain.points_low, gain.points_high, digits, "+")
    ratios = _show_interval(gain.clear_value, gain.low, gain.high, 1, "+")
    means = _show_interval(gain.clear_means, gain.means_low, gain.means_high, 1, "+")
    return points, _percent(ratios), _percent(means)


def _percent(text: str) -> str:
    first, mark, rest = text.partition("\n")
    return text if text == _NOTHING else f"{first}%{mark}{rest}"
