"""A leaderboard as LaTeX tables for a paper: booktabs, best in bold, intervals small behind the values."""

import re
from collections.abc import Iterator, Sequence

from ...escape import CELL_LENGTH, LINE_LENGTH, show_hidden
from ...metrics import decimals
from ..comparison import HASH_DIGITS
from ..printing import best_values
from ..rows import Board, BoardRow, BoardTable, Cell, CellState
from ..spec import BoardOrigin

_LATEX = {
    "\\": "\\textbackslash{}",
    "~": "\\textasciitilde{}",
    "^": "\\textasciicircum{}",
    "<": "\\textless{}",
    ">": "\\textgreater{}",
    "|": "\\textbar{}",
    "`": "\\textasciigrave{}",
    # In braces, for after the end of a row "[" and "*" would be its arguments, and two hyphens become a dash.
    **{mark: f"{{{mark}}}" for mark in "[]*-"},
    **{mark: f"\\{mark}" for mark in "{}$&#%_"},
}
_NOTHING = "--"
_LONG_WORD = re.compile(r"\S{40}(?=\S)")
"""What may be broken behind it: a signature is one long word, and a word of thousands of letters ends a XeTeX."""
_BREAK = "\n"
"""Stands for a break until all else is escaped; `show_hidden` leaves none in a text."""


def board_latex(board: Board, *, command: str) -> str:
    r"""Return `board` as a file to \input: a table environment for each table.

    `command` is what makes it anew; it stands in a comment at the top.
    """
    lines = [
        f"% {_one_line(command)}",
        r"% Needs \usepackage{booktabs}; names beyond Latin need XeLaTeX or LuaLaTeX with fonts that have them.",
    ]
    if not board.tables:
        lines.append("% No run fits this leaderboard.")
    for table in board.tables:
        lines += ["", *_table_lines(table, sample=board.origin == BoardOrigin.SAMPLE.value)]
    return "\n".join(lines) + "\n"


def escape_latex(text: str, length: int = CELL_LENGTH) -> str:
    """Return `text` as LaTeX that shows it on one line; what cannot be seen is written as U+202E."""
    plain = _LONG_WORD.sub(lambda found: f"{found[0]}{_BREAK}", show_hidden(text, length).strip())
    shown = "".join(_LATEX.get(char, char) for char in plain).replace(_BREAK, "\\allowbreak{}")
    return shown or "(no name)"


def _one_line(text: str) -> str:
    return show_hidden(text, LINE_LENGTH)


def _table_lines(table: BoardTable, *, sample: bool) -> Iterator[str]:
    digits = decimals(table.metric)
    best = best_values(table, digits)
    averaged = len(table.columns) > 1
    header = ["Model", *(escape_latex(column.variant) for column in table.columns), *["Average"] * averaged]
    yield "\\begin{table}"
    yield "\\centering"
    yield f"\\caption{{{_caption(table, sample=sample)}}}"
    yield f"\\begin{{tabular}}{{l{'r' * (len(header) - 1)}}}"
    yield "\\toprule"
    yield _row(header)
    yield "\\midrule"
    for place, row in enumerate(table.rows):
        if row.control is not None and place and table.rows[place - 1].control is None:
            yield "\\midrule"
        tops = best if row.control is None else [None] * len(best)
        cells = [_cell(cell, top, digits) for cell, top in zip(row.cells, tops, strict=True)]
        yield _row([_name(row), *cells, *([_average(row, table, digits)] if averaged else [])])
    yield "\\bottomrule"
    yield "\\end{tabular}"
    yield "\\end{table}"


def _name(row: BoardRow) -> str:
    return escape_latex(row.model if row.control is None else f"{row.model} ({row.control})")


def _row(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def _caption(table: BoardTable, *, sample: bool) -> str:
    direction = "" if table.higher_is_better else ", lower is better"
    sizes = sorted({column.protocol.n for column in table.columns})
    examples = str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    protocols = dict.fromkeys((column.protocol.shots, column.protocol.template) for column in table.columns)
    asked = "; ".join(f"{shots}-shot, {template} template" for shots, template in protocols)
    signatures = dict.fromkeys(column.signature for column in table.columns if column.signature is not None)
    data = ", ".join(dict.fromkeys(column.protocol.data[:HASH_DIGITS] for column in table.columns))
    words = [
        f"{table.family}: {table.metric}{direction}, with 95% intervals.",
        "Scores on the packaged sample, not on the benchmark." if sample else "",
        f"{asked}; {examples} examples a column; data {data}.",
        f"Signature: {', '.join(signatures)}." if signatures else "",
        "Bold: the best of a column; of averages, all that may rank first.",
        *(f"Not ranked, {row.model}: {row.unranked}." for row in table.rows if row.unranked is not None),
        "Below the second rule: controls." if any(row.control is not None for row in table.rows) else "",
    ]
    return escape_latex(" ".join(word for word in words if word), LINE_LENGTH)


def _cell(cell: Cell, best: float | None, digits: int) -> str:
    if cell.state in (CellState.MISSING, CellState.NOT_COMPUTED) or cell.value is None:
        return _NOTHING
    text = f"{cell.value:.{digits}f}"
    if cell.state is CellState.INCOMPLETE:
        return f"{text} ({cell.n}/{cell.expected})"
    if cell.state is CellState.LIMITED:
        return f"{text} (limited {escape_latex(cell.limit or '')})"
    if cell.state is CellState.MARKED:
        return f"{text} (not ranked)"
    bold = best is not None and round(cell.value, digits) == best
    return (f"\\textbf{{{text}}}" if bold else text) + _interval(cell.low, cell.high, digits)


def _average(row: BoardRow, table: BoardTable, digits: int) -> str:
    if row.average is None:
        return _NOTHING
    text = f"{row.average:.{digits}f}"
    if row.control is not None:
        return text
    first = row.rank_low if row.rank_low is not None else row.rank
    competes = sum(other.average is not None and other.control is None for other in table.rows) > 1
    bold = f"\\textbf{{{text}}}" if first == 1 and competes else text
    return bold + _interval(row.average_low, row.average_high, digits)


def _interval(low: float | None, high: float | None, digits: int) -> str:
    return "" if low is None or high is None else f" {{\\scriptsize [{low:.{digits}f}, {high:.{digits}f}]}}"
