"""What an earlier command measured of the same answers: a model that judges them need not do so twice."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from .errors import DataError
from .files import read_json, read_json_lines
from .metrics import find_metric, is_own
from .metrics.extra import choose_extra
from .metrics.repeats import RepeatMetric
from .plugin import BatchMetric
from .records import Estimate, RunRecord, Statistics, TaskSpec
from .scoring import THINKING_METRIC, ExtraMetrics
from .serial import from_json


def extra_metrics(
    spec: TaskSpec, record: RunRecord | None, samples: Sequence[Mapping[str, object]], names: Sequence[str] = ()
) -> ExtraMetrics:
    """Return the metrics to compute besides those of a task: `names`, and those of the `record` of an earlier command.

    `samples` are the lines of that command, whose scores are taken as they are where nothing changed that they hang on;
    () measures all anew, as scoring stored answers again does: someone may have edited the lines.
    """
    before = () if record is None else tuple(each for each in record.estimates if _is_extra(each, spec))
    chosen = choose_extra(spec, [*names, *(each.metric for each in before)])
    known = {}
    for each in () if record is None else record.estimates:
        if each.value is not None and each.metric in (*chosen, *spec.metrics) and _is_current(each, spec.language):
            known[each.metric] = _by_answer(samples, each.metric)
    return ExtraMetrics(names=chosen, known=known)


def read_earlier(folder: Path, suffix: str) -> tuple[RunRecord | None, list[Mapping[str, object]]]:
    """Return record and lines of an earlier command in a run folder; None and [] where there is nothing sound.

    Lines are not read where no metric takes so long that its scores are worth keeping.
    """
    path, samples = folder / f"results{suffix}.json", folder / f"samples{suffix}.jsonl"
    try:
        if not path.is_file() or not samples.is_file():
            return None, []
        record = from_json(RunRecord, read_json(path), where=str(path))
        if not any(_takes_long(each.metric) for each in record.estimates):
            return record, []
        return record, list(read_json_lines(samples))
    except DataError:  # both are written anew
        return None, []


def _is_extra(found: Estimate, spec: TaskSpec) -> bool:
    """Return whether a metric was computed though it is none of the task's own."""
    if found.metric in (*spec.metrics, THINKING_METRIC) or not is_own(found.metric):
        return False
    return not isinstance(find_metric(found.metric), RepeatMetric)


def _is_current(found: Estimate, language: str) -> bool:
    """Return whether scores of a metric that takes long would be the same today."""
    if not _takes_long(found.metric):
        return False
    return f"{found.signature}|".startswith(f"{find_metric(found.metric).signature(language)}|")


def _takes_long(metric: str) -> bool:
    return is_own(metric) and isinstance(find_metric(metric), BatchMetric)


def _by_answer(samples: Sequence[Mapping[str, object]], metric: str) -> dict[tuple[str, str], Statistics]:
    """Return the statistics of a metric by the example's id and the text that was scored."""
    found: dict[tuple[str, str], Statistics] = {}
    for sample in samples:
        statistics = sample.get("statistics")
        row = statistics.get(metric) if isinstance(statistics, dict) else None
        text = sample.get("scored", sample.get("answer"))
        if isinstance(row, list) and isinstance(text, str) and all(isinstance(each, float | int) for each in row):
            found[str(sample.get("id")), text] = tuple(float(each) for each in row)
    return found
