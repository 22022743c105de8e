"""Tables on stdout: drawn on a terminal, Markdown in a pipe, where nothing may be cut off."""

import sys
from collections.abc import Sequence

import click

from ..records import Estimate, RunRecord
from . import printable


def show_records(records: Sequence[RunRecord]) -> None:
    """Print one table a task family: a row a model and task, a column a metric."""
    families: dict[str, list[RunRecord]] = {}
    for record in records:
        families.setdefault(record.protocol.task.partition("/")[0], []).append(record)
    for family, members in families.items():
        header, rows = _family_table(members)
        show_table(family, header, rows)
        for name, reason in _reasons(members).items():
            click.echo(printable(f"{name}: {reason}"))


def show_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: rich on a terminal, Markdown elsewhere."""
    if sys.stdout.isatty():
        from rich.console import Console  # noqa: PLC0415 (only a terminal needs rich)
        from rich.table import Table  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        table = Table(title=Text(title))
        for index, name in enumerate(header):
            table.add_column(Text(name), justify="left" if index < 2 else "right")
        for row in rows:
            table.add_row(*(Text(printable(cell)) for cell in row))
        Console().print(table)
        return
    click.echo(f"\n{title}\n")
    click.echo("| " + " | ".join(header) + " |")
    click.echo("|" + "|".join(" --- " if index < 2 else " ---: " for index in range(len(header))) + "|")
    for row in rows:
        click.echo("| " + " | ".join(printable(cell).replace("|", "\\|") for cell in row) + " |")


def _family_table(records: Sequence[RunRecord]) -> tuple[list[str], list[list[str]]]:
    metrics = list(dict.fromkeys(each.metric for record in records for each in record.estimates))
    shown = [name for name in metrics if not _says_nothing_new(name, records)]
    main = records[0].main_metric
    header = ["model", "task", "n", f"{main} [95%]", *(name for name in shown if name != main)]
    rows = []
    for record in records:
        found = {each.metric: each for each in record.estimates}
        n = f"{record.counts.answered}/{record.protocol.n}" if not _whole(record) else str(record.protocol.n)
        others = [_value(found.get(name)) for name in shown if name != main]
        rows.append([record.model.name, record.protocol.task, n, _interval(found.get(main)), *others])
    return header, rows


def _whole(record: RunRecord) -> bool:
    return record.counts.failed == record.counts.missing == 0


def _says_nothing_new(name: str, records: Sequence[RunRecord]) -> bool:
    """Whether a metric has no value anywhere, or is a corrected variant that equals the original everywhere."""
    values = [{each.metric: each.value for each in record.estimates} for record in records]
    if all(row.get(name) is None for row in values):
        return True
    original = name.replace("_fixed", "")
    return original != name and all(row.get(name) == row.get(original) for row in values)


def _value(estimate: Estimate | None) -> str:
    return "" if estimate is None or estimate.value is None else f"{estimate.value:.1f}"


def _interval(estimate: Estimate | None) -> str:
    if estimate is None or estimate.low is None or estimate.high is None:
        return _value(estimate)
    return f"{estimate.value:.1f} [{estimate.low:.1f}, {estimate.high:.1f}]"


def _reasons(records: Sequence[RunRecord]) -> dict[str, str]:
    return {each.metric: each.reason for record in records for each in record.estimates if each.reason is not None}
