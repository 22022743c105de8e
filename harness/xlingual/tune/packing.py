"""The rows of a step over passes and ranks: no padding, and as little waiting of one rank for another as can be."""

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapify, heapreplace

Packs = list[list[list[int]]]
"""Pass, rank, the rows of its pack."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackAssignment:
    """A step as it is shared out; the same on every rank."""

    passes: Packs
    """Every pass has a pack for every rank; an empty one keeps the ranks in lock-step."""
    tokens: int
    waited: int
    """Token places in which a rank waits for the fullest pack of its pass."""


def assign_packs(rows: Sequence[int], lengths: Sequence[int], pack_length: int, ranks: int) -> PackAssignment:
    """Share `rows` of `lengths` tokens out over as few passes as packs of `pack_length` tokens need.

    Where they fit, the packs are filled evenly: ranks that end a pass together wait for nobody. Else they are the packs
    of best fit, and those of similar size stand in one pass.
    """
    best = pack(lengths, pack_length)
    passes = -(-len(best) // ranks)
    packs = _even(lengths, passes * ranks)
    if max(_sizes(packs, lengths)) > max(pack_length, *lengths):
        packs = best + [[] for _ in range(passes * ranks - len(best))]
    packs.sort(key=lambda places: -sum(lengths[place] for place in places))
    sizes = _sizes(packs, lengths)
    shared = [packs[first : first + ranks] for first in range(0, len(packs), ranks)]
    # The fullest pack of a pass goes to another rank each time, so that none has more to do than others all along.
    turned = [each[turn % ranks :] + each[: turn % ranks] for turn, each in enumerate(shared)]
    waited = sum(
        max(part) * ranks - sum(part) for part in (sizes[at : at + ranks] for at in range(0, len(sizes), ranks))
    )
    return PackAssignment(
        passes=[[[rows[place] for place in places] for places in each] for each in turned],
        tokens=sum(lengths),
        waited=waited,
    )


def _sizes(packs: Sequence[Sequence[int]], lengths: Sequence[int]) -> list[int]:
    return [sum(lengths[place] for place in places) for places in packs]


def _even(lengths: Sequence[int], count: int) -> list[list[int]]:
    """Return `count` packs of about the same size: the longest row first, each to the emptiest pack."""
    packs: list[list[int]] = [[] for _ in range(count)]
    emptiest = [(0, place) for place in range(count)]
    heapify(emptiest)
    for place in sorted(range(len(lengths)), key=lambda place: (-lengths[place], place)):
        size, chosen = emptiest[0]
        packs[chosen].append(place)
        heapreplace(emptiest, (size + lengths[place], chosen))
    return packs


def pack(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Return the places of `lengths` in packs of at most `capacity` tokens; a longer row has a pack of its own.

    Every row goes to the fullest pack that still holds it, the longest row first (best-fit decreasing).
    """
    packs: list[list[int]] = []
    open_packs: list[tuple[int, int]] = []  # (room left, pack), sorted
    for place in sorted(range(len(lengths)), key=lambda place: (-lengths[place], place)):
        length = lengths[place]
        found = bisect_left(open_packs, (length, -1))
        if found < len(open_packs):
            room, chosen = open_packs.pop(found)
            packs[chosen].append(place)
        else:
            room, chosen = capacity, len(packs)
            packs.append([place])
        if room > length:
            insort(open_packs, (room - length, chosen))
    return packs
