"""What must be the same for two scores to stand in one column, and which of several protocols a column takes."""

import dataclasses
from collections.abc import Mapping, Sequence

from ..identity import Json, canonical_json
from ..metrics import LOWER_SUFFIX, is_own
from ..records import Estimate, Protocol, RunRecord
from ..serial import to_json
from .collection import CollectedRun
from .rows import ProtocolDifference

METRIC_SIGNATURE = "metric signature"
HASH_DIGITS = 12
_COMPARED = tuple(field.name for field in dataclasses.fields(Protocol) if field.name != "task")
_OF_THE_PART = frozenset({"limit", "n", "data", "prompts"})
"""Fields that a limited run cannot share with a whole one."""
_HASHES = frozenset({"data", "prompts"})

Signature = Mapping[str, Json]
"""The compared fields of a run on a task by a metric; the metric's own is absent where it has no value."""


def find_estimate(record: RunRecord, metric: str) -> Estimate | None:
    """Return what `record` has for `metric`, or None."""
    return next((estimate for estimate in record.estimates if estimate.metric == metric), None)


def run_signature(record: RunRecord, metric: str) -> Signature:
    """Return all that must match for the score of `record` by `metric` to be compared."""
    signature: dict[str, Json] = {name: to_json(getattr(record.protocol, name)) for name in _COMPARED}
    estimate = find_estimate(record, metric)
    if estimate is not None and estimate.value is not None:
        signature[METRIC_SIGNATURE] = estimate.signature
    return signature


def choose_reference(runs: Sequence[CollectedRun], metric: str) -> CollectedRun:
    """Return a run with the signature that most models share; of equally shared ones, that of the newest run.

    `runs` are of one task and not empty. Complete runs go before limited ones, runs with a value before those without.
    """
    whole = [run for run in runs if run.record.protocol.limit is None] or runs
    valued = [run for run in whole if METRIC_SIGNATURE in run_signature(run.record, metric)] or whole
    groups: dict[str, list[CollectedRun]] = {}
    for run in valued:
        groups.setdefault(canonical_json(run_signature(run.record, metric)), []).append(run)

    def weight(key: str) -> tuple[int, str, str]:
        models = {run.record.model.fingerprint for run in groups[key]}
        return len(models), max(run.finished for run in groups[key]).isoformat(timespec="microseconds"), key

    return max(groups[max(groups, key=weight)], key=lambda run: (run.finished, run.where))


def find_differences(run: RunRecord, reference: RunRecord, metric: str) -> tuple[ProtocolDifference, ...]:
    """Return every compared field in which `run` is not like `reference`; none: the two may be ranked together.

    A limited run is compared in what it could share with a whole one: it is shown, but never ranked.
    """
    mine, theirs = run_signature(run, metric), run_signature(reference, metric)
    skipped = _OF_THE_PART if run.protocol.limit is not None else frozenset()
    return tuple(
        ProtocolDifference(
            field=name, run=show_field(name, mine[name], value), ranked=show_field(name, value, mine[name])
        )
        for name, value in theirs.items()
        if name in mine and name not in skipped and mine[name] != value
    )


def show_field(name: str, value: Json, other: Json) -> str:
    """Return the `value` of a field in words, with as much of a hash as tells it from `other`."""
    if name in _HASHES and str(value)[:HASH_DIGITS] != str(other)[:HASH_DIGITS]:
        return str(value)[:HASH_DIGITS]
    if value is None:
        return "the template's own" if name == "stop" else "none"
    return value if isinstance(value, str) else canonical_json(value)


def is_higher_better(metric: str, records: Sequence[RunRecord]) -> bool:
    """Return the direction that most records declare; xlingual's own metrics and older records go by the name."""
    found = [estimate.higher_is_better for record in records if (estimate := find_estimate(record, metric)) is not None]
    declared = [each for each in found if each is not None]
    if not declared or is_own(metric):
        return not metric.endswith(LOWER_SUFFIX)
    return 2 * sum(declared) >= len(declared)
