"""Two models on the same examples: differences with intervals and tests, from saved statistics alone."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import cast

from .errors import DataError, UsageError
from .files import read_json
from .files.json_file import CHANGED
from .identity import Json
from .metrics import find_metric
from .metrics.repeats import NAME as REPEAT_METRIC
from .records import Estimate, Protocol, RunRecord, Statistics
from .scoring import mean_statistics
from .serial import from_json
from .statistics.multiple import holm
from .statistics.paired import Difference, paired_difference
from .statistics.signflip import ALPHA
from .store import read_samples, walk_runs

_RESULTS = re.compile(r"results(-limit-[0-9-]+)?\.json")
COMPARED = tuple(each.name for each in fields(Protocol) if each.name not in ("template",))
"""Fields of a protocol that must be equal: all but the template, which suits each model."""


class Verdict(StrEnum):
    """Whether the first model is worse than the second."""

    WORSE = "worse"
    NOT_WORSE = "not worse"
    CANNOT_TELL = "cannot tell"
    """The examples are too few to say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One metric of one task: how far the first model is ahead of the second on the examples that both were scored on.

    Most fields are those of `statistics.paired.Difference`.
    """

    task: str
    metric: str
    first: float
    second: float
    """On the examples that both were scored on."""
    difference: float
    """First minus second, in points."""
    low: float | None
    high: float | None
    """95% interval of the difference; None with too few clusters, see `method`."""
    p: float
    """Two-sided, of a difference as large as this if there is none."""
    p_holm: float
    """The same, corrected by Holm's method for all comparisons that were made together."""
    n: int
    """Examples that both were scored on."""
    examples: int
    """Examples that were asked, scored or not."""
    first_n: int
    second_n: int
    """Examples that each was scored on."""
    clusters: int
    clustered_by: str
    """"group" (an article), "cluster" (a paragraph) or "example"."""
    method: str
    """How interval and p-value were found."""
    ahead: int | None
    behind: int | None
    """Examples on which the first scored higher, and lower; None for BLEU and chrF."""
    detectable: float | None
    """Points from which on such examples would show a difference with a chance of 80%; None without an interval."""
    verdict: Verdict
    """Whether the first is worse by more than the margin, at 5% over all comparisons together."""
    limit: str | None = None
    """Which examples of the task were asked, "1-40"; None for all."""
    lost: int = 0
    """Examples that failed at the first, and that the second was scored on."""


@dataclass(frozen=True, slots=True)
class SavedRun:
    """A finished run: its record and its samples by example id, with repeats several of an example."""

    record: RunRecord
    samples: Mapping[str, Sequence[Mapping[str, Json]]]


def compare_runs(first: Path, second: Path, metrics: Sequence[str], margin: float = 0.0) -> list[Comparison]:
    """Compare two run folders, or all tasks that two folders of runs share, by `metrics` (none: each task's main one).

    `margin` is how many points the first may lose without being called worse.

    Raises UsageError where they share no task, DataError where two runs of a task differ in more than the model.
    """
    ours, theirs = _runs_by_task(first), _runs_by_task(second)
    shared = [task for task in ours if task in theirs]
    if not shared:
        hint = f"the first has {', '.join(ours)}, the second {', '.join(theirs)}"
        raise UsageError("no task has a finished run in both", where=f"{first} and {second}", hint=hint)
    found: list[Comparison] = []
    p_behind: list[tuple[float, float]] = []
    for task in shared:
        pair = (_load(ours[task]), _load(theirs[task]))
        for name in metrics or (pair[0].record.main_metric,):
            comparison, p = _compare(*pair, name, margin)
            found.append(comparison)
            p_behind.append(p)
    corrected = holm([each.p for each in found])
    sure = zip(*(holm(each) for each in zip(*p_behind, strict=True)), strict=True)
    return [
        replace(each, p_holm=p, verdict=_judge(each, margin, (behind[0] <= ALPHA, behind[1] <= ALPHA)))
        for each, p, behind in zip(found, corrected, sure, strict=True)
    ]


def overall_verdict(comparisons: Sequence[Comparison]) -> Verdict:
    """Return "worse" where one comparison says so, else "cannot tell" where one does, else "not worse"."""
    found = {each.verdict for each in comparisons}
    return next(each for each in (Verdict.WORSE, Verdict.CANNOT_TELL, Verdict.NOT_WORSE) if each in found)


def _judge(comparison: Comparison, margin: float, sure: tuple[bool, bool]) -> Verdict:
    """Say whether the first is worse.

    `sure`: its difference from minus the margin, and from minus what `_left_of` leaves of it, is no chance. A first
    that is behind on no single example is not worse, however few examples there are.
    """
    higher = find_metric(comparison.metric, task=comparison.task).higher_is_better
    left = _left_of(margin, comparison.n, comparison.lost)
    if (comparison.behind if higher else comparison.ahead) == 0:
        return Verdict.NOT_WORSE if left >= 0 else Verdict.CANNOT_TELL
    lead = comparison.difference if higher else -comparison.difference
    if sure[0] and lead <= -margin:
        return Verdict.WORSE
    return Verdict.NOT_WORSE if left >= 0 and sure[1] and lead > -left else Verdict.CANNOT_TELL


