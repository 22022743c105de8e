"""Which numbers of a run do not follow from its samples: the page marks them, as a leaderboard does not rank them."""

from collections.abc import Mapping, Sequence

import numpy as np

from ..board.collection import CollectedRun
from ..board.integrity import check_scores, hash_fault
from ..board.samples import ROUNDING, ScoreReader
from ..errors import XlingualError
from ..identity import Json
from ..metrics import find_metric
from ..records import Estimate


def find_faults(run: CollectedRun, lines: Sequence[Mapping[str, Json]]) -> Mapping[str, str]:
    """Return by metric why a leaderboard would not rank its number, from the lines of the run's samples.

    The main metric is checked as leaderboards do it. The others are too where they do not add up at once: a page has a
    dozen metrics, and most of its time would go into checks that find nothing. An edit that no metric shows, of the
    model's name, is the main metric's.
    """
    record, scores = run.record, ScoreReader()
    main = check_scores(run, record.main_metric, scores, lines).fault
    found = {record.main_metric: main}
    for each in record.estimates:
        if each.metric != record.main_metric and (main is not None or not _adds_up(each, record.protocol.task, lines)):
            found[each.metric] = check_scores(run, each.metric, scores, lines).fault
    faults = {metric: fault for metric, fault in found.items() if fault is not None}
    if not faults and (edited := hash_fault(run)) is not None:
        return {record.main_metric: edited}
    return faults


def _adds_up(estimate: Estimate, task: str, lines: Sequence[Mapping[str, Json]]) -> bool:
    """Return whether the sums over all lines surely give the value and the count; False where they may all the same."""
    columns = [
        statistics.get(estimate.metric) for line in lines if isinstance(statistics := line.get("statistics"), Mapping)
    ]
    try:
        rows = np.asarray([values for values in columns if values is not None], dtype=np.float64)
        if estimate.value is None or rows.ndim != 2 or len(rows) != estimate.n:
            return estimate.value is None
        value = float(find_metric(estimate.metric, task=task).combine(rows.sum(axis=0)))
    except (XlingualError, TypeError, ValueError, OverflowError):
        return False
    return abs(value - estimate.value) <= ROUNDING
