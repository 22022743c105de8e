"""Log-likelihoods of choices by the paged engine: prompts alone, in steps like those of generation.

    context A B C, choices D E and F        texts A B C D and A B C: what is read before the last token

What stands before the choices is computed once, and shared by its pages. The tokens whose scores are wanted are
computed by the row of their own text; only they reach the vocabulary, so few in a step that their scores stay within a
budget of memory.
"""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from xlingual.records import Failure, Response

from ..limits import RowLimit, attempt
from ..loaded_model import LoadedModel
from ..scoring import (
    ScoredToken,
    WindowsByText,
    finish_windows,
    max_scored_positions,
    open_scoring_requests,
    record_scores,
)
from ..tokens.choices import TokenizedChoices
from ..tokens.rendering import Rendered
from .engine import LaunchedStep, PagedEngine
from .forward import paged_attention
from .recovery import StepFailure, Unfinished, new_scheduler, run_sequences, too_long
from .scheduler import Scheduler
from .sequences import PagedSequence, StepPlan, new_sequence


@dataclass(slots=True)
class PagedScoring:
    """Texts on their way to their scores."""

    engine: PagedEngine
    scheduler: Scheduler
    windows: WindowsByText
    unfinished: Unfinished


def score_paged(loaded: LoadedModel, tokenized: Sequence[TokenizedChoices], limit: RowLimit) -> Iterator[Response]:
    """Score every choice and yield each response as soon as its choices are known; `loaded` has a paged engine."""
    engine = loaded.paged
    if engine is None:
        raise ValueError("the model has no paged engine")
    windows = open_scoring_requests(tokenized)
    sequences = [_new_text(windows, ids, order) for order, ids in enumerate(sorted(windows))]
    longest = max(map(len, windows), default=0)

    def run(unfinished: Unfinished, rows: int) -> Generator[Response, None, StepFailure | None]:
        scheduler = new_scheduler(engine, unfinished, rows)
        scheduler.max_kept = max_scored_positions(loaded)
        return _run(PagedScoring(engine, scheduler, windows, unfinished))

    def fail(sequence: PagedSequence, failure: Failure) -> Iterator[Response]:
        return finish_windows(windows[sequence.prompt.ids], failure)

    with paged_attention(loaded.model):
        yield from run_sequences(
            engine, sequences, limit, partial(engine.prepare, longest=longest, graphs=False), run, fail
        )


def _new_text(windows: WindowsByText, ids: tuple[int, ...], order: int) -> PagedSequence:
    """Return the sequence of the tokens that some windows read."""
    found = windows[ids]
    sequence = new_sequence(Rendered(request=found[0].request.tokenized.request, ids=ids), order)
    sequence.scored = tuple(sorted({each.position(index) for each in found for index in range(len(each.greedy))}))
    return sequence


def _run(scoring: PagedScoring) -> Generator[Response, None, StepFailure | None]:
    """Score the texts; returns what stopped it, or None."""
    scheduler = scoring.scheduler
    while scoring.unfinished:
        plan = scheduler.plan()
        for sequence in scheduler.refused:
            yield from _leave(scoring, sequence, too_long(scoring.engine, sequence))
        refused, scheduler.refused = bool(scheduler.refused), []
        if plan is None:
            if refused:
                continue
            stuck = Failure(kind="paged scoring", message="no page comes free for what is waiting")
            return StepFailure(stuck, list(scoring.unfinished)[:1])
        outcome = attempt(partial(_compute, scoring, plan))
        scheduler.launched()
        if isinstance(outcome, Failure):
            return StepFailure(outcome, [each for each in plan.sequences if each in scoring.unfinished])
        for sequence in plan.sequences:
            if sequence.is_read:
                yield from _leave(scoring, sequence, None)
    return None


def _compute(scoring: PagedScoring, plan: StepPlan) -> None:
    step: LaunchedStep = scoring.engine.launch(plan)
    scoring.engine.read(step)
    targets: list[tuple[int, ScoredToken]] = []
    row = 0
    for entry in plan.entries:
        rows = {entry.start + place: row + index for index, place in enumerate(entry.kept)}
        row += len(entry.kept)
        for scores in scoring.windows[entry.sequence.prompt.ids]:
            first = scores.position(0)
            targets += [
                (rows[first + index], ScoredToken(first + index, scores, index))
                for index in range(len(scores.greedy))
                if first + index in rows
            ]
    if targets:
        record_scores(step.logits[0], targets)


def _leave(scoring: PagedScoring, sequence: PagedSequence, failure: Failure | None) -> Iterator[Response]:
    scoring.scheduler.leave(sequence)
    del scoring.unfinished[sequence]
    yield from finish_windows(scoring.windows[sequence.prompt.ids], failure)
