"""Which requests go together: neighbours in the order of their texts, since what they share is computed once."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from xlingual.records import Failure, Request

LEAST = 32
MOST = 1024
"""Requests of a chunk, unless a worker's share of all is less. What is answered together costs less: rows share the
passes of a model, so that 20 questions alone take about as long as 40. Chunks still get smaller towards the end, so
that workers finish together."""
LEEWAY = 0.25
"""Of a chunk's size: how far the cut may move to where neighbours share the least."""
DEATHS = 3
"""Of workers that were busy with one request alone, after which it is given up."""


@dataclass(slots=True)
class Chunk:
    """Requests that a worker has not answered yet, by key."""

    requests: dict[str, Request]
    deaths: int = 0
    """How many workers died over these very requests."""


@dataclass(slots=True)
class Queue:
    """All that no worker has."""

    workers: int
    waiting: deque[Request]
    least: int
    """Requests of a chunk."""
    again: deque[Chunk] = field(default_factory=deque)
    """Left by workers that died."""

    def next(self) -> Chunk | None:
        """Take the next chunk, None where there is none."""
        if self.again:
            return self.again.popleft()
        if not self.waiting:
            return None
        size = min(MOST, max(self.least, -(-len(self.waiting) // (2 * self.workers))))
        taken = [self.waiting.popleft() for _ in range(_cut(self.waiting, size))]
        return Chunk({request.key: request for request in taken})

    def put_back(self, chunk: Chunk) -> tuple[Request, Failure] | None:
        """Take what a dead worker left, in smaller chunks: should one request kill workers, it ends up alone.

        Returns the request that has now killed so many alone that it is given up.
        """
        left = list(chunk.requests.values())
        deaths = chunk.deaths + 1
        if not left:
            return None
        if len(left) == 1 and deaths >= DEATHS:
            return left[0], Failure(kind="worker died", message=f"{deaths} workers died while they answered this")
        size = max(1, len(left) // 4)
        parts = [left[start : start + size] for start in range(0, len(left), size)]
        for part in reversed(parts):
            self.again.appendleft(Chunk({each.key: each for each in part}, deaths if len(left) == 1 else 0))
        return None


def line_up(requests: Sequence[Request], workers: int) -> Queue:
    """Return the queue of all requests."""
    share = -(-len(requests) // workers)
    least = MOST if workers == 1 else min(LEAST, max(1, share))
    return Queue(workers=workers, waiting=deque(sorted(requests, key=_text)), least=least)


def _text(request: Request) -> str:
    return "\n".join((request.form, *(message.text for message in request.messages)))


def _cut(waiting: deque[Request], size: int) -> int:
    """Return how many to take: about `size`, up to a place where the next text shares little with the last."""
    leeway = int(size * LEEWAY)
    if len(waiting) <= size + leeway:
        return len(waiting)
    places = range(max(1, size - leeway), size + leeway + 1)
    window = [_text(waiting[index]) for index in range(places[0] - 1, places[-1] + 1)]
    shared = [_in_common(*window[index : index + 2]) for index in range(len(places))]
    return min(zip(shared, (abs(place - size) for place in places), places, strict=True))[2]


def _in_common(first: str, second: str) -> int:
    """Return how many characters two texts begin with alike."""
    shortest = min(len(first), len(second))
    return next((place for place in range(shortest) if first[place] != second[place]), shortest)
