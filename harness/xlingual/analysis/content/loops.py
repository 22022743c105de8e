"""Answers that go round and round: one unit again and again, or the same pieces all over.

    "the tower of the tower of the tower of the tower of"      a unit repeated in a row
    "1. It is red. 2. It is red. 3. It is red. 4. It is red."   the same, numbers aside

A refrain of three, or a word said twice, is no loop: at least four times in a row, over 24 letters or more.
"""

import unicodedata
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from ...text import for_scoring
from .samples import AnsweredSample
from .scripts import weigh

TIMES = 4
"""Of a unit in a row."""
LETTERS = 24
"""Of all its repetitions together, in letters of an alphabet."""
LONGEST_UNIT = 400
"""Characters."""
READ = 4000
"""Characters that are looked at, from the end back: an answer that begins to loop seldom stops."""
PIECE = 12
"""Characters of pieces whose repetition is counted."""
REPEATED = 0.5
"""Share of all pieces that must be repetitions of earlier ones, in a text of LETTERS_OF_PIECES letters or more."""
LETTERS_OF_PIECES = 160


class LoopKind(StrEnum):
    """How an answer repeats itself."""

    UNIT = "one unit in a row"
    PIECES = "the same pieces"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loop:
    """Whether and how an answer repeats itself."""

    kind: LoopKind | None
    """None: it does not."""
    unit: str
    """What is repeated in a row, folded; "" for none."""
    times: float
    """How often in a row; 0 for none."""
    repeated: float | None
    """Share of the answer's pieces of 12 characters that stood in it before; None for a short answer."""


def find_loop(sample: AnsweredSample) -> Loop:
    """Return how an answer repeats itself."""
    text = _letters_alone(sample.answer)[-READ:]
    unit, times = _repeated_unit(text)
    repeated = _repeated_share(text)
    kind = LoopKind.UNIT if unit else None
    if kind is None and repeated is not None and repeated >= REPEATED:
        kind = LoopKind.PIECES
    return Loop(kind=kind, unit=unit, times=times, repeated=repeated)


def _letters_alone(text: str) -> str:
    """Return letters and their marks with single spaces: numbers of a list and its bullets hide no repetition."""
    folded = for_scoring(text).casefold()
    kept = (char if unicodedata.category(char)[0] in "LM" else " " for char in folded)
    return " ".join("".join(kept).split())


def _repeated_unit(text: str) -> tuple[str, float]:
    """Return the unit that fills most of the text in a row, and how often; "" and 0 where none is repeated enough."""
    padded = f" {text} "
    codes = np.array([ord(char) for char in padded], dtype=np.uint32)
    best, unit, times = 0, "", 0.0
    for period in range(1, min(LONGEST_UNIT, len(codes) // TIMES) + 1):
        equal = codes[period:] == codes[:-period]
        breaks = np.flatnonzero(~equal)
        edges = np.concatenate(([-1], breaks, [len(equal)]))
        runs = np.diff(edges) - 1
        place = int(runs.argmax())
        length = int(runs[place]) + period
        if length >= TIMES * period and length > best:
            begin = int(edges[place]) + 1
            if weigh(padded[begin : begin + length]) >= LETTERS:
                best, unit, times = length, padded[begin : begin + period], length / period
    return _from_a_word(unit), times


def _from_a_word(unit: str) -> str:
    """Return a unit that goes round from the beginning of a word on, where it has one."""
    head, space, tail = unit.partition(" ")
    return f"{tail} {head}".strip() if space and tail else unit.strip()


def _repeated_share(text: str) -> float | None:
    if weigh(text) < LETTERS_OF_PIECES:
        return None
    pieces = Counter(text[start : start + PIECE] for start in range(len(text) - PIECE + 1))
    return 1.0 - len(pieces) / pieces.total()
