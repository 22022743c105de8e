"""Scores of all models at a glance: a panel for each benchmark, a mark for each language."""

from typing import TYPE_CHECKING

import numpy as np

from ..board import Board
from ..board.rows import BoardTable, CellState
from ..escape import show_hidden
from ..scaling.plots import Picture, render_picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MARKS = "os^Dv<>Ph*Xd"
_NAME_LENGTH = 28


def draw_scores(board: Board) -> Picture:
    """Draw every table of the board: a line for each model, a mark with its 95% interval for each task."""
    count = max(len(table.rows) for table in board.tables)

    def draw(figure: "Figure") -> None:
        panels = figure.subplots(1, len(board.tables), squeeze=False)[0]
        for panel, table in zip(panels, board.tables, strict=True):
            _draw_table(panel, table)

    inches = (4.4 * len(board.tables), 1.3 + 0.42 * count)
    return render_picture("scores of all models by benchmark and language", draw, inches)


def _draw_table(panel: "Axes", table: BoardTable) -> None:
    names = [show_hidden(row.model, _NAME_LENGTH) for row in table.rows]
    offsets = np.linspace(-0.25, 0.25, len(table.columns)) if len(table.columns) > 1 else np.zeros(1)
    for column, offset in enumerate(offsets):
        cells = [(place, row.cells[column]) for place, row in enumerate(table.rows)]
        known = [(place, cell) for place, cell in cells if cell.state is CellState.COMPLETE and cell.value is not None]
        color = f"C{column % 10}"
        for place, cell in known:
            if cell.low is not None and cell.high is not None:
                panel.plot([cell.low, cell.high], [place + offset] * 2, color=color, alpha=0.35, linewidth=1.0)
        panel.scatter(
            [cell.value for _, cell in known if cell.value is not None],
            [place + offset for place, _ in known],
            marker=_MARKS[column % len(_MARKS)],
            s=14,
            color=color,
            label=table.columns[column].variant,
        )
    panel.set_yticks(range(len(names)), names)
    panel.invert_yaxis()
    panel.set_title(f"{table.family}: {table.metric}", loc="left", fontweight="bold")
    panel.grid(axis="x", linewidth=0.4, alpha=0.5)
    panel.legend(frameon=False, fontsize=6, loc="best")
