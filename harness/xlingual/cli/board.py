"""`xlingual board`: a leaderboard from any set of runs."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from ..board import board_json, board_markdown, board_names, build_board, collect_runs, find_board
from ..errors import UsageError
from ..files import pretty_json, write_atomically
from .options import json_option, takes


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardOptions:
    """The words of the command line."""

    runs: tuple[str, ...]
    board: str
    baseline: str | None
    include_limited: bool
    write: str | None
    show: bool
    as_json: bool


def run_board(options: BoardOptions) -> int:
    """Build the board and print it, or write it to a file."""
    roots = [Path(word).expanduser() for word in options.runs or ("runs",)]
    for root in roots:
        if not root.is_dir():
            raise UsageError("no such folder", where=str(root), hint="name folders that xlingual eval --out wrote")
    collection = collect_runs(roots, include_limited=options.include_limited)
    board = build_board(
        find_board(options.board), collection, baseline=options.baseline, include_limited=options.include_limited
    )
    text = (
        pretty_json(board_json(board))
        if options.as_json
        else board_markdown(board, command=board_command(options.runs, options.board, options.baseline))
    )
    if options.write is None or options.show:
        click.echo(text, nl=False)
    if options.write is not None:
        target = Path(options.write).expanduser()
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target, text)
        click.echo(f"leaderboard: {target}", err=True)
    return 0


def board_command(runs: Sequence[str], board: str, baseline: str | None) -> str:
    """Return the command that makes a board anew."""
    words = ["xlingual", "board", *runs, "--board", board]
    return shlex.join(words + (["--baseline", baseline] if baseline else []))


def board_parameters() -> list[click.Parameter]:
    """RUNS, `--board`, `--baseline` and `--include-limited`."""
    return [
        click.Argument(["runs"], nargs=-1, metavar="[RUNS]..."),
        click.Option(
            ["--board", "-b"],
            default="paper",
            show_default=True,
            help=f"Which leaderboard: {', '.join(board_names())}, or a TOML file.",
        ),
        click.Option(["--baseline"], default=None, help="Model that relative gains are measured against."),
        click.Option(["--include-limited"], is_flag=True, help="Show limited runs too, marked and unranked."),
    ]


COMMAND = click.Command(
    "board",
    params=[
        *board_parameters(),
        click.Option(["--write", "-w"], default=None, metavar="FILE", help="Write to this file instead of stdout."),
        click.Option(["--show"], is_flag=True, help="With --write, print it, too."),
        json_option(),
    ],
    callback=takes(BoardOptions, run_board),
    help="Make a leaderboard, models x languages, from the runs in folders (default: runs). What differs in signature "
    "or is incomplete is shown but not ranked.",
    epilog="Example: xlingual board runs --board paper --baseline alpaca-7b --write leaderboards/mine.md",
)
