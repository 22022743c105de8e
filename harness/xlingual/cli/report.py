"""`xlingual report`: one HTML page of an experiment, from its runs, its tuned models, its law and its budget."""

from dataclasses import dataclass
from pathlib import Path

import click

from ..analysis.sections import PageSection, find_sections
from ..board import build_board, collect_runs, find_board
from ..errors import DataError, UsageError
from ..files import read_json, require_file, write_atomically
from ..report import Experiment, experiment_page, render_page
from ..scaling.records import ALLOCATION_SCHEMA, Allocation
from ..serial import from_json
from ..store import walk_runs
from ..training.settings import PROVENANCE
from ..tune.records import TuneRecord
from . import printable
from .board import board_command, board_parameters
from .options import takes
from .scale.fit import read_fit


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportOptions:
    """The words of the command line."""

    runs: tuple[str, ...]
    board: str
    baseline: str | None
    include_limited: bool
    tuned: tuple[str, ...]
    fit: str | None
    allocation: str | None
    commands: str | None
    title: str
    write: str


def run_report(options: ReportOptions) -> int:
    """Read everything and write the page."""
    target = Path(options.write).expanduser()
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target, render_page(experiment_page(_read(options))))
    click.echo(printable(f"report: {target}"))
    return 0


def _read(options: ReportOptions) -> Experiment:
    roots = [_folder(word) for word in options.runs or ("runs",)]
    limited = options.include_limited
    collection = collect_runs(roots, include_limited=limited)
    spec = find_board(options.board)
    return Experiment(
        title=options.title,
        board=build_board(spec, collection, baseline=options.baseline, include_limited=limited),
        board_command=board_command(options.runs, options.board, options.baseline),
        tuned=_read_tuned([_folder(word) for word in options.tuned]),
        fit=None if options.fit is None else read_fit(Path(options.fit)),
        analyses=_read_analyses(roots),
        allocation=None if options.allocation is None else read_allocation(Path(options.allocation)),
        commands=() if options.commands is None else tuple(_lines(Path(options.commands))),
    )


def _read_analyses(roots: list[Path]) -> tuple[PageSection, ...]:
    found = find_sections(roots)
    for where, reason in found.left_out:
        click.echo(printable(f"left out: {where}: {reason}"), err=True)
    return found.sections


def read_allocation(path: Path) -> Allocation:
    """Read what `scale allocate --keep` wrote; DataError for anything else, UsageError where there is no file."""
    hint = "write one: xlingual scale allocate FIT.json --budget N --keep SPLIT.json"
    require_file(path, hint)
    data = read_json(path)
    schema = data.get("schema") if isinstance(data, dict) else None
    if schema != ALLOCATION_SCHEMA:
        raise DataError(f"is not a split of schema {ALLOCATION_SCHEMA}", where=str(path), hint=hint)
    return from_json(Allocation, data, where=str(path))


def _read_tuned(folders: list[Path]) -> tuple[TuneRecord, ...]:
    """Return the records of all tuned models below `folders`, in the order of their training.

    Each plan once: by its newest training, and never by one that `--fresh` moved aside.
    """
    found: dict[str, TuneRecord] = {}
    for path in sorted(path for folder in folders for path in walk_runs(folder) if path.name == PROVENANCE):
        record = from_json(TuneRecord, read_json(path), where=str(path))
        known = found.get(record.plan.id)
        if known is None or known.finished_at <= record.finished_at:
            found[record.plan.id] = record
    return tuple(sorted(found.values(), key=lambda each: each.finished_at))


def _folder(word: str) -> Path:
    folder = Path(word).expanduser()
    if not folder.is_dir():
        raise UsageError("no such folder", where=word, hint="name a folder that xlingual wrote with --out")
    return folder


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot be read: {error}", where=str(path)) from error


COMMAND = click.Command(
    "report",
    params=[
        *board_parameters(),
        click.Option(["--tuned"], multiple=True, metavar="DIR", help="Folder of tune run; repeatable."),
        click.Option(["--fit"], default=None, metavar="FIT.json", help="What scale fit --write wrote."),
        click.Option(["--allocation"], default=None, metavar="SPLIT.json", help="What scale allocate --keep wrote."),
        click.Option(["--commands"], default=None, metavar="FILE", help="Commands that made it all, a line each."),
        click.Option(["--title"], default="Models across languages", show_default=True),
        click.Option(["--write", "-w"], default="report.html", show_default=True, metavar="FILE.html"),
    ],
    callback=takes(ReportOptions, run_report),
    help="Write one HTML page of an experiment: what was trained, relative gains, the leaderboard, the scaling law, "
    "the split of the budget, with their plots, and the analyses that lie beside the runs: space, content, judges. It "
    "needs nothing but a browser.",
    epilog="Example: xlingual report runs --baseline alpaca-en --tuned runs --fit fit.json --write report.html",
)
