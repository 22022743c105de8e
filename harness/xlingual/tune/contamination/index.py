"""An index of texts by shingles: which texts a row holds, whole, nearly, or in part.

A shingle is the shortest run of words from a word on that counts SHINGLE: four words of four letters or more, eight Han
characters. The texts' shingles are hashed to 64 bits and sorted; so are those of a row, and what is in both says where
the row repeats a text. Everything is done for many rows at once, in time linear in the words of the rows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .words import PER_WORD, weight_of, words_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SHINGLE = 4 * PER_WORD
"""What a shingle counts, at least."""
LEAST = 6 * PER_WORD
"""What a row repeats of a text, at least; a text that counts less is found where it is a field of a row."""
NEAR = 0.7
"""The share of a text, by what its words count, from which on a row nearly holds it (as Chowdhery et al. 2022)."""
SHORTEST_RUN = (LEAST - SHINGLE) // PER_WORD + 1
"""Shingles of the shortest run that counts LEAST, whose words are all long."""
BATCH = 4096
"""Texts that are hashed together."""
COMMON = 64
"""Texts that one shingle is looked up in, at most, and places of a row where it is looked up: a phrase of a whole
benchmark tells nothing of one text, and a row that says the same a thousand times takes no longer than others."""
_STEP = 0x9E3779B97F4A7C15
"""An odd number: powers of it have inverses modulo 2**64."""
_MASK = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class TextMatch:
    """What a row repeats of a text of the index."""

    text: int
    """Index of the text."""
    share: float
    """Of the text's words, by what they count, 0 to 1."""
    longest: int
    """What the longest run of words counts that stands in both."""


@dataclass(frozen=True, slots=True, eq=False)
class _Shingles:
    """Shingles of texts, one entry each."""

    hashes: "NDArray[np.uint64]"
    texts: "NDArray[np.int64]"
    """Index of the text."""
    firsts: "NDArray[np.int64]"
    """First word, counted in its text."""
    ends: "NDArray[np.int64]"
    """The word behind its last one."""

    def ordered(self, order: "NDArray[np.int64]") -> "_Shingles":
        """Return the entries at `order`."""
        return _Shingles(self.hashes[order], self.texts[order], self.firsts[order], self.ends[order])


