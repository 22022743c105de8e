"""An index of texts by shingles: which texts a row holds, whole, nearly, or in part.

A shingle is the shortest run of words from a word on that counts SHINGLE: four words of four letters or more, eight Han
characters. The texts' shingles are hashed to 64 bits and sorted; so are those of a row, and what is in both says where
the row repeats a text. Everything is done for many rows at once, in time linear in the words of the rows.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .letters import LetterIndex, index_letters, may_be_spaced_otherwise
from .runs import LEAST, NEAR, ComparedText, TextMatch, measure
from .shingles import Shingles, shared_shingles, shingles_of
from .words import PER_WORD, weight_of, words_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SHINGLE = 4 * PER_WORD
"""What a shingle counts, at least."""
SHORTEST_RUN = (LEAST - SHINGLE) // PER_WORD + 1
"""Shingles of the shortest run that counts LEAST, whose words are all long."""
BATCH = 4096
"""Texts that are hashed together."""


@dataclass(frozen=True, slots=True, eq=False)
class _Sorted:
    """What is looked up."""

    shingles: Shingles
    """Of all texts, by hash."""
    counts: "NDArray[np.int8]"
    """What the word of each number counts."""
    needed: "NDArray[np.int64]"
    """Shingles of each text that a row has, at least."""


@dataclass(slots=True, eq=False)
class ShingleIndex:
    """Texts that are added one by one, and then looked up in rows."""

    by_letters: bool = False
    """Whether rows are looked up once more where they may have spaces elsewhere than a text has."""
    weights: list[int] = field(default_factory=list)
    """What each text counts."""
    _vocabulary: dict[str, int] = field(default_factory=dict)
    """Word -> its number, from 1 on; a word that no text has is 0 and breaks a shingle."""
    _texts: "list[NDArray[np.int32]]" = field(default_factory=list)
    """The numbers of the words of each text."""
    _sorted: _Sorted | None = None
    """Of all texts; None until the first look-up after a text was added."""
    _letters: LetterIndex | None = None
    """Of all texts; None until a row may have spaces where a text has none, or none where it has."""

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
        self._sorted = self._letters = None
        return len(self.weights) - 1

    def match(self, rows: Sequence[str]) -> Iterator[tuple[int, TextMatch]]:
        """Yield (row, match) for every text of which a row holds NEAR, or repeats a run that counts LEAST."""
        import numpy as np  # noqa: PLC0415 - the command line stays light

        if not self._texts or not rows:
            return
        if self._sorted is None:
            self._sorted = self._sort()
        known = self._vocabulary.get
        words = [words_of(row) for row in rows]
        numbers = [np.array([known(word, 0) for word in each], dtype=np.int32) for each in words]
        needed = self._sorted.needed
        for row, text, shingles, firsts in shared_shingles(
            self._sorted.shingles, shingles_of(numbers, self._sorted.counts, SHINGLE), needed
        ):
            compared = ComparedText(text, self._texts[text], self._sorted.counts[self._texts[text]])
            found = measure(compared, numbers[row], shingles, firsts)
            if self._is_enough(found):
                yield row, found
        if self.by_letters:
            yield from self._match_letters(words, numbers)

    def _match_letters(
        self, words: Sequence[Sequence[str]], numbers: "Sequence[NDArray[np.int32]]"
    ) -> Iterator[tuple[int, TextMatch]]:
        """Yield (row, match) as `match`, of rows that may have spaces elsewhere than a text has."""
        import numpy as np  # noqa: PLC0415 - the command line stays light

        otherwise = [
            row
            for row, (each, own) in enumerate(zip(words, numbers, strict=True))
            if may_be_spaced_otherwise(each, len(own) - int(np.count_nonzero(own)))
        ]
        if not otherwise:
            return
        if self._letters is None:
            self._letters = self._by_letters()
        for place, found in self._letters.match([words[row] for row in otherwise]):
            if self._is_enough(found):
                yield otherwise[place], found

    def _is_enough(self, found: TextMatch) -> bool:
        return found.longest >= LEAST or (found.in_order >= NEAR and found.in_order * self.weights[found.text] >= LEAST)

    def _sort(self) -> _Sorted:
        import numpy as np  # noqa: PLC0415 - the command line stays light

        counts = np.array([1, *map(weight_of, self._vocabulary)], dtype=np.int8)
        parts = []
        for start in range(0, len(self._texts), BATCH):
            part = shingles_of(self._texts[start : start + BATCH], counts, SHINGLE)
            parts.append((part.hashes, part.texts + start, part.firsts, part.ends))
        found = Shingles(*(np.concatenate(each) for each in zip(*parts, strict=True)))
        # Fewer shingles than these cover neither a run of LEAST nor the share NEAR of the text.
        needed = np.minimum(np.ceil(NEAR / SHINGLE * np.array(self.weights)), SHORTEST_RUN).astype(np.int64)
        return _Sorted(found.ordered(np.argsort(found.hashes, kind="stable")), counts, needed)

    def _by_letters(self) -> LetterIndex:
        words = ["", *self._vocabulary]
        return index_letters((text, [words[word] for word in each.tolist()]) for text, each in enumerate(self._texts))
