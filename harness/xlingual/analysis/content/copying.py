"""What of an answer stands in what the model was given, by pieces of characters and by the longest common part.

    passage "The tower was built in 1611 by Louis de Foix.", answer "built in 1611"       verbatim, all of it
    source "Good morning, everyone!", answer "Good morning, everyone!" (into Hindi)       a copy of the source

An answer to a question on a passage should come from it, so that share is no fault; a whole passage, a question or an
untranslated source is.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...text import single_line
from .samples import AnsweredSample
from .scripts import weigh

PIECE = 5
"""Characters: languages without spaces are compared as others are."""
SOURCE_PART = 0.6
"""Share of an answer that the longest part in common with its source has, from which on it is a copy."""
QUESTION_PART = 0.8
"""Share of a question, or an instruction, that must be in the answer in one part."""
PASSAGE_PART = 0.5
"""Share of a passage's pieces that an answer must have to be called a copy of all of it."""
LETTERS = 20
"""Letters of an alphabet that a copied part must have: names and numbers stay as they are in a translation."""
_BASE = 0x9E3779B97F4A7C15
"""Of the rolling hash: odd, so that it has an inverse."""
_INVERSE = pow(_BASE, -1, 2**64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """What two texts have in common."""

    share: float | None
    """Of the answer's pieces, those that the given text has; None for an answer shorter than a piece."""
    covered: float | None
    """Of the given text's pieces, those that the answer has; None for a text shorter than a piece."""
    longest: str
    """The longest part that both have, folded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copying:
    """What an answer copies; None where there is no such text, or the answer is empty."""

    passage: Overlap | None
    question: Overlap | None
    source: Overlap | None
    verbatim: bool | None
    """Whether the whole answer stands in the passage as it is."""
    whole_passage: bool | None
    """Whether the answer has half of the passage or more."""
    copies_question: bool | None
    copies_source: bool | None
    copies_instruction: bool | None


def find_copying(sample: AnsweredSample) -> Copying:
    """Return what an answer copies."""
    answer, given = fold(sample.answer), sample.given
    texts = (given.passage, given.question, given.source, given.instruction)
    passage, question, source, instruction = (_overlap(answer, each) for each in texts)
    return Copying(
        passage=passage,
        question=question,
        source=source,
        verbatim=None if passage is None else answer in fold(given.passage or ""),
        whole_passage=None if passage is None or passage.covered is None else passage.covered >= PASSAGE_PART,
        copies_question=_holds(question, fold(given.question or ""), QUESTION_PART),
        copies_source=_holds(source, answer, SOURCE_PART),
        copies_instruction=_holds(instruction, fold(given.instruction or ""), QUESTION_PART),
    )


def fold(text: str) -> str:
    """Return `text` as texts are compared: in its form for scoring, on one line, case folded, dots of i aside."""
    # Turkish capitals: "FIRIN" is "fırın", and nothing in a text says that it is Turkish.
    return single_line(text).replace("İ", "i").replace("ı", "i").casefold()


def longest_common_part(first: str, second: str) -> str:
    """Return the longest text that stands in both; the first of equals in `first`, "" where they share nothing.

    By halving: a common part of a length has common parts of all shorter lengths. Parts are found by a rolling hash
    (Karp and Rabin 1987) and then compared, so that memory grows with the texts and not with their square.
    """
    low, high, found = 0, min(len(first), len(second)), ""
    ours, theirs = _RollingHash.of(first), _RollingHash.of(second)
    while low < high:
        size = (low + high + 1) // 2
        places = np.flatnonzero(np.isin(ours.parts(size), theirs.parts(size)))
        part = next((text for at in places.tolist() if (text := first[at : at + size]) in second), None)
        if part is None:
            high = size - 1
        else:
            low, found = size, part
    return found


@dataclass(frozen=True, slots=True)
class _RollingHash:
    """Hashes of all parts of a text, modulo 2 to the power of 64; equal parts have equal ones in all texts."""

    sums: NDArray[np.uint64]
    """Of the characters, each times a power of the base that goes up with its place."""
    powers: NDArray[np.uint64]

    @classmethod
    def of(cls, text: str) -> "_RollingHash":
        codes = np.array([ord(each) for each in text], dtype=np.uint64) + np.uint64(1)
        powers = np.full(len(text) + 1, _BASE, dtype=np.uint64)
        powers[0] = 1
        powers = np.cumprod(powers, dtype=np.uint64)
        return cls(np.concatenate([np.zeros(1, np.uint64), np.cumsum(codes * powers[:-1], dtype=np.uint64)]), powers)

    def parts(self, size: int) -> NDArray[np.uint64]:
        """Return the hash of every part of `size` characters, from the first on."""
        # Divided by the power of its first place, in a ring where the base has an inverse.
        inverse = np.full(len(self.powers) - size, _INVERSE, dtype=np.uint64)
        inverse[0] = 1
        return (self.sums[size:] - self.sums[:-size]) * np.cumprod(inverse, dtype=np.uint64)


def _overlap(answer: str, given: str | None) -> Overlap | None:
    """Return what both have in common; None without a given text, and for an answer of signs alone."""
    if given is None or not any(map(str.isalnum, answer)):
        return None
    other = fold(given)
    ours, theirs = _pieces(answer), _pieces(other)
    common = (ours & theirs).total()
    known = set(theirs)
    return Overlap(
        share=sum(count for piece, count in ours.items() if piece in known) / ours.total() if ours else None,
        covered=common / theirs.total() if theirs else None,
        longest=longest_common_part(answer, other),
    )


def _pieces(text: str) -> Counter[str]:
    return Counter(text[start : start + PIECE] for start in range(len(text) - PIECE + 1))


def _holds(overlap: Overlap | None, whole: str, part: float) -> bool | None:
    """Return whether the longest common part is so much of `whole`; None where `whole` is too short to be told."""
    if overlap is None or weigh(whole) < LETTERS:
        return None
    return len(overlap.longest) >= part * len(whole) and weigh(overlap.longest) >= LETTERS
