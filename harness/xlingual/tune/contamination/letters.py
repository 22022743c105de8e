"""Texts as letters without spaces: found where a row has no spaces, too many, or others than the text.

    T h e  A m a z o n  i s ...     TheAmazonIsTheSecond...     The A mazo nis the sec ond ...

Rows are looked up so where their own words say little: a word of many letters, letters that stand apart, or words that
no text has. What is found is counted in the words of the text, as everywhere.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .runs import ComparedText, TextMatch, measure
from .shingles import Shingles, shared_shingles, shingles_of
from .words import is_unspaced, weight_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SHINGLE = 16
"""Letters of a shingle."""
RUN_TOGETHER = 32
"""Letters of a word from which on it may be a sentence without spaces."""
APART = 16
"""Words of one letter from which on they may be words whose letters stand apart."""
STRANGE = 0.25
"""The share of words that no text has from which on they may be words of texts with other spaces."""
_BATCH = 4096
"""Texts that are hashed together."""


def may_be_spaced_otherwise(words: Sequence[str], unknown: int) -> bool:
    """Return whether a row may have its spaces elsewhere than a text has; `unknown` of its words no text has."""
    if not words:
        return False
    if unknown >= STRANGE * len(words) or max(map(len, words)) >= RUN_TOGETHER:
        return True
    short = [word for word in words if len(word) == 1]
    return len(short) >= APART and sum(not is_unspaced(word) for word in short) >= APART


@dataclass(frozen=True, slots=True, eq=False)
class LetterIndex:
    """Texts by their letters. Only texts with spaces are in it: the words of others are letters anyway."""

    letters: "NDArray[np.int32]"
    """Code points of all texts, one text behind the other."""
    counts: "NDArray[np.int8]"
    """At the last letter of each word what the word counts, else 0."""
    bounds: "NDArray[np.int64]"
    """Where each text begins, and the end."""
    numbers: tuple[int, ...]
    """Of the texts, as the index of words has them."""
    shingles: Shingles
    """Those that begin with a word, by hash."""

    def match(self, rows: Sequence[Sequence[str]]) -> Iterator[tuple[int, TextMatch]]:
        """Yield (row, match) for every text that shares a shingle with a row, given as its words."""
        import numpy as np  # noqa: PLC0415 - the command line stays light

        codes = [code_points("".join(words)) for words in rows]
        needed = np.ones(len(self.numbers), dtype=np.int64)
        for row, text, shared, firsts in shared_shingles(self.shingles, _shingles(codes), needed):
            own = slice(int(self.bounds[text]), int(self.bounds[text + 1]))
            compared = ComparedText(self.numbers[text], self.letters[own], self.counts[own])
            yield row, measure(compared, codes[row], shared, firsts)


def index_letters(texts: Iterable[tuple[int, Sequence[str]]]) -> LetterIndex:
    """Return an index of numbered texts, given as their words."""
    import numpy as np  # noqa: PLC0415 - the command line stays light

    letters, counts, lengths, numbers, parts = [], [], [], [], []
    for number, words in texts:
        joined = "".join(words)
        if len(joined) < 2 * len(words):
            continue
        ends = np.cumsum([len(word) for word in words])
        own = np.zeros(len(joined), dtype=np.int8)
        own[ends - 1] = [weight_of(word) for word in words]
        letters.append(code_points(joined))
        counts.append(own)
        lengths.append(len(joined))
        numbers.append(number)
    for start in range(0, len(letters), _BATCH):
        part = _shingles(letters[start : start + _BATCH])
        ended = [np.concatenate([[1], each[:-1]]) > 0 for each in counts[start : start + _BATCH]]
        offsets = np.cumsum([0, *lengths[start : start + _BATCH]])
        kept = np.flatnonzero(np.concatenate(ended)[offsets[part.texts] + part.firsts])
        part = part.ordered(kept)
        parts.append((part.hashes, part.texts + start, part.firsts, part.ends))
    none = np.zeros(0, dtype=np.int64)
    parts.append((none.astype(np.uint64), none, none, none))
    shingles = Shingles(*(np.concatenate(each) for each in zip(*parts, strict=True)))
    return LetterIndex(
        letters=np.concatenate([code_points(""), *letters]),
        counts=np.concatenate([none.astype(np.int8), *counts]),
        bounds=np.cumsum([0, *lengths]),
        numbers=tuple(numbers),
        shingles=shingles.ordered(np.argsort(shingles.hashes, kind="stable")),
    )


def code_points(text: str) -> "NDArray[np.int32]":
    """Return the code points of `text`, (characters,)."""
    import numpy as np  # noqa: PLC0415 - the command line stays light

    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.int32)


def _shingles(texts: "Sequence[NDArray[np.int32]]") -> Shingles:
    import numpy as np  # noqa: PLC0415 - the command line stays light

    return shingles_of(texts, np.ones(sys.maxunicode + 1, dtype=np.int8), SHINGLE)
