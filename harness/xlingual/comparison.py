"""Two models on the same examples: differences with intervals and tests, from saved statistics alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import cast

from .errors import DataError, UsageError
from .estimate import paired_difference
from .files import read_json
from .files.json_file import CHANGED
from .identity import Json
from .metrics import find_metric
from .metrics.repeats import NAME as REPEAT_METRIC
from .records import Estimate, Protocol, RunRecord, Statistics
from .scoring import mean_statistics
from .serial import from_json
from .store import read_samples, walk_runs

COMPARED = tuple(each.name for each in fields(Protocol) if each.name not in ("template",))
"""Fields of a protocol that must be equal: all but the template, which suits each model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One metric of one task: how far the first model is ahead of the second."""

    task: str
    metric: str
    first: float
    second: float
    difference: float
    """First minus second, in points."""
    low: float | None
    high: float | None
    """95% interval of the difference; None with fewer than two clusters."""
    p: float | None
    """Two-sided, of the paired bootstrap clustered by paragraph or sentence."""
    n: int
    """Examples that both were scored on."""


@dataclass(frozen=True, slots=True)
class SavedRun:
    """A finished run: its record and its samples by example id, with repeats several of an example."""

    record: RunRecord
    samples: Mapping[str, Sequence[Mapping[str, Json]]]


def compare_runs(first: Path, second: Path, metrics: Sequence[str]) -> list[Comparison]:
    """Compare two run folders, or all tasks that two folders of runs share, by `metrics` (none: each task's main one).

    Raises UsageError where they share no task, DataError where two runs of a task differ in more than the model.
    """
    ours, theirs = _runs_by_task(first), _runs_by_task(second)
    shared = [task for task in ours if task in theirs]
    if not shared:
        hint = f"the first has {', '.join(ours)}, the second {', '.join(theirs)}"
        raise UsageError("no task has a finished run in both", where=f"{first} and {second}", hint=hint)
    found: list[Comparison] = []
    for task in shared:
        pair = (_load(ours[task]), _load(theirs[task]))
        found += [_compare(*pair, name) for name in metrics or (pair[0].record.main_metric,)]
    return found


def _runs_by_task(root: Path) -> dict[str, Path]:
    paths = sorted(path for path in walk_runs(root) if path.name == "results.json")
    if not paths:
        raise UsageError("no finished run here", where=str(root), hint="name a run folder or the folder of a model")
    found: dict[str, Path] = {}
    for path in paths:
        task = from_json(RunRecord, read_json(path), where=str(path)).protocol.task
        if task in found:
            hint = "name one run folder"
            raise UsageError(
                f"two runs of {task}: {found[task].name} and {path.parent.name}", where=str(root), hint=hint
            )
        found[task] = path.parent
    return found


def _load(folder: Path) -> SavedRun:
    record = from_json(RunRecord, read_json(folder / "results.json"), where=str(folder))
    samples: dict[str, list[Mapping[str, Json]]] = {}
    for sample in read_samples(folder):
        samples.setdefault(str(sample["id"]), []).append(sample)
    return SavedRun(record, samples)


def _compare(first: SavedRun, second: SavedRun, metric: str) -> Comparison:
    task = first.record.protocol.task
    if REPEAT_METRIC.fullmatch(metric):
        hint = "compare by the metric that it is made of"
        raise UsageError(f"{metric} is of whole runs, no single answer has it", where="--metric", hint=hint)
    estimates = [_estimate(run.record, metric) for run in (first, second)]
    differing = [name for name in COMPARED if _field(first, name) != _field(second, name)]
    if estimates[0].signature != estimates[1].signature:
        differing.append(f"signature of {metric}")
    if first.samples.keys() != second.samples.keys():
        differing.append("the examples of their samples")
    if differing:
        raise DataError(f"the runs differ in {', '.join(differing)}", where=task, hint="evaluate both the same way")
    ids = list(first.samples)
    rows = [
        [mean_statistics([_statistics(each, metric) for each in run.samples[name]]) for name in ids]
        for run in (first, second)
    ]
    if len({len(each) for row in rows for each in row if each is not None}) > 1:
        raise DataError(f"statistics of {metric} are not of one length", where=task, hint=CHANGED)
    clusters = [str(first.samples[each][0]["cluster"]) for each in ids]
    found = paired_difference(find_metric(metric), rows[0], rows[1], clusters)
    values = [estimate.value for estimate in estimates]
    if found is None or values[0] is None or values[1] is None:
        raise DataError(f"{metric} has no value in both runs", where=task, hint="choose another --metric")
    return Comparison(
        task=task,
        metric=metric,
        first=values[0],
        second=values[1],
        difference=found.difference,
        low=found.low,
        high=found.high,
        p=found.p,
        n=found.n,
    )


def _estimate(record: RunRecord, metric: str) -> Estimate:
    for each in record.estimates:
        if each.metric == metric:
            return each
    names = ", ".join(each.metric for each in record.estimates)
    raise UsageError(f"{record.protocol.task} has no metric {metric!r}", where="--metric", hint=f"it has {names}")


def _field(run: SavedRun, name: str) -> object:
    return getattr(run.record.protocol, name)


def _statistics(sample: Mapping[str, Json], metric: str) -> Statistics | None:
    statistics, where = cast(Mapping[str, Json], sample["statistics"]), f"sample {sample['id']}"
    values = statistics.get(metric, ())
    if values is None:
        return None
    if not isinstance(values, list):
        raise DataError(f"has no statistics of {metric}", where=where, hint=CHANGED)
    return tuple(from_json(float, each, where=where) for each in values)
