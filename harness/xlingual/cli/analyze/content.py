"""`xlingual analyze content`: what is in the stored answers of runs."""

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import click

from ...analysis.content import (
    MOST_EXAMPLES,
    ContentAnalysis,
    ContentRecord,
    analyse_runs,
    analysis_notes,
    analysis_tables,
)
from ...errors import UsageError
from ...escape import show_hidden
from ...files import disk_fault, pretty_json, write_atomically
from ...serial import to_json
from .. import printable
from ..display import settle, show_table
from ..options import json_option, takes

MANY_EXAMPLES = 1000
DETAIL = 40
"""Characters of what is to be seen in an example."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentCommand:
    """The words of the command line."""

    runs: tuple[str, ...]
    baseline: str | None
    examples: int
    keep: str | None
    as_json: bool


def run_content(words: ContentCommand) -> int:
    """Analyse the runs and print tables, or one JSON document."""
    roots = [Path(word).expanduser() for word in words.runs or ("runs",)]
    for root in roots:
        if not root.is_dir():
            raise UsageError("no such folder", where=str(root), hint="name folders that xlingual eval --out wrote")
    target = None if words.keep is None else Path(words.keep).expanduser()
    if target is not None and target.is_dir():
        raise UsageError("is a folder", where=f"--keep {target}", hint=f"name a file in it: {target / 'content.json'}")
    found = analyse_runs(roots, baseline=words.baseline, most_examples=words.examples, noticing=_notice)
    _notice("")
    for each in found.left_out:
        click.echo(f"left out: {printable(each)}", err=True)
    if target is not None:
        _make_folder(target.parent)
        write_atomically(target, pretty_json(to_json(found)))
        click.echo(f"written: {printable(str(target))}", err=True)
    if words.as_json:
        click.echo(pretty_json(to_json(found)), nl=False)
    else:
        _show(found)
    return 0


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise disk_fault(error, folder) from error


def _show(analysis: ContentAnalysis) -> None:
    on_terminal = sys.stdout.isatty()
    for table in analysis_tables(analysis, examples=not on_terminal):
        show_table(table.title, table.header, table.rows)
    click.echo("")
    for record in analysis.records if on_terminal else ():
        _list_examples(record)
    for note in analysis_notes(analysis):
        click.echo(printable(f"note: {note}"))


def _list_examples(record: ContentRecord) -> None:
    """Print examples on two lines each: in a table a terminal would turn around the folded lines of Arabic ones."""
    if record.examples:
        click.echo(f"{show_hidden(record.task)}, {show_hidden(record.model)}: examples")
    for each in record.examples:
        detail = settle(show_hidden(each.detail, DETAIL))
        click.echo(f"  {each.measure}  {settle(show_hidden(each.id))}  {detail}")
        click.echo(f"    {settle(_fit(show_hidden(each.excerpt), shutil.get_terminal_size().columns - 5))}")
    if record.examples:
        click.echo("")


def _fit(text: str, room: int) -> str:
    """Return as much of `text` as `room` columns of a terminal hold."""
    from rich.cells import cell_len  # noqa: PLC0415 (only a terminal needs rich)

    while cell_len(text) > room:
        text = f"{text.removesuffix('…')[:-1]}…"
    return text


def _notice(where: str) -> None:
    """Say on a terminal which run is read; "" erases the line."""
    if sys.stderr.isatty():
        text = f"reading {printable(where)[-60:]}" if where else ""
        click.echo(f"\r\x1b[K{text}", nl=False, err=True)


COMMAND = click.Command(
    "content",
    params=[
        click.Argument(["runs"], nargs=-1, metavar="[RUN]..."),
        click.Option(
            ["--baseline"],
            default=None,
            metavar="NAME",
            help="Model that the others are compared with (default: that of the first folder).",
        ),
        click.Option(
            ["--examples"],
            type=click.IntRange(0, MANY_EXAMPLES),
            default=MOST_EXAMPLES,
            show_default=True,
            metavar="N",
            help="Answers that are shown of each kind.",
        ),
        click.Option(["--keep"], default=None, metavar="FILE.json", help="Write the analysis for the report."),
        json_option(),
    ],
    callback=takes(ContentCommand, run_content),
    help="Say what is in the stored answers of runs (default: runs), by task and language: answers in another "
    "language, code-switching, loops, copies of source and passage, refusals, places in the passage, the language of "
    "the thinking; with intervals, and tests between models. No model and no data are needed.",
    epilog="Example: xlingual analyze content runs/SmolLM2-135M-Instruct-afbd81ac runs/x-llama-zh-mini-48806dbe",
)
