"""Scores of single examples behind the cells of a leaderboard, from the samples beside their results."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..errors import DataError, EnvironmentFault
from ..files.json_file import CHANGED
from ..identity import Json
from ..metrics.repeats import RepeatMetric, majority, pass_at
from ..plugin import Metric
from ..records import Statistics
from ..scoring import mean_statistics
from ..statistics.clusters import read_values
from ..statistics.parallel import Scored, ScoredExample
from ..store import read_samples
from .collection import RESULTS_FILE, CollectedRun
from .comparison import find_estimate

SAMPLES_FILE = "samples.jsonl"
ROUNDING = 1e-6
"""How far a score or an interval may be from the recorded one, in the units of the metric."""


@dataclass(frozen=True, slots=True)
class ScoreReader:
    """Reads the scores of runs, those of each run and metric once: a table needs them twice."""

    _read: dict[tuple[str, str], Scored] = field(default_factory=dict)

    def read(self, run: CollectedRun, metric: Metric, samples: Sequence[Mapping[str, Json]] | None = None) -> Scored:
        """Return `read_scores`, from memory where it was asked before."""
        key = (run.where, metric.name)
        if key not in self._read:
            self._read[key] = read_scores(run, metric, samples)
        return self._read[key]


def read_scores(run: CollectedRun, metric: Metric, samples: Sequence[Mapping[str, Json]] | None = None) -> Scored:
    """Return what each scored example of `run` adds to `metric`, by id; with repeats the mean of its answers.

    `samples` are the lines of its file, where they have been read already.

    Raises DataError where there are no samples, where a line is none of ours, and where the samples do not give the
    score that the results have: one of the two files was changed. EnvironmentFault where the machine does not read it.
    """
    if run.path is None or run.is_group or run.path.name != RESULTS_FILE:
        raise DataError("has no samples", where=run.where)
    try:
        samples = read_samples(run.path.parent) if samples is None else samples
    except DataError as error:
        raise DataError("its samples cannot be read", where=run.where) from error
    except EnvironmentFault as error:
        raise EnvironmentFault(f"its samples: {error.what}", where=run.where) from error
    answers: dict[str, list[Mapping[str, Json]]] = {}
    for sample in samples:
        answers.setdefault(str(sample["id"]), []).append(sample)
    found: dict[str, ScoredExample] = {}
    for identifier, lines in answers.items():
        if isinstance(metric, RepeatMetric):
            statistics = _of_repeats(metric, run, lines)
        else:
            statistics = mean_statistics([_statistics(line, metric.name, run.where) for line in lines])
        if statistics is not None:
            group = lines[0].get("group")
            found[identifier] = ScoredExample(
                statistics=statistics,
                cluster=str(lines[0]["cluster"]),
                group=group if isinstance(group, str) else None,
            )
    _check(run, metric, found)
    return found


def _statistics(line: Mapping[str, Json], metric: str, where: str) -> Statistics | None:
    statistics = line["statistics"]
    values = statistics.get(metric) if isinstance(statistics, Mapping) else None
    if values is None:
        return None
    numbers = [each for each in values if isinstance(each, int | float)] if isinstance(values, list) else []
    if not numbers or not isinstance(values, list) or len(numbers) != len(values):
        raise DataError(f"sample {line['id']} has no statistics of {metric}", where=where, hint=CHANGED)
    return tuple(float(each) for each in numbers)


def _of_repeats(metric: RepeatMetric, run: CollectedRun, lines: Sequence[Mapping[str, Json]]) -> Statistics | None:
    """Return what one question adds to pass@k or maj@n, whose single answers have the scores of another metric.

    The signature of the score begins with that of the other metric.
    """
    recorded = find_estimate(run.record, metric.name)
    of = recorded.signature.rpartition("|repeats:")[0] if recorded is not None else ""
    name = next((each.metric for each in run.record.estimates if each.signature == of), metric.name)
    measured = [(_read_text(line), _statistics(line, name, run.where)) for line in lines]
    scored = [(text, row[0]) for text, row in measured if row is not None]
    kind, _, count = metric.name.partition("@")
    scores = [score for _, score in scored]
    value = pass_at(scores, int(count)) if kind == "pass" else majority([text for text, _ in scored], scores)
    return None if value is None else (value, 1.0)


def _read_text(line: Mapping[str, Json]) -> str:
    """Return what the metrics saw of an answer."""
    text = line.get("scored", line.get("answer"))
    return text if isinstance(text, str) else ""


def _check(run: CollectedRun, metric: Metric, found: Scored) -> None:
    estimate = find_estimate(run.record, metric.name)
    if not found or estimate is None or estimate.value is None:
        raise DataError(f"its samples have no {metric.name}", where=run.where, hint=CHANGED)
    rows = [each.statistics for each in found.values()]
    sums = read_values(rows, range(len(rows)), metric.name).sum(axis=0)
    if not abs(float(metric.combine(sums)) - estimate.value) <= ROUNDING:
        raise DataError(f"its samples do not give its {metric.name}", where=run.where, hint=CHANGED)


def common_ids(rows: Sequence[Scored]) -> list[str]:
    """Return the ids that all of `rows` have, in the order of the first."""
    return [each for each in rows[0] if all(each in row for row in rows[1:])]
