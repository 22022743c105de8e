"""The headline: averages and gains over several benchmarks together, as the x-LLaMA paper has them over two."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ..identity import canonical_json
from .collection import CollectedRun
from .inference import infer_table
from .protocols import find_asking
from .ranking import TableModels, least_baseline, leave_none_alone, make_rows
from .rows import BoardTable, Cell

Shown = Mapping[str, Mapping[str, CollectedRun]]
"""The runs behind the cells of a table, by fingerprint and task."""


def combine_tables(
    tables: Sequence[tuple[BoardTable, Shown]], labels: Mapping[str, str], baseline: str | None
) -> tuple[BoardTable, ...]:
    """Return a table over all columns of those `tables` that share a metric and have the baseline: none for one alone.

    `baseline` is a fingerprint. Tables of unlike protocols are not combined. Every column has equal
    weight; benchmarks without a common item are drawn apart.
    """
    alike: dict[tuple[str, str], list[tuple[BoardTable, Shown]]] = {}
    for table, shown in tables:
        if table.baseline is not None and baseline is not None:
            record = next(iter(shown[baseline].values())).record
            alike.setdefault((table.metric, canonical_json(find_asking(record))), []).append((table, shown))
    return tuple(_combine(found, labels, baseline) for found in alike.values() if len(found) > 1)


def _combine(found: Sequence[tuple[BoardTable, Shown]], labels: Mapping[str, str], baseline: str | None) -> BoardTable:
    first = found[0][0]
    columns = [column for table, _ in found for column in table.columns]
    cells: dict[str, dict[str, Cell]] = {}
    runs: dict[str, dict[str, CollectedRun]] = {}
    for table, shown in found:
        for row in table.rows:
            cells.setdefault(row.fingerprint, {}).update({cell.task: cell for cell in row.cells})
            runs.setdefault(row.fingerprint, {}).update(shown[row.fingerprint])
    rows = [row for table, _ in found for row in table.rows]
    models = TableModels(
        labels=labels,
        controls={row.fingerprint: row.control for row in rows if row.control is not None},
        notes={},
        baseline=baseline,
        ranked_columns=tuple(task for table, _ in found for task in table.ranked_columns),
        least_baseline=least_baseline(first.metric, columns[0].task),
    )
    table = BoardTable(
        family=" and ".join(table.family for table, _ in found),
        metric=first.metric,
        higher_is_better=first.higher_is_better,
        baseline=first.baseline,
        columns=tuple(columns),
        rows=make_rows(cells, columns, models, higher_is_better=first.higher_is_better),
        ranked_columns=models.ranked_columns,
    )
    table = infer_table(table, runs)
    return replace(table, rows=leave_none_alone(table.rows, others=False))
