"""`xlingual board`: a leaderboard from any set of runs."""

import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from ..board import (
    Board,
    Collection,
    board_json,
    board_markdown,
    board_names,
    build_board,
    collect_runs,
    find_board,
)
from ..board.export import EXPORTS, eee_files, hub_result_files
from ..errors import UsageError
from ..files import pretty_json, write_atomically
from ..identity import repair_surrogates
from . import printable
from .board_terminal import show_board
from .options import json_option, takes

MARKDOWN = "markdown"
JSON = "json"
EVERY_EVAL_EVER = "every-eval-ever"
HUB_RESULTS = "hub-results"
FORMATS = (MARKDOWN, JSON, "csv", "latex", "eval-results", HUB_RESULTS, EVERY_EVAL_EVER)


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardOptions:
    """The words of the command line."""

    runs: tuple[str, ...]
    board: str
    baseline: str | None
    include_limited: bool
    write: str | None
    show: bool
    format: str | None
    samples: bool
    as_json: bool


def run_board(options: BoardOptions) -> int:
    """Build the board and print it, or write it to a file; a terminal gets drawn tables unless a format is named."""
    named = _named_format(options)
    if options.samples and (named != EVERY_EVAL_EVER or not _is_folder(options.write)):
        hint = f"--format {EVERY_EVAL_EVER} --samples --write FOLDER/"
        raise UsageError("single samples are records of Every Eval Ever in a folder", where="--samples", hint=hint)
    roots = [Path(word).expanduser() for word in options.runs or ("runs",)]
    for root in roots:
        if not root.is_dir():
            raise UsageError("no such folder", where=str(root), hint="name folders that xlingual eval --out wrote")
    collection = collect_runs(roots, include_limited=options.include_limited)
    board = build_board(
        find_board(options.board), collection, baseline=options.baseline, include_limited=options.include_limited
    )
    command = board_command(options.runs, options.board, options.baseline)
    text = _render(board, collection, named or MARKDOWN, command)
    if options.write is None or options.show:
        if named is None and sys.stdout.isatty():
            show_board(board)
        else:
            click.echo(repair_surrogates(text), nl=False)
    if options.write is not None:
        _write(options.write, text, _files_of(board, collection, named, samples=options.samples))
    return 0


def _files_of(board: Board, collection: Collection, name: str | None, *, samples: bool) -> Mapping[str, str] | None:
    """Return the files that a format is made of; None where it is one."""
    if name == EVERY_EVAL_EVER:
        return eee_files(board, collection, samples=samples)
    return hub_result_files(board, collection) if name == HUB_RESULTS else None


def _is_folder(word: str | None) -> bool:
    return word is not None and (word.endswith("/") or Path(word).expanduser().is_dir())


def _write(word: str, text: str, parts: Mapping[str, str] | None) -> None:
    """Write `text` to the file `word`; to a folder its `parts`, each a file below it, where the format has such."""
    target = Path(word).expanduser()
    if _is_folder(word):
        if parts is None:
            raise UsageError("is a folder", where=f"--write {word}", hint="name a file in it")
        for name, part in parts.items():
            _write(str(target / name), part, None)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target, text)
    click.echo(printable(f"leaderboard: {target}"), err=True)


def _named_format(options: BoardOptions) -> str | None:
    """Return the format that was asked for, by --format or --json; None: by where the output goes."""
    if options.as_json and options.format not in (None, JSON):
        raise UsageError(
            f"--json and --format {options.format} ask for two formats", where="--format", hint="leave one of them out"
        )
    return JSON if options.as_json else options.format


def _render(board: Board, collection: Collection, name: str, command: str) -> str:
    if name == MARKDOWN:
        return board_markdown(board, command=command)
    if name == JSON:
        return pretty_json(board_json(board))
    return EXPORTS[name](board, collection, command)


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
        click.Option(
            ["--write", "-w"],
            default=None,
            metavar="FILE",
            help="Write to this file instead of stdout; every-eval-ever, hub-results: or to a folder, a file a model.",
        ),
        click.Option(["--show"], is_flag=True, help="With --write, print it, too."),
        click.Option(
            ["--format", "-f"],
            type=click.Choice(FORMATS),
            default=None,
            help="Default: tables on a terminal, Markdown elsewhere. csv: a row a model, task and metric; latex: for "
            "booktabs; eval-results: a model-index section a model, for its README; hub-results: the .eval_results of "
            "a model's repository; every-eval-ever: a record a model.",
        ),
        click.Option(
            ["--samples"],
            is_flag=True,
            help="With every-eval-ever and a folder: prompts, answers, gold answers and scores of single samples, too.",
        ),
        json_option(),
    ],
    callback=takes(BoardOptions, run_board),
    help="Make a leaderboard, models x languages, from the runs in folders (default: runs). What differs in signature "
    "or is incomplete is shown but not ranked.",
    epilog="Example: xlingual board runs --board paper --baseline alpaca-7b --write leaderboards/mine.md",
)
