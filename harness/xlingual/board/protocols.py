"""One protocol a table: the one that the leaderboard names, or the one that most models share over all columns."""

import dataclasses
from collections.abc import Mapping, Sequence

from ..identity import Json, canonical_json
from ..metrics import LM_EVAL_PREFIX
from ..records import Protocol, RunRecord
from ..serial import to_json
from .collection import CollectedRun
from .comparison import choose_reference, show_field
from .controls import find_control
from .rows import ProtocolDifference

_OF_THE_TASK = frozenset({"task", "task_version", "split", "data", "n", "limit", "prompts", "max_new_tokens", "stop"})
"""Fields that tasks of one family may set each for itself; they are compared within a column."""
_OF_LM_EVAL_TASKS = frozenset({"shots", "seed"})
"""lm-eval's tasks also say how many demonstrations they want."""
_FIELDS = tuple(field.name for field in dataclasses.fields(Protocol) if field.name not in _OF_THE_TASK)

Asking = Mapping[str, Json]
"""How questions were put: the fields of a Protocol that must be the same in all columns of a table."""


def find_asking(record: RunRecord) -> Asking:
    """Return how the questions of `record` were put."""
    skipped = _OF_LM_EVAL_TASKS if record.main_metric.startswith(LM_EVAL_PREFIX) else frozenset()
    return {name: to_json(getattr(record.protocol, name)) for name in _FIELDS if name not in skipped}


def choose_asking(columns: Mapping[str, Sequence[CollectedRun]], wanted: Mapping[str, Json]) -> Asking | None:
    """Return how the questions of a table are put; None where no run has what the leaderboard's `wanted` says.

    It is the one that lets the most scores stand beside another model's, over all columns; of equal ones that of the
    newest run. Controls vote only where there is nothing else, and so do limited runs.
    """
    runs = [run for found in columns.values() for run in found]
    runs = [run for run in runs if find_control(run.record.model) is None] or runs
    runs = [run for run in runs if run.record.protocol.limit is None] or runs
    groups: dict[str, list[CollectedRun]] = {}
    for run in runs:
        if fits(run.record, wanted):
            groups.setdefault(canonical_json(find_asking(run.record)), []).append(run)

    def weight(key: str) -> tuple[int, int, str, str]:
        models: dict[str, set[str]] = {}
        for run in groups[key]:
            models.setdefault(run.record.protocol.task, set()).add(run.record.model.fingerprint)
        newest = max(run.finished for run in groups[key]).isoformat(timespec="microseconds")
        return sum(len(found) - 1 for found in models.values()), sum(map(len, models.values())), newest, key

    return find_asking(groups[max(groups, key=weight)][0].record) if groups else None


def fits(record: RunRecord, wanted: Mapping[str, Json]) -> bool:
    """Return whether `record` was made by the protocol that a leaderboard names."""
    return all(to_json(getattr(record.protocol, name)) == value for name, value in wanted.items())


def choose_column(
    runs: Sequence[CollectedRun], metric: str, asking: Asking | None, wanted: Mapping[str, Json]
) -> CollectedRun | None:
    """Return the run that the others of a column are compared with; None where none was asked in the table's way."""
    alike = [run for run in runs if find_asking(run.record) == asking and fits(run.record, wanted)]
    voting = [run for run in alike if find_control(run.record.model) is None] or alike
    return choose_reference(voting, metric) if voting else None


def differs_from_table(
    record: RunRecord, asking: Asking | None, wanted: Mapping[str, Json]
) -> tuple[ProtocolDifference, ...]:
    """Return in which fields `record` was asked otherwise than the table, or than the leaderboard says."""
    mine: Mapping[str, Json] = {name: to_json(getattr(record.protocol, name)) for name in (*_FIELDS, *wanted)}
    return tuple(
        ProtocolDifference(
            field=name, run=show_field(name, mine[name], value), ranked=show_field(name, value, mine[name])
        )
        for name, value in {**(asking or {}), **wanted}.items()
        if mine[name] != value
    )
