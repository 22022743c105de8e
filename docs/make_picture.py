"""Draws the leaderboard of README.md from runs: `python docs/make_picture.py RUNS`.

The page that is shown is of `make eval` and `make tune`, both evaluated on the packaged sample:

    xlingual eval --model smollm2 --data sample --langs ar,el,en,hi,tr,vi,zh --max-new-tokens 32
    xlingual tune run x-llama-zh-mini --data sample --merge
    xlingual eval --model runs/x-llama-zh-mini-*/x-llama-zh-mini --data sample --langs ... --max-new-tokens 32
"""

import io
import sys
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from xlingual.board import Board, build_board, collect_runs, find_board
from xlingual.board.rows import BoardTable, Cell, Column

PICTURE = Path(__file__).parent / "pictures" / "board.svg"
WIDTH = 118
"""Characters."""
SHOWN = ("xquad", "flores101")
FORMAT = """\
<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px; line-height: {line_height}px; }}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: sans-serif; }}
{styles}
</style>
<defs><clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/></clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g></g></svg>
"""
"""Rich's own format names a font on a server; a picture of ours fetches nothing."""


def draw(board: Board) -> str:
    """Return the SVG of a board's tables."""
    console = Console(record=True, width=WIDTH, file=io.StringIO())
    for table in board.tables:
        if table.family in SHOWN:
            _print_table(console, table)
    return console.export_svg(
        title="the leaderboard of runs on the packaged sample", code_format=FORMAT, unique_id="board"
    )


def _print_table(console: Console, table: BoardTable) -> None:
    title = f"{table.family}: {table.metric}, with 95% intervals"
    shown = Table(
        title=Text(title, style="bold"), title_justify="left", box=box.SIMPLE_HEAD, expand=True, padding=(0, 1, 0, 0)
    )
    shown.add_column("")
    shown.add_column("model", no_wrap=True)
    for column in table.columns:
        shown.add_column(column.variant, justify="right", min_width=9)
    shown.add_column("average", justify="right")
    for row in table.rows:
        average = "–" if row.average is None else f"{row.average:.1f}"
        shown.add_row(str(row.rank or "–"), row.model, *map(_cell, row.cells), Text(average, style="bold"))
    console.print(shown)
    for line in _notes(table.columns[-1]):
        console.print(Text(f"  {line}", style="dim"))
    console.print()


def _cell(cell: Cell) -> Text:
    if cell.value is None or cell.low is None or cell.high is None:
        return Text("–")
    return Text.assemble(f"{cell.value:.1f}\n", (f"{cell.low:.1f}–{cell.high:.1f}", "dim"))


def _notes(column: Column) -> list[str]:
    """Say what stands behind the numbers, for one column of the table."""
    protocol = column.protocol
    return [
        f"metric    {column.signature}",
        f"protocol  split {protocol.split}, shots {protocol.shots}, at most {protocol.max_new_tokens} new tokens, "
        f"task version {protocol.task_version}",
        f"data      {column.variant}: {protocol.n} examples, hash {protocol.data[:12]}, {', '.join(column.origins)}",
    ]


def main(runs: str) -> None:
    """Write the picture."""
    collection = collect_runs([Path(runs)], include_limited=False)
    board = build_board(find_board("sample"), collection, baseline=None, include_limited=False)
    PICTURE.write_text(draw(board), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
