"""Whether a record says what its samples say: numbers that do not follow from them are not ranked."""

from dataclasses import dataclass

from ..errors import DataError, XlingualError
from ..metrics import find_metric
from .collection import RESULTS_FILE, CollectedRun
from .comparison import find_estimate
from .samples import SAMPLES_FILE, ScoreReader

EDITED = "edited"
"""Begins what is said of a run whose results and samples do not agree."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What the samples of a run say of its numbers."""

    fault: str | None = None
    """Why the run is not ranked."""
    note: str | None = None
    """What could not be checked."""


def check_run(run: CollectedRun, metric: str, scores: ScoreReader) -> Finding:
    """Compute the score of `run` by `metric` anew from its samples, and count them.

    A group of tasks has no samples of its own, and a limited run is never ranked: nothing is said of either.
    """
    estimate = find_estimate(run.record, metric)
    if run.path is None or run.is_group or run.path.name != RESULTS_FILE or estimate is None or estimate.value is None:
        return Finding()
    if not (run.path.parent / SAMPLES_FILE).is_file():
        return Finding(note="samples missing")
    try:
        known = find_metric(metric, task=run.record.protocol.task)
    except XlingualError:
        return Finding(note=f"not checked: {metric} is not known here")
    try:
        found = scores.read(run, known)
    except DataError as error:
        return Finding(fault=f"{EDITED}: {error.what.partition(chr(10))[0]}")
    if len(found) != estimate.n:
        return Finding(fault=f"{EDITED}: {len(found)} samples were scored, the results say {estimate.n}")
    return Finding()