@dataclass(slots=True, eq=False)
class ShingleIndex:
    """Texts that are added one by one, and then looked up in rows."""

    weights: list[int] = field(default_factory=list)
    """What each text counts."""
    _vocabulary: dict[str, int] = field(default_factory=dict)
    """Word -> its number, from 1 on; a word that no text has is 0 and breaks a shingle."""
    _texts: "list[NDArray[np.int32]]" = field(default_factory=list)
    """The numbers of the words of each text."""
    _sorted: _Shingles | None = None
    """Of all texts, by hash; None until the first look-up after a text was added."""

    def add(self, text: str) -> int | None:
        """Add a text and return its index; None for one that is too short for shingles."""
        import numpy as np  # noqa: PLC0415 - the command line stays light

        words = words_of(text)
        weight = sum(map(weight_of, words))
        if weight < LEAST:
            return None
        known = self._vocabulary
        self._texts.append(np.array([known.setdefault(word, len(known) + 1) for word in words], dtype=np.int32))
        self.weights.append(weight)
        self._sorted = None
        return len(self.weights) - 1

    def match(self, rows: Sequence[str]) -> Iterator[tuple[int, TextMatch]]:
        """Yield (row, match) for every text of which a row holds NEAR, or repeats a run that counts LEAST."""
        import numpy as np  # noqa: PLC0415 - the command line stays light

        if not self._texts or not rows:
            return
        counted = np.array([1, *map(weight_of, self._vocabulary)], dtype=np.int64)
        if self._sorted is None:
            self._sorted = self._sort(counted)
        known = self._vocabulary.get
        numbers = [np.array([known(word, 0) for word in words_of(row)], dtype=np.int32) for row in rows]
        shared = self._share(self._sorted, _shingles(numbers, counted))
        for row, text, entries, row_words in shared:
            found = self._measure(text, numbers[row], (entries.firsts, entries.ends, row_words), counted)
            if found.longest >= LEAST or (found.share >= NEAR and found.share * self.weights[text] >= LEAST):
                yield row, found

    def _sort(self, counted: "NDArray[np.int64]") -> _Shingles:
        import numpy as np  # noqa: PLC0415 - the command line stays light

        parts = []
        for start in range(0, len(self._texts), BATCH):
            part = _shingles(self._texts[start : start + BATCH], counted)
            parts.append((part.hashes, part.texts + start, part.firsts, part.ends))
        found = _Shingles(*(np.concatenate(each) for each in zip(*parts, strict=True)))
        return found.ordered(np.argsort(found.hashes, kind="stable"))

    def _share(self, index: _Shingles, rows: _Shingles) -> "Iterator[tuple[int, int, _Shingles, NDArray[np.int64]]]":
        """Yield row, text, the shingles of the text that the row has, and the first word of each in the row."""
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
        # Fewer shingles than these cover neither a run of LEAST nor the share NEAR of the text.
        needed = np.ceil(NEAR / SHINGLE * np.array(self.weights)[texts[bounds[:-1]]])
        for group in np.flatnonzero(np.diff(bounds) >= np.minimum(needed, SHORTEST_RUN)).tolist():
            start, end = int(bounds[group]), int(bounds[group + 1])
            yield int(owners[start]), int(texts[start]), index.ordered(entries[start:end]), row_words[start:end]

    def _measure(
        self,
        text: int,
        row: "NDArray[np.int32]",
        shared: "tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]",
        counted: "NDArray[np.int64]",
    ) -> TextMatch:
        """Return what the shared shingles of a text and a row come to: first words, ends, and first words in the row.

        Shingles that follow each other in both are a run. It goes on to the last word that is the same in both: a short
        word behind the last shingle has none of its own.
        """
        import numpy as np  # noqa: PLC0415 - the command line stays light

        words = self._texts[text]
        sums = np.concatenate([[0], np.cumsum(counted[words])])
        order = np.lexsort((shared[0], shared[0] - shared[2]))
        firsts, ends, row_words = (each[order] for each in shared)
        diagonal = firsts - row_words
        breaks = np.flatnonzero((np.diff(firsts) > 1) | (np.diff(diagonal) != 0)) + 1
        begins = firsts[np.concatenate([[0], breaks]).astype(np.int64)].tolist()
        last = np.concatenate([breaks, [len(firsts)]]).astype(np.int64) - 1
        covered = np.zeros(len(words), dtype=bool)
        longest = 0
        for begin, end, offset in zip(begins, ends[last].tolist(), diagonal[last].tolist(), strict=True):
            while end < len(words) and end - offset < len(row) and words[end] == row[end - offset]:
                end += 1  # noqa: PLW2901 - the run goes on
            covered[begin:end] = True
            longest = max(longest, int(sums[end] - sums[begin]))
        return TextMatch(text, float(np.diff(sums)[covered].sum()) / self.weights[text], longest)


def _shingles(texts: "Sequence[NDArray[np.int32]]", counted: "NDArray[np.int64]") -> _Shingles:
    """Return the shingles of texts, given as the numbers of their words; `counted` is what each word counts."""
    import numpy as np  # noqa: PLC0415 - the command line stays light

    lengths = np.array([len(each) for each in texts], dtype=np.int64)
    words = np.concatenate(texts)
    bounds = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)])
    sums = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counted[words])])
    owners = np.repeat(np.arange(len(texts), dtype=np.int64), lengths)
    firsts = np.arange(len(words), dtype=np.int64)
    ends = np.searchsorted(sums, sums[:-1] + SHINGLE)
    unknown = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(words == 0)])
    is_inside = ends <= bounds[1:][owners]
    kept = np.flatnonzero(is_inside)
    kept = kept[unknown[ends[kept]] == unknown[firsts[kept]]]
    firsts, ends, owners = firsts[kept], ends[kept], owners[kept]
    offsets = bounds[:-1][owners]
    return _Shingles(_window_hashes(words, firsts, ends), owners, firsts - offsets, ends - offsets)


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
