"""From a run record to a cell: the score, whether it may be averaged and ranked, and if not, why."""

from ..records import Estimate, RunRecord
from .comparison import find_estimate
from .controls import find_control
from .marks import describe_mark, find_marks
from .rows import Cell, CellState
from .thresholds import MOST_UNFINISHED


def make_cell(record: RunRecord, metric: str, fault: str | None = None) -> Cell:
    """Return what `record` has for `metric`, as complete only if every example of the split was answered and scored.

    `fault` says why the record is not believed, and `marks` how the score was reached: one above its bar keeps the cell
    from averages and ranks.
    """
    estimate = find_estimate(record, metric)
    # What marks a model is what a control is there for: `passage` copies all of the passage.
    protocol, marks = record.protocol, () if find_control(record.model) else find_marks(record, metric)
    reason: str | None
    if estimate is None or estimate.value is None:
        reason = (estimate.reason or "no reason was given") if estimate else f"the run does not have {metric}"
        state, scored = CellState.NOT_COMPUTED, 0
    else:
        state, scored = _judge(record, estimate), _scored(record, estimate)
        reason = _unfinished(record) if state is CellState.INCOMPLETE else None
        barred = fault or next((describe_mark(mark) for mark in marks if mark.barred), None)
        if state is CellState.COMPLETE and barred is not None:
            state, reason = CellState.MARKED, barred
    value = estimate.value if estimate else None
    return Cell(
        task=protocol.task,
        state=state,
        value=value,
        low=estimate.low if estimate and value is not None else None,
        high=estimate.high if estimate and value is not None else None,
        n=scored,
        expected=protocol.n,
        limit=protocol.limit,
        reason=reason,
        interval=estimate.interval if estimate else None,
        clusters=estimate.clusters if estimate else None,
        clustered_by=estimate.clustered_by if estimate else None,
        icc=estimate.icc if estimate else None,
        effective_n=estimate.effective_n if estimate else None,
        marks=marks,
    )


def _judge(record: RunRecord, estimate: Estimate) -> CellState:
    if record.protocol.limit is not None:
        return CellState.LIMITED
    unscored = record.protocol.n - estimate.n
    allowed = (record.counts.unfinished_thinking or 0) if _unfinished(record) is None else 0
    whole = record.complete and unscored == estimate.unscored and unscored <= allowed
    return CellState.COMPLETE if whole else CellState.INCOMPLETE


def _unfinished(record: RunRecord) -> str | None:
    """Return what is said of a run with too many answers that ended inside the thinking; None for any other."""
    share = 100.0 * (record.counts.unfinished_thinking or 0) / max(1, record.counts.answered)
    return f"{share:.1f}% unfinished thinking" if share > MOST_UNFINISHED else None


def _scored(record: RunRecord, estimate: Estimate) -> int:
    """Return how many examples stand behind the value; failures that were scored as answers do not count."""
    answered = record.protocol.n - record.counts.failed - record.counts.missing
    return max(0, min(estimate.n, answered, record.protocol.n - estimate.unscored))
