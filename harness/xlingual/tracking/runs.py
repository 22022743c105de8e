"""What is tracked of evaluations: settings, every score with its interval, one table, and the result files."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..records import RunRecord
from .spool import Scalar, Tracker

HEADER = ("model", "task", "metric", "value", "low", "high", "n", "unscored", "signature")


def mirror_runs(tracker: Tracker, folders: Sequence[tuple[RunRecord, Path]], *, samples: bool) -> None:
    """Mirror the records of one model and what lies in their run folders.

    `samples` adds the files that hold questions and answers, which belong to others and may be private.
    """
    if not folders:
        return
    tracker.params(_shared([_params(record) for record, _ in folders]))
    for record, _ in folders:
        tracker.metrics(_numbers(record))
    tracker.table("scores.csv", HEADER, [row for record, _ in folders for row in _rows(record)])
    for record, folder in folders:
        suffix = f"-limit-{record.protocol.limit}" if record.protocol.limit else ""
        names = ["run.json", f"results{suffix}.json", *([f"samples{suffix}.jsonl"] if samples else [])]
        for name in names:
            tracker.file(folder / name, f"{record.protocol.task}/{name}")


def _params(record: RunRecord) -> dict[str, Scalar]:
    model, protocol = record.model, record.protocol
    return {
        "model": model.name,
        "backend": model.backend,
        "revision": model.revision,
        "fingerprint": model.fingerprint,
        "dtype": model.dtype,
        "parent": model.parent,
        "template": record.template,
        "limit": protocol.limit,
        "shots": protocol.shots,
        "seed": protocol.seed,
        "max_new_tokens": protocol.max_new_tokens,
        "on_overflow": protocol.on_overflow,
        "data": record.origin.value,
        **{f"version/{name}": version for name, version in record.versions.items()},
        **{f"scored_with/{name}": version for name, version in (record.scored_with or {}).items()},
        f"{protocol.task}/data_hash": protocol.data,
        f"{protocol.task}/task_version": protocol.task_version,
        f"{protocol.task}/n": protocol.n,
    }


def _shared(all_params: Sequence[Mapping[str, Scalar]]) -> dict[str, Scalar]:
    """Return every setting; where tasks differ in one, all of its values."""
    joined: dict[str, Scalar] = {}
    for name in dict.fromkeys(key for params in all_params for key in params):
        values = list(dict.fromkeys(params[name] for params in all_params if name in params))
        joined[name] = values[0] if len(values) == 1 else ", ".join(map(str, values))
    return joined


def _numbers(record: RunRecord) -> dict[str, float]:
    found: dict[str, float] = {}
    for each in record.estimates:
        start = f"{record.protocol.task}/{each.metric}"
        values = {start: each.value, f"{start}/low": each.low, f"{start}/high": each.high}
        found.update({name: value for name, value in values.items() if value is not None})
    counts = record.counts
    found.update({f"{record.protocol.task}/answered": counts.answered, f"{record.protocol.task}/failed": counts.failed})
    return found


def _rows(record: RunRecord) -> list[tuple[Scalar, ...]]:
    return [
        (record.model.name, record.protocol.task, each.metric, each.value, each.low, each.high, each.n, each.unscored,
         each.signature)
        for each in record.estimates
    ]  # fmt: skip
