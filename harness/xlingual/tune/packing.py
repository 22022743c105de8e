"""Packing: the rows of a step as packed sequences, without padding, over ranks and micro-batches.

Rows of 6, 6, 4 and 4 tokens in packs of 10 on 2 ranks are one micro-batch: 6 + 4 on each rank. `pack` is best-fit
decreasing; `assign_packs` is what a training step does with it, and what a plan counts: both report the same fill.
"""

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapify, heapreplace

EMPTY_PACK_TOKENS = 2
"""Padding tokens in a pack without rows, which keeps its rank in lock-step: a row of one token predicts nothing."""
MicroBatches = list[list[list[int]]]
"""Micro-batch, rank, the rows of its pack."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackCounts:
    """What the packs of one step, or of several, come to over all ranks."""

    micro_batches: int = 0
    """Forward and backward passes of each rank."""
    packs: int = 0
    """Micro-batches x ranks, empty packs included."""
    tokens: int = 0
    """Of rows."""
    padding: int = 0
    """Tokens of empty packs; nothing else is padded."""
    idle: int = 0
    """Token positions in which a rank waits for the longest pack of the micro-batch."""

    def __add__(self, other: "PackCounts") -> "PackCounts":
        """Return the counts of both."""
        return PackCounts(
            micro_batches=self.micro_batches + other.micro_batches,
            packs=self.packs + other.packs,
            tokens=self.tokens + other.tokens,
            padding=self.padding + other.padding,
            idle=self.idle + other.idle,
        )

    def fill(self, pack_length: int) -> float:
        """Return the share of the packs' capacity, of `pack_length` tokens each, that holds tokens of rows, 0 to 1."""
        return self.tokens / max(self.packs * pack_length, 1)

    @property
    def pad_share(self) -> float:
        """Padding tokens as a share of all tokens that are computed, 0 to 1."""
        return self.padding / max(self.tokens + self.padding, 1)

    @property
    def wait_share(self) -> float:
        """Idle token positions as a share of all token positions of the ranks, 0 to 1."""
        return self.idle / max(self.tokens + self.idle, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class PackAssignment:
    """The packs of one step; every rank computes the same assignment and takes its own packs of it."""

    micro_batches: MicroBatches
    """Each has one pack for every rank; an empty pack keeps the ranks in lock-step."""
    counts: PackCounts


def assign_packs(rows: Sequence[int], lengths: Sequence[int], pack_length: int, ranks: int) -> PackAssignment:
    """Assign `rows` of `lengths` tokens to `ranks` ranks, in as few micro-batches as packs of `pack_length` allow.

    Where they fit, the packs are filled evenly, so that no rank waits for another. Else they are the packs of best fit,
    and those of similar size share a micro-batch.
    """
    best = pack(lengths, pack_length)
    count = -(-len(best) // ranks)
    packs = _even(lengths, count * ranks)
    if max(_sizes(packs, lengths)) > max(pack_length, *lengths):
        packs = best + [[] for _ in range(count * ranks - len(best))]
    packs.sort(key=lambda items: -sum(lengths[item] for item in items))
    groups = [packs[first : first + ranks] for first in range(0, len(packs), ranks)]
    # The longest pack of a micro-batch goes to another rank each time, so that no rank has the most to do throughout.
    rotated = [each[turn % ranks :] + each[: turn % ranks] for turn, each in enumerate(groups)]
    return PackAssignment(
        micro_batches=[[[rows[item] for item in items] for items in each] for each in rotated],
        counts=PackCounts(
            micro_batches=count,
            packs=len(packs),
            tokens=sum(lengths),
            padding=EMPTY_PACK_TOKENS * sum(not items for items in packs),
            idle=sum(max(sizes) * ranks - sum(sizes) for sizes in (_sizes(each, lengths) for each in groups)),
        ),
    )


def _sizes(packs: Sequence[Sequence[int]], lengths: Sequence[int]) -> list[int]:
    return [sum(lengths[item] for item in items) for items in packs]


def _even(lengths: Sequence[int], count: int) -> list[list[int]]:
    """Return `count` packs of about the same size: the longest row first, each to the shortest pack."""
    packs: list[list[int]] = [[] for _ in range(count)]
    shortest = [(0, index) for index in range(count)]
    heapify(shortest)
    for item in _longest_first(lengths):
        size, index = shortest[0]
        packs[index].append(item)
        heapreplace(shortest, (size + lengths[item], index))
    return packs


def pack(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Return the indices of `lengths` in packs of at most `capacity` tokens; a longer row has a pack of its own.

    Every row goes to the fullest pack that still holds it, the longest row first (best-fit decreasing).
    """
    packs: list[list[int]] = []
    open_packs: list[tuple[int, int]] = []  # (room left, pack), sorted
    for item in _longest_first(lengths):
        length = lengths[item]
        found = bisect_left(open_packs, (length, -1))
        if found < len(open_packs):
            room, index = open_packs.pop(found)
            packs[index].append(item)
        else:
            room, index = capacity, len(packs)
            packs.append([item])
        if room > length:
            insort(open_packs, (room - length, index))
    return packs


def _longest_first(lengths: Sequence[int]) -> list[int]:
    """Return the indices of `lengths` by falling length, the first of equals first."""
    return sorted(range(len(lengths)), key=lambda item: (-lengths[item], item))
