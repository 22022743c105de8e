"""Shingles of texts: hashes of short runs of words, sorted, and which of them rows have.

Everything is done for many rows at once, in time linear in the words of the rows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

COMMON = 64
"""Texts that one shingle is looked up in, at most, and places of a row where it is looked up: a phrase of a whole
benchmark tells nothing of one text, and a row that says the same a thousand times takes no longer than others."""
_STEP = 0x9E3779B97F4A7C15
"""An odd number: powers of it have inverses modulo 2**64."""
_MASK = (1 << 64) - 1


@dataclass(frozen=True, slots=True, eq=False)
class Shingles:
    """Shingles of texts, one entry each."""

    hashes: "NDArray[np.uint64]"
    texts: "NDArray[np.int64]"
    """Index of the text."""
    firsts: "NDArray[np.int64]"
    """First word, counted in its text."""
    ends: "NDArray[np.int64]"
    """The word behind its last one."""

    def ordered(self, order: "NDArray[np.int64]") -> "Shingles":
        """Return the entries at `order`."""
        return Shingles(self.hashes[order], self.texts[order], self.firsts[order], self.ends[order])


def shingles_of(texts: "Sequence[NDArray[np.int32]]", counted: "NDArray[np.int8]", least: int) -> Shingles:
    """Return the shingles of texts, given as the numbers of their words.

    `counted` is what the word of each number counts, `least` what a shingle does.
    """
    import numpy as np  # noqa: PLC0415 - the command line stays light

    lengths = np.array([len(each) for each in texts], dtype=np.int64)
    words = np.concatenate(texts)
    bounds = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)])
    sums = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counted[words], dtype=np.int64)])
    owners = np.repeat(np.arange(len(texts), dtype=np.int64), lengths)
    firsts = np.arange(len(words), dtype=np.int64)
    ends = np.searchsorted(sums, sums[:-1] + least)
    unknown = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(words == 0)])
    is_inside = ends <= bounds[1:][owners]
    kept = np.flatnonzero(is_inside)
    kept = kept[unknown[ends[kept]] == unknown[firsts[kept]]]
    firsts, ends, owners = firsts[kept], ends[kept], owners[kept]
    offsets = bounds[:-1][owners]
    return Shingles(_window_hashes(words, firsts, ends), owners, firsts - offsets, ends - offsets)


def shared_shingles(
    index: Shingles, rows: Shingles, needed: "NDArray[np.int64]"
) -> "Iterator[tuple[int, int, Shingles, NDArray[np.int64]]]":
    """Yield row, text, the shingles of the text that the row has, and the first word of each in the row.

    `index` is sorted by hash; `needed` is how many shingles of each text a row has, at least.
    """
    import numpy as np  # noqa: PLC0415 - the command line stays light

    if not len(index.hashes) or not len(rows.hashes):
        return
    low = np.searchsorted(index.hashes, rows.hashes)
    present = np.flatnonzero(index.hashes[np.minimum(low, len(index.hashes) - 1)] == rows.hashes)
    low = low[present]
    once = _first_of_each(rows.texts[present], low)
    low, present = low[once], present[once]
    counts = np.minimum(np.searchsorted(index.hashes, rows.hashes[present], side="right") - low, COMMON)
    entries = np.repeat(low, counts) + _counters(counts)
    if not len(entries):
        return
    owners, row_words = np.repeat(rows.texts[present], counts), np.repeat(rows.firsts[present], counts)
    texts = index.texts[entries]
    order = np.lexsort((index.firsts[entries], texts, owners))
    owners, row_words, entries, texts = owners[order], row_words[order], entries[order], texts[order]
    bounds = np.concatenate(
        [[0], np.flatnonzero((np.diff(owners) != 0) | (np.diff(texts) != 0)) + 1, [len(owners)]]
    ).astype(np.int64)
    for group in np.flatnonzero(np.diff(bounds) >= needed[texts[bounds[:-1]]]).tolist():
        start, end = int(bounds[group]), int(bounds[group + 1])
        yield int(owners[start]), int(texts[start]), index.ordered(entries[start:end]), row_words[start:end]


def _first_of_each(owners: "NDArray[np.int64]", values: "NDArray[np.int64]") -> "NDArray[np.int64]":
    """Return the indices, in order, of the first COMMON entries of each pair of owner and value."""
    import numpy as np  # noqa: PLC0415 - the command line stays light

    order = np.lexsort((values, owners))
    begins = np.concatenate([[0], np.flatnonzero((np.diff(owners[order]) != 0) | (np.diff(values[order]) != 0)) + 1])
    sizes = np.diff(np.concatenate([begins, [len(order)]])).astype(np.int64)
    kept: NDArray[np.int64] = np.sort(order[_counters(sizes) < COMMON])
    return kept


def _counters(counts: "NDArray[np.int64]") -> "NDArray[np.int64]":
    """Return 0, 1, ... up to each of `counts`, one after the other."""
    import numpy as np  # noqa: PLC0415 - the command line stays light

    starts = np.cumsum(counts) - counts
    return np.arange(int(counts.sum()), dtype=np.int64) - np.repeat(starts, counts)


def _window_hashes(
    words: "NDArray[np.int32]", firsts: "NDArray[np.int64]", ends: "NDArray[np.int64]"
) -> "NDArray[np.uint64]":
    """Return a hash of the words from `firsts` to before `ends`, by differences of a polynomial modulo 2**64."""
    import numpy as np  # noqa: PLC0415 - the command line stays light

    mixed = _mix(words.astype(np.uint64))
    powers = _powers(_STEP, len(words))
    inverse = _powers(pow(_STEP, -1, 1 << 64), len(words))
    sums = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(mixed * powers, dtype=np.uint64)])
    return _mix((sums[ends] - sums[firsts]) * inverse[firsts])


def _mix(numbers: "NDArray[np.uint64]") -> "NDArray[np.uint64]":
    """Return numbers whose bits depend on all bits (the finaliser of splitmix64, Steele et al. 2014)."""
    import numpy as np  # noqa: PLC0415 - the command line stays light

    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))


def _powers(base: int, count: int) -> "NDArray[np.uint64]":
    """Return 1, base, base**2, ... modulo 2**64, (count,)."""
    import numpy as np  # noqa: PLC0415 - the command line stays light

    powers = np.full(max(count, 1), base & _MASK, dtype=np.uint64)
    powers[0] = 1
    return np.multiply.accumulate(powers)[:count] if count else powers[:0]
