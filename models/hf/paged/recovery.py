"""What the paged engine does where a step fails: sequences go on in smaller steps, then in fewer rows.

    8 rows, out of memory      the same rows with half the tokens a step, down to MIN_STEP_TOKENS; then 4 rows at a time
    8 rows, another error      4 rows and 4 rows, then 2, until the sequence at fault is alone, which gets a Failure

Generation and likelihoods share this.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias, TypeVar

from xlingual.records import Failure

from ..limits import OUT_OF_MEMORY, RowLimit, attempt
from .engine import PagedEngine
from .scheduler import Scheduler
from .sequences import PagedSequence

MIN_STEP_TOKENS = 64
"""Where the memory does not hold a step of so few tokens, fewer rows run together."""
Found = TypeVar("Found")
Unfinished: TypeAlias = dict[PagedSequence, None]
"""Sequences without their result yet, in order; who finishes one removes it."""


@dataclass(frozen=True, slots=True)
class StepFailure:
    """A step that failed, and the sequences that it was for."""

    failure: Failure
    sequences: list[PagedSequence]


def run_sequences(
    engine: PagedEngine,
    sequences: Sequence[PagedSequence],
    limit: RowLimit,
    prepare: Callable[[int], None],
    run: Callable[[Unfinished, int], Generator[Found, None, StepFailure | None]],
    fail: Callable[[PagedSequence, Failure], Iterable[Found]],
) -> Iterator[Found]:
    """Yield what `run` finds for the sequences, and for one that fails alone what `fail` makes of its failure.

    `prepare` makes the engine ready for so many rows. `run` computes sequences in so many rows and returns the failure
    that stopped it, None where all are finished. Those that are not are tried again, after the tokens that they have.
    """
    queue = [list(sequences)]
    while queue:
        if not (waiting := queue.pop()):
            continue
        rows = min(limit.rows, len(waiting))
        made = attempt(partial(prepare, rows))
        if isinstance(made, Failure):
            found, rest = StepFailure(made, waiting[:rows]), waiting
        else:
            unfinished = dict.fromkeys(waiting)
            try:
                stopped = yield from run(unfinished, rows)
            finally:
                if unfinished:
                    _abandon(engine, unfinished)
            if stopped is None:
                continue
            found, rest = stopped, list(unfinished)
        for sequence in _narrow_down(engine, found, rest, queue, limit):
            yield from fail(sequence, found.failure)


def new_scheduler(engine: PagedEngine, sequences: Iterable[PagedSequence], rows: int) -> Scheduler:
    """Return the scheduler of sequences that wait, at most `rows` of which run together."""
    return Scheduler(
        cache=engine.cache,
        max_tokens=engine.max_tokens,
        waiting=deque(sequences),
        free_rows=list(range(rows))[::-1],
        step=engine.cache.allocator.finished + 1,
    )


def too_long(engine: PagedEngine, sequence: PagedSequence) -> Failure:
    """Return the failure of a sequence that all pages together cannot hold."""
    pages = f"the {engine.cache.allocator.total} pages of {engine.pool.page_size} tokens hold no more"
    message = f"prompt and answer have {sequence.known} tokens, and {pages}"
    return Failure(kind=OUT_OF_MEMORY, message=message)


def _abandon(engine: PagedEngine, unfinished: Iterable[PagedSequence]) -> None:
    """Forget what the device has of unfinished sequences; their tokens stay."""
    engine.reset()
    for sequence in unfinished:
        sequence.row, sequence.pages, sequence.computed, sequence.pending, sequence.planned = None, [], 0, 0, -1


def _narrow_down(
    engine: PagedEngine,
    found: StepFailure,
    rest: list[PagedSequence],
    queue: list[list[PagedSequence]],
    limit: RowLimit,
) -> list[PagedSequence]:
    """Put `rest` back into `queue` so that it gets on: in smaller steps, or in fewer rows; returns who is at fault."""
    sequences, failure = found.sequences, found.failure
    half = len(sequences) // 2
    if failure.kind == OUT_OF_MEMORY and engine.max_tokens > MIN_STEP_TOKENS:
        engine.max_tokens = max(MIN_STEP_TOKENS, engine.max_tokens // 2)
        queue.append(rest)
    elif half == 0:
        queue.append([each for each in rest if each not in sequences])
        return sequences
    elif failure.kind == OUT_OF_MEMORY:
        limit.lower(half)
        queue.append(rest)
    else:
        others = [each for each in rest if each not in sequences]
        queue += [others, sequences[half:], sequences[:half]]
    return []
