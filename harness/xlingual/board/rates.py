"""The diagnostics below a table: how often answers were off target, empty, copied or cut."""

import re
from collections.abc import Mapping, Sequence

from .cells import make_cell
from .comparison import find_estimate
from .headline import Shown
from .ranking import missing_cell
from .rows import BoardRow, BoardTable, RateRow, RateTable
from .spec import RATES

_FALSE_ALARMS = re.compile(r"\|false-alarms:([0-9.]+)%")


def fill_rates(shown_table: BoardTable, shown: Shown, labels: Mapping[str, str]) -> list[RateTable]:
    """Return the diagnostics of the runs that a table shows: a list of one, or of none where no run has any."""
    columns = shown_table.columns
    ordered: Sequence[BoardRow] = shown_table.rows
    rows = [
        RateRow(
            model=labels[row.fingerprint],
            metric=metric,
            cells=tuple(
                make_cell(runs[column.task].record, metric) if column.task in runs else missing_cell(column.task)
                for column in columns
            ),
        )
        for row in ordered
        for runs in [shown[row.fingerprint]]
        for metric in RATES
        if any(find_estimate(run.record, metric) for run in runs.values())
    ]
    variants = tuple(column.variant for column in columns)
    judged = any(row.metric.endswith("off_target") for row in rows)
    alarms = tuple(_false_alarms(column.task, shown) for column in columns) if judged else None
    table = RateTable(family=shown_table.family, variants=variants, rows=tuple(rows), false_alarms=alarms)
    return [table] if rows else []


def _false_alarms(task: str, shown: Shown) -> float:
    """Return how often the identifier of the runs on `task` calls a correct text wrong, which its signature says."""
    for runs in shown.values():
        estimate = find_estimate(runs[task].record, "off_target") if task in runs else None
        if estimate is not None and (said := _FALSE_ALARMS.search(estimate.signature)):
            return float(said[1])
    return 0.0
