"""Requests in chunks: neighbours in the order of their texts go together, since a shared prefix is computed once."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from xlingual.records import Failure, Request

MIN_CHUNK, MAX_CHUNK = 32, 1024
"""Requests of a chunk, unless there are fewer for each worker. Large chunks cost less: their requests share the forward
passes of a model, so that 20 questions alone take about as long as 40. Towards the end chunks get smaller, so that
workers finish together."""
CUT_SLACK = 0.25
"""Of the size of a chunk: how far the cut may move to where neighbours share the shortest prefix."""
MAX_CRASHES = 3
"""Of workers over one request alone, after which it fails."""


@dataclass(slots=True)
class Chunk:
    """Requests that a worker has not answered yet, by key."""

    requests: dict[str, Request]
    crashes: int = 0
    """How many workers died over just these requests."""


@dataclass(slots=True)
class Queue:
    """The requests that no worker is answering, given out in chunks."""

    workers: int
    waiting: deque[Request]
    min_chunk: int
    """Fewest requests of a chunk."""
    requeued: deque[Chunk] = field(default_factory=deque)
    """From workers that died."""

    def next(self) -> Chunk | None:
        """Remove the next chunk and return it, None where there is none."""
        if self.requeued:
            return self.requeued.popleft()
        if not self.waiting:
            return None
        size = min(MAX_CHUNK, max(self.min_chunk, -(-len(self.waiting) // (2 * self.workers))))
        taken = [self.waiting.popleft() for _ in range(_cut(self.waiting, size))]
        return Chunk({request.key: request for request in taken})

    def requeue(self, chunk: Chunk) -> tuple[Request, Failure] | None:
        """Queue what a dead worker had, in smaller chunks, so that a request that kills workers ends up alone.

        Returns the request that has killed so many workers alone that it fails.
        """
        left = list(chunk.requests.values())
        crashes = chunk.crashes + 1
        if not left:
            return None
        if len(left) == 1 and crashes >= MAX_CRASHES:
            return left[0], Failure(kind="worker died", message=f"{crashes} workers died while they answered this")
        size = max(1, len(left) // 4)
        parts = [left[start : start + size] for start in range(0, len(left), size)]
        for part in reversed(parts):
            self.requeued.appendleft(Chunk({each.key: each for each in part}, crashes if len(left) == 1 else 0))
        return None


def make_queue(requests: Sequence[Request], workers: int) -> Queue:
    """Return the queue of all requests."""
    share = -(-len(requests) // workers)
    min_chunk = MAX_CHUNK if workers == 1 else min(MIN_CHUNK, max(1, share))
    return Queue(workers=workers, waiting=deque(sorted(requests, key=_text)), min_chunk=min_chunk)


def _text(request: Request) -> str:
    return "\n".join((request.form, *(message.text for message in request.messages)))


def _cut(waiting: deque[Request], size: int) -> int:
    """Return how many to take: about `size`, up to where the next text shares a short prefix with the last."""
    slack = int(size * CUT_SLACK)
    if len(waiting) <= size + slack:
        return len(waiting)
    sizes = range(max(1, size - slack), size + slack + 1)
    texts = [_text(waiting[index]) for index in range(sizes[0] - 1, sizes[-1] + 1)]
    shared = [_common_prefix_length(*pair) for pair in pairwise(texts)]
    return min(zip(shared, (abs(each - size) for each in sizes), sizes, strict=True))[2]


def _common_prefix_length(first: str, second: str) -> int:
    """Return how many characters two texts have in common at their beginning."""
    shortest = min(len(first), len(second))
    return next((index for index in range(shortest) if first[index] != second[index]), shortest)