def _left_of(margin: float, n: int, lost: int) -> float:
    """Return what is left of a margin, in points, if the first is wrong wherever it alone has failed; else below 0."""
    return margin - 100 * lost / (n + lost)


def _runs_by_task(root: Path) -> dict[str, Path]:
    """Return the results file of each task: that of the whole run, else the one of a limited run."""
    paths = _results_files(root)
    if not paths:
        raise UsageError("no finished run here", where=str(root), hint="name a run folder or the folder of a model")
    found: dict[str, Path] = {}
    for path in paths:
        task = from_json(RunRecord, read_json(path), where=str(path)).protocol.task
        if task in found:
            names = [
                each.name if found[task].parent == path.parent else each.parent.name for each in (found[task], path)
            ]
            hint = "name one results file" if found[task].parent == path.parent else "name one run folder"
            raise UsageError(f"two runs of {task}: {names[0]} and {names[1]}", where=str(root), hint=hint)
        found[task] = path
    return found


def _results_files(root: Path) -> list[Path]:
    if root.is_file():
        return [root]
    found = sorted(path for path in walk_runs(root) if _RESULTS.fullmatch(path.name))
    whole = {path.parent for path in found if path.name == "results.json"}
    return [path for path in found if path.name == "results.json" or path.parent not in whole]


def _load(path: Path) -> SavedRun:
    record = from_json(RunRecord, read_json(path), where=str(path))
    samples: dict[str, list[Mapping[str, Json]]] = {}
    name = path.name.replace("results", "samples", 1) + "l"
    for sample in read_samples(path.parent, name, expected=record.protocol.n * (record.protocol.repeats or 1)):
        samples.setdefault(str(sample["id"]), []).append(sample)
    return SavedRun(record, samples)


def _compare(first: SavedRun, second: SavedRun, metric: str, margin: float) -> tuple[Comparison, tuple[float, float]]:
    """Return the comparison, and the p-values of the first being behind by just the margin, and by what is left of it.

    What is left is that of `_left_of`, at least 0.
    """
    task = first.record.protocol.task
    _check_alike(first, second, metric)
    ids = list(first.samples)
    rows = [
        [mean_statistics([_statistics(each, metric) for each in run.samples[name]]) for name in ids]
        for run in (first, second)
    ]
    if len({len(each) for row in rows for each in row if each is not None}) > 1:
        raise DataError(f"statistics of {metric} are not of one length", where=task, hint=CHANGED)
    measure = find_metric(metric, task=task)
    clusters = [str(first.samples[each][0]["cluster"]) for each in ids]

    def compare_by(points: float) -> Difference:
        signed = points if measure.higher_is_better else -points
        groups = _groups(first, second, ids)
        found = paired_difference(measure, rows[0], rows[1], clusters, groups=groups, margin=signed)
        if found is None:
            raise DataError(f"{metric} has no value in both runs", where=task, hint="choose another --metric")
        return found

    found = compare_by(margin)
    failed = [any(each.get("failure") is not None for each in first.samples[name]) for name in ids]
    lost = sum(gone and ours is None and theirs is not None for gone, ours, theirs in zip(failed, *rows, strict=True))
    scored = [sum(each is not None for each in row) for row in rows]
    made = _describe(task, metric, found, (len(ids), scored[0], scored[1]))
    left = max(0.0, _left_of(margin, found.n, lost))
    p_behind = (found.p_behind, compare_by(left).p_behind if lost else found.p_behind)
    return replace(made, limit=first.record.protocol.limit, lost=lost), p_behind


def _check_alike(first: SavedRun, second: SavedRun, metric: str) -> None:
    """Raise UsageError for a metric that a run lacks, DataError where the runs differ in more than the model."""
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


def _groups(first: SavedRun, second: SavedRun, ids: Sequence[str]) -> list[str] | None:
    """Return the article of every example, from whichever run says it; None where both are from before they did."""
    for run in (first, second):
        found = [run.samples[each][0].get("group") for each in ids]
        if all(isinstance(each, str) for each in found):
            return [str(each) for each in found]
    return None


def _describe(task: str, metric: str, found: Difference, counts: tuple[int, int, int]) -> Comparison:
    return Comparison(
        task=task,
        metric=metric,
        first=found.first,
        second=found.second,
        difference=found.difference,
        low=found.low,
        high=found.high,
        p=found.p,
        p_holm=found.p,
        n=found.n,
        examples=counts[0],
        first_n=counts[1],
        second_n=counts[2],
        clusters=found.clusters,
        clustered_by=found.clustered_by,
        method=found.method,
        ahead=found.ahead,
        behind=found.behind,
        detectable=found.detectable,
        verdict=Verdict.CANNOT_TELL,
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
