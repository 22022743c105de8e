"""How `xlingual eval` ends on a terminal: scores by language, what went wrong, and the next command, at a glance."""

import re
import shlex
import sys
from collections import Counter
from collections.abc import Iterator, Sequence

import click

from ...records import Estimate, Origin, RunRecord
from ...redaction import redact_command
from .. import printable
from ..display import reasons, settle
from .endings import warnings_of_answers

WITH_INTERVALS = 15
"""Tasks of a family up to which each shows its interval; of more, as MLQA has, the values alone."""
MOST_WARNINGS = 3
MOST_NAMES = 4
"""Tasks that are named where several share a place or a fault."""
_NUMBER = re.compile(r"\d+(\.\d+)?")


def show_scores(records: Sequence[RunRecord]) -> None:
    """Print the main metric of every task, side by side, then the best and the worst: a block a model and family."""
    blocks: dict[tuple[str, str, str, str], list[RunRecord]] = {}
    for record in records:
        family = record.protocol.task.partition("/")[0]
        blocks.setdefault((record.model.fingerprint, record.model.name, family, record.main_metric), []).append(record)
    for (_fingerprint, name, family, metric), members in blocks.items():
        click.echo(settle(_flat(f"{name}, {family}: {metric}{_describe(members)}")))
        for line in _columns([_entry(record, members) for record in members]):
            click.echo(line)
        if (extremes := _extremes(members)) is not None:
            click.echo(extremes)
        for reason in reasons(members, of_main=True):
            click.echo(f"  {_flat(reason)}")


def _flat(text: str) -> str:
    return printable(text).replace("\n", " ").replace("\t", " ")


def _main(record: RunRecord) -> Estimate | None:
    return next((each for each in record.estimates if each.metric == record.main_metric), None)


def _describe(members: Sequence[RunRecord]) -> str:
    sizes = sorted({record.protocol.n for record in members})
    n = f"{sizes[0]}" if sizes[0] == sizes[-1] else f"{sizes[0]} to {sizes[-1]}"
    has_intervals = any((each := _main(record)) is not None and each.low is not None for record in members)
    interval = " [95% interval]" if has_intervals and len(members) <= WITH_INTERVALS else ""
    return f"{interval}, {n} examples{' each' if len(members) > 1 else ''}"


def _entry(record: RunRecord, members: Sequence[RunRecord]) -> tuple[str, str]:
    """Return the name of a task within its family, and its score."""
    estimate = _main(record)
    name = _flat(record.label.partition("/")[2])
    if estimate is None or estimate.value is None:
        return name, "-"
    text = _number(estimate, estimate.value)
    if estimate.low is None or estimate.high is None or len(members) > WITH_INTERVALS:
        return name, text
    return name, f"{text} [{_number(estimate, estimate.low)}, {_number(estimate, estimate.high)}]"


def _number(estimate: Estimate, value: float) -> str:
    from ...metrics import decimals  # noqa: PLC0415 (numpy, which lists of tasks go without)

    return f"{value:.{decimals(estimate.metric)}f}"


