"""`xlingual view`: runs as one HTML page to click through."""

import sys
import webbrowser
from dataclasses import dataclass, replace
from pathlib import Path

import click

from ..analysis.sections import find_sections
from ..board import collect_runs
from ..errors import DataError, UsageError
from ..view import ViewOptions, write_view
from ..view.provenance import clean_json
from . import printable
from .options import FiniteRange, takes

MEGABYTE = 10**6
PAGE = "view.html"


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewCommand:
    """The words of the command line."""

    runs: tuple[str, ...]
    out: str | None
    show: bool
    texts: float
    no_golds: bool


def run_view(words: ViewCommand) -> int:
    """Write the page and say where it is."""
    roots = [Path(word).expanduser() for word in words.runs or ("runs",)]
    for root in roots:
        if not root.is_dir():
            raise UsageError("no such folder", where=str(root), hint="name folders that xlingual eval --out wrote")
    target = roots[0] / PAGE if words.out is None else Path(words.out).expanduser()
    if target.is_dir():
        raise UsageError("is a folder", where=f"--out {target}", hint=f"name a file in it: {target / PAGE}")
    click.echo(printable(f"view: {write_runs(roots, target, _options(words))}"))
    if words.show:
        webbrowser.open(target.resolve().as_uri())
    return 0


def _options(words: ViewCommand) -> ViewOptions:
    return ViewOptions(texts=int(words.texts * MEGABYTE), golds=not words.no_golds)


def write_runs(roots: list[Path], target: Path, options: ViewOptions) -> str:
    """Write the page of all runs below `roots` to `target`; return its path, and what it holds in words.

    Raises DataError where there is no run that can be read.
    """
    collection = collect_runs(roots, include_limited=True)
    if not collection.runs:
        reason = f": {collection.left_out[0].where}: {collection.left_out[0].reason}" if collection.left_out else ""
        raise DataError(f"no run can be read{reason}", where=str(roots[0]), hint="xlingual eval --out DIR writes runs")
    found = find_sections(roots, clean_json)
    options = replace(options, analyses=found.sections)
    summary = write_view(collection, target, options, _count_runs(len(collection.runs)))
    for note in (*summary.notes, *(f"left out: {where}: {reason}" for where, reason in found.left_out)):
        click.echo(printable(note), err=True)
    texts = f"texts of {summary.texts:,} of {summary.samples:,} samples"
    return f"{target} (models: {summary.models}, tasks: {summary.tasks}, {texts}, {summary.size / MEGABYTE:.1f} MB)"


def _count_runs(total: int) -> "_Progress":
    return _Progress(total=total)


@dataclass(slots=True)
class _Progress:
    """Says on a terminal how many runs were read; large collections take minutes."""

    total: int
    done: int = 0

    def __call__(self, _where: str) -> None:
        self.done += 1
        if sys.stderr.isatty():
            # The last one erases the line, so that the path of the page stands below nothing that is over.
            text = f"reading run {self.done} of {self.total}" if self.done < self.total else "\x1b[K"
            click.echo(f"\r{text}", nl=False, err=True)


COMMAND = click.Command(
    "view",
    params=[
        click.Argument(["runs"], nargs=-1, metavar="[RUNS]..."),
        click.Option(
            ["--out", "-o"],
            default=None,
            metavar="FILE.html",
            help=f"Where to write the page (default: {PAGE} in the first folder of runs).",
        ),
        click.Option(["--open", "show"], is_flag=True, help="Open it in the browser."),
        click.Option(
            ["--texts"],
            type=FiniteRange(min=0, max=2000),
            default=64,
            show_default=True,
            metavar="MB",
            help="Room for prompts and answers: failures first, then where models differ. Scores are always all there.",
        ),
        click.Option(["--no-golds"], is_flag=True, help="Leave gold answers out, for a page that is published."),
    ],
    callback=takes(ViewCommand, run_view),
    help="Write one HTML page of all runs in folders (default: runs): heat maps, the samples behind each cell, two "
    "models side by side, where each number comes from, the analyses that lie beside the runs. It opens from disk, "
    "needs no server and no network.",
    epilog="Example: xlingual view runs --open",
)
