"""Tables on stdout: drawn on a terminal, Markdown in a pipe, where nothing may be cut off."""

import re
import sys
import unicodedata
from collections.abc import Sequence

import click

from ..records import Estimate, RunRecord, no_interval
from . import printable

KEY_COLUMNS = 2
"""Columns that say what a row is of."""
_LEFT_TO_RIGHT = "\u200e"
"""A mark without width: after a right-to-left text it keeps a terminal from moving the cells behind that before it."""


def show_records(records: Sequence[RunRecord]) -> None:
    """Print a table of each task family by each main metric: a row a model and task, a column a metric."""
    families: dict[tuple[str, str], list[RunRecord]] = {}
    for record in records:
        families.setdefault((record.protocol.task.partition("/")[0], record.main_metric), []).append(record)
    for (family, _metric), members in families.items():
        header, rows = _family_table(members)
        show_table(family, header, rows)
        for line in reasons(members):
            click.echo(printable(line))


def show_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: drawn on a terminal, in parts where it is too wide for one; Markdown elsewhere."""
    header = [_one_line(cell) for cell in header]
    cells = [[_one_line(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        draw_table(_one_line(title), header, cells)
        return
    columns = list(zip(*cells, strict=True)) or [()] * len(header)
    rules = [" ---: " if _is_numeric(column) else " --- " for column in columns]
    click.echo(f"\n{_one_line(title)}\n")
    click.echo("| " + " | ".join(map(_escape_pipes, header)) + " |")
    click.echo("|" + "|".join(rules) + "|")
    for row in cells:
        click.echo("| " + " | ".join(map(_escape_pipes, row)) + " |")


def _one_line(text: str) -> str:
    return printable(text).replace("\n", " ").replace("\t", " ")


def _escape_pipes(cell: str) -> str:
    """Return a cell of Markdown that cannot end early: backslashes before a pipe must not take its escape away."""
    return re.sub(r"\\+(?=\|)", lambda found: "&#92;" * len(found[0]), cell).replace("|", "\\|")


def settle(text: str) -> str:
    """Return `text` so that what follows it on a terminal stays behind it, whatever its direction."""
    turned = any(unicodedata.bidirectional(char) in ("R", "AL", "AN") for char in text)
    return f"{_LEFT_TO_RIGHT}{text}{_LEFT_TO_RIGHT}" if turned else text


def draw_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Draw a table on the terminal, in parts where it is too wide for one; a cell may have several lines.

    Texts are shown as they are, so they must be printable.
    """
    from rich.cells import cell_len  # noqa: PLC0415 (only a terminal needs rich)
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = Console()
    columns = list(zip(header, *rows, strict=True))
    widths = [max(cell_len(line) for cell in column for line in cell.split("\n")) + 3 for column in columns]
    for part in split_columns(widths, console.width - 1):
        table = Table(title=Text(settle(title)))
        for index in part:
            numeric = _is_numeric(columns[index][1:])
            table.add_column(Text(settle(header[index])), justify="right" if numeric else "left", overflow="fold")
        for row in rows:
            table.add_row(*(Text(settle(row[index])) for index in part))
        console.print(table)


def split_columns(widths: Sequence[int], room: int) -> list[list[int]]:
    """Return the columns of each part of a table that is `room` wide; the first two stand in every part.

    A part has at least one column of its own, however wide; what is still too wide is folded, never cut.
    """
    keys = list(range(min(KEY_COLUMNS, len(widths))))
    parts: list[list[int]] = []
    for index in range(len(keys), len(widths)):
        last = parts[-1] if parts else []
        if last and sum(widths[each] for each in last) + widths[index] <= room:
            last.append(index)
        else:
            parts.append([*keys, index])
    return parts or [keys]


def _is_numeric(cells: Sequence[str]) -> bool:
    return any(cells) and all(not cell or cell[0].isdigit() or cell[0] in "-+" for cell in cells)


def _family_table(records: Sequence[RunRecord]) -> tuple[list[str], list[list[str]]]:
    metrics = list(dict.fromkeys(each.metric for record in records for each in record.estimates))
    shown = [name for name in metrics if not _says_nothing_new(name, records)]
    main = records[0].main_metric
    header = ["model", "task", "n", f"{main} [95%]", *(name for name in shown if name != main)]
    rows = []
    for record in records:
        found = {each.metric: each for each in record.estimates}
        asked = record.protocol.n * (record.protocol.repeats or 1)
        n = f"{record.counts.answered}/{asked}" if not _is_unlimited(record) else str(record.protocol.n)
        others = [_value(found.get(name)) for name in shown if name != main]
        rows.append([record.model.name, record.label, n, _interval(found.get(main)), *others])
    return header, rows


def _is_unlimited(record: RunRecord) -> bool:
    return record.counts.failed == record.counts.missing == 0


def _says_nothing_new(name: str, records: Sequence[RunRecord]) -> bool:
    """Whether a metric has no value anywhere, or is a variant that equals the original everywhere."""
    values = [{each.metric: each.value for each in record.estimates} for record in records]
    if all(row.get(name) is None for row in values):
        return True
    original = name.replace("_fixed", "").removesuffix("_cleaned")
    return original != name and all(row.get(name) == row.get(original) for row in values)


def _value(estimate: Estimate | None) -> str:
    return "" if estimate is None else _number(estimate, estimate.value)


def _interval(estimate: Estimate | None) -> str:
    if estimate is None or estimate.low is None or estimate.high is None:
        return _value(estimate)
    return f"{_value(estimate)} [{_number(estimate, estimate.low)}, {_number(estimate, estimate.high)}]"


def _number(estimate: Estimate, value: float | None) -> str:
    from ..metrics import decimals  # noqa: PLC0415 (numpy, which lists of tasks go without)

    return "" if value is None else f"{value:.{decimals(estimate.metric)}f}"


def reasons(records: Sequence[RunRecord], *, of_main: bool = False) -> list[str]:
    """Say why values are missing, or the interval of the main metric: "METRIC: reason", with the tasks if not all.

    `of_main`: of the main metric alone.
    """
    tasks: dict[tuple[str, str], list[str]] = {}
    for record in records:
        for each in record.estimates:
            if of_main and each.metric != record.main_metric:
                continue
            if each.reason is not None:
                tasks.setdefault((each.metric, each.reason), []).append(record.protocol.task)
            elif each.metric == record.main_metric and (why := no_interval(each.interval)) is not None:
                tasks.setdefault((each.metric, f"no interval: {why}"), []).append(record.protocol.task)
    return [
        f"{metric}: {reason}" + (f" ({', '.join(names)})" if len(names) < len(records) else "")
        for (metric, reason), names in tasks.items()
    ]
