"""What Markdown, LaTeX and the terminal print alike: the rank of a row, and which value of a column is bold."""

from collections.abc import Callable, Sequence

from .rows import BoardRow, BoardTable, CellState


def show_rank(row: BoardRow, dash: str) -> str:
    """Return "2", "2-4" where the samples leave it open, the kind of a control, or a dash for a row without a rank."""
    if row.control is not None:
        return row.control
    if row.rank is None:
        return dash
    if row.rank_low is None or row.rank_high is None or row.rank_low == row.rank_high:
        return str(row.rank)
    return f"{row.rank_low}{dash}{row.rank_high}"


def best_values(table: BoardTable, digits: int) -> list[float | None]:
    """Return the best complete value of each column, rounded to `digits` as it is shown; None where nothing competes.

    Controls do not compete.
    """
    models = [row for row in table.rows if row.control is None]
    columns = [[row.cells[place] for row in models] for place in range(len(table.columns))]
    values = [[cell.value for cell in cells if cell.state is CellState.COMPLETE] for cells in columns]
    return [_best(table, column, digits) for column in values]


def best_average(table: BoardTable, digits: int) -> float | None:
    """Return the best average, as `best_values` does for a column."""
    return _best(table, [row.average for row in table.rows if row.control is None], digits)


def _best(table: BoardTable, values: Sequence[float | None], digits: int) -> float | None:
    known = [value for value in values if value is not None]
    pick: Callable[[list[float]], float] = max if table.higher_is_better else min
    return round(pick(known), digits) if len(known) > 1 else None
