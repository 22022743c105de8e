"""Rows into packs without padding: best fit, the longest row first."""

from bisect import bisect_left, insort
from collections.abc import Sequence


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