def _columns(entries: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Yield lines of entries side by side, as many as the terminal is wide; wide characters take two places."""
    from rich.cells import cell_len, chop_cells  # noqa: PLC0415 (only a terminal needs rich)
    from rich.console import Console  # noqa: PLC0415

    room = Console().width - 1
    score = max(len(value) for _, value in entries)
    # Only what is longer than a line is cut, so that it does not break the columns of the others.
    longest = max(1, room - score - 4)
    names = [name if cell_len(name) <= longest else chop_cells(name, longest - 1)[0] + "…" for name, _ in entries]
    width = max(map(cell_len, names))
    count = max(1, room // (width + score + 6))
    cells = [
        f"  {settle(name)}{' ' * (width - cell_len(name))}  {value:<{score}}"
        for name, (_, value) in zip(names, entries, strict=True)
    ]
    for start in range(0, len(cells), count):
        yield "  ".join(cells[start : start + count]).rstrip()


def _extremes(members: Sequence[RunRecord]) -> str | None:
    known = [(each.value, record) for record in members if (each := _main(record)) and each.value is not None]
    if len(known) < 2:
        return None
    first = _main(members[0])
    if first is None:
        return None
    pick = (max, min) if _is_higher_better(first) else (min, max)
    best, worst = (_number(first, choose(value for value, _ in known)) for choose in pick)
    if best == worst:
        return None
    names = [
        [settle(_flat(record.label.partition("/")[2])) for value, record in known if _number(first, value) == shown]
        for shown in (best, worst)
    ]
    return f"  best {_list(names[0])} {best}, worst {_list(names[1])} {worst}"


def _list(names: Sequence[str]) -> str:
    """Return names that share a place: all of a few, else the first of them and how many more."""
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def _is_higher_better(estimate: Estimate) -> bool:
    from ...metrics import find_metric, is_own  # noqa: PLC0415 (numpy)

    if estimate.higher_is_better is not None:
        return estimate.higher_is_better
    return find_metric(estimate.metric).higher_is_better if is_own(estimate.metric) else True


def warn_shortly(records: Sequence[RunRecord]) -> None:
    """Say on stderr what is wrong, each thing once over all tasks: what is unanswered and why, then the answers."""
    unfinished = [record for record in records if record.counts.failed or record.counts.missing]
    if unfinished:
        asked = sum(record.protocol.n * (record.protocol.repeats or 1) for record in unfinished)
        answered = sum(record.counts.answered for record in unfinished)
        _warn(f"answered {answered} of {asked} samples of {_list([record.label for record in unfinished])}")
    failures: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for record in unfinished:
        for each in record.counts.failures or ():
            failures[each.kind] += each.count
            examples.setdefault(each.kind, each.example)
    for kind, count in failures.most_common(1):
        _warn(f"the most frequent failure, {count} of {failures.total()}: {kind}: {examples[kind]}")
    lines = list(_merge(records))
    for line in lines[:MOST_WARNINGS]:
        _warn(line)
    if len(lines) > MOST_WARNINGS:
        _warn(f"{len(lines) - MOST_WARNINGS} further warnings: --all")
    if any(record.origin is Origin.SAMPLE for record in records):
        click.echo("note: scores on the packaged sample are never ranked beside real ones", err=True)


def _merge(records: Sequence[RunRecord]) -> Iterator[str]:
    """Yield every warning of the answers once, with how many other tasks have it."""
    found: dict[str, list[str]] = {}
    for record in records:
        for line in warnings_of_answers(record):
            found.setdefault(_NUMBER.sub("#", line), []).append(f"{record.label}: {line}")
    for lines in found.values():
        others = len(lines) - 1
        yield lines[0] + (f" (and {others} more task{'s' if others > 1 else ''})" if others else "")


def _warn(text: str) -> None:
    click.echo(f"warning: {_flat(text)}", err=True)


def resume_command() -> str:
    """Return the command that goes on with this run, keys hidden; with --fresh it would begin once more."""
    return redact_command(["xlingual", *(word for word in sys.argv[1:] if word != "--fresh")])


def show_next(records: Sequence[RunRecord], out: str, *, limited: bool) -> None:
    """Print the command that a person wants next: the one that resumes, or those that show more."""
    if any(record.counts.failed or record.counts.missing for record in records):
        click.echo(_flat(f"next, to ask the rest: {resume_command()}"))
        return
    board = ["--board", "sample"] if any(record.origin is Origin.SAMPLE for record in records) else []
    part = ["--include-limited"] if limited else []
    click.echo(_flat(f"next: {shlex.join(['xlingual', 'board', out, *board, *part])}"))
    click.echo(_flat(f"      {shlex.join(['xlingual', 'view', out, '--open'])}"))
