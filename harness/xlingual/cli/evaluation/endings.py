"""What `xlingual eval` says when it ends: what is missing and why, what was cut, how far wordings lie apart."""

import statistics
from collections.abc import Iterator, Sequence

import click

from ...board.thresholds import MOST_UNFINISHED
from ...pricing import PriceTable, cost, format_money
from ...records import Counts, Origin, RunRecord
from .. import printable
from ..display import show_table

MOST_EMPTY = 5.0
"""Per cent of empty answers above which there is a warning."""


def warn(records: Sequence[RunRecord]) -> None:
    """Say on stderr what a reader of the scores must know."""
    for record in records:
        for line in warnings_of(record):
            click.echo(printable(f"warning: {record.label}: {line}"), err=True)
    if any(record.origin is Origin.SAMPLE for record in records):
        click.echo("note: these are scores on the packaged sample; they are never ranked beside real ones", err=True)


def warnings_of(record: RunRecord) -> Iterator[str]:
    """Yield a line for everything that makes the scores of a run less than they look."""
    counts = record.counts
    if counts.failed or counts.missing:
        asked = record.protocol.n * (record.protocol.repeats or 1)
        rest = "the rest, but none that is too long" if record.protocol.on_overflow == "skip" else "the rest"
        yield f"answered {counts.answered} of {asked} samples; the same command again asks {rest}"
    for each in (counts.failures or ())[:1]:
        yield f"the most frequent failure, {each.count} of {counts.failed}: {each.kind}: {each.example}"
    yield from warnings_of_answers(record)


def warnings_of_answers(record: RunRecord) -> Iterator[str]:
    """Yield a line for everything that is wrong with the answers that there are."""
    counts = record.counts
    if counts.shots_dropped or counts.passages_cut:
        lost = f"{counts.shots_dropped} prompts lost demonstrations, {counts.passages_cut} had their passage cut"
        yield f"{lost} to fit the context window"
    yield from _of_thinking(counts)
    empty = next((each.value for each in record.estimates if each.metric == "empty"), None)
    if empty is not None and empty > MOST_EMPTY:
        yield f"{empty:.1f}% of the answers are empty"


def _of_thinking(counts: Counts) -> Iterator[str]:
    if counts.unfinished_thinking:
        share = 100.0 * counts.unfinished_thinking / max(1, counts.answered)
        hint = "; --max-thinking-tokens or --max-new-tokens gives more room" if share > MOST_UNFINISHED else ""
        yield f"{counts.unfinished_thinking} answers ({share:.1f}%) ended while thinking and are unscored{hint}"
    if counts.unextracted:
        yield f"nothing could be extracted from {counts.unextracted} answers, which count as wrong"


def show_bill(records: Sequence[RunRecord], prices: PriceTable | None) -> None:
    """Say on stderr what the answers of each model cost; answers of earlier commands are among them."""
    for name in dict.fromkeys(record.model.name for record in records) if prices is not None else ():
        counts = [record.counts for record in records if record.model.name == name]
        read = [each.prompt_tokens for each in counts if each.prompt_tokens is not None]
        written = [each.tokens for each in counts if each.tokens is not None]
        if not read or not written:
            click.echo(printable(f"note: what {name} cost is not known: it does not count tokens"), err=True)
            continue
        amount = cost(prices.price_of(name), prompt_tokens=sum(read), tokens=sum(written)) if prices else 0.0
        tokens = f"{sum(read):,} tokens read and {sum(written):,} written"
        click.echo(printable(f"{name}: {format_money(amount)} for {tokens}"), err=True)


def show_spread(records: Sequence[RunRecord]) -> None:
    """Print, for every model and task that was asked in several wordings, how far they lie apart."""
    groups: dict[tuple[str, str, str], list[RunRecord]] = {}
    for record in records:
        key = (record.model.fingerprint, record.protocol.task, record.protocol.prompt_language or "")
        groups.setdefault(key, []).append(record)
    rows = [row for members in groups.values() if len(members) > 1 for row in _spread(members)]
    if rows:
        show_table("spread over wordings", ["model", "task", "metric", "wordings", "mean", "min", "max", "sd"], rows)


def _spread(records: Sequence[RunRecord]) -> Iterator[list[str]]:
    main = records[0].main_metric
    values = [each.value for record in records for each in record.estimates if each.metric == main]
    known = [value for value in values if value is not None]
    if len(known) > 1:
        numbers = [statistics.fmean(known), min(known), max(known), statistics.stdev(known)]
        row = [records[0].model.name, records[0].protocol.task, main, str(len(known))]
        yield [*row, *(f"{number:.1f}" for number in numbers)]
