"""Answers that go round and round: one unit again and again, or the same pieces all over.

    "the tower of the tower of the tower of the tower of"      a unit repeated in a row
    "1. It is red. 2. It is red. 3. It is red. 4. It is red."   the same, numbers aside

A refrain of three, or a word said twice, is no loop: at least four times in a row, over 24 letters or more.
"""

import re
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
LETTERS_OF_UNIT = 10
"""Of a unit between numbers: "3 million, 4 million, 5 million, 6 million" is no loop."""
MANY_TIMES = 8
"""From which on any unit will do."""
LONGEST_UNIT = 400
"""Characters."""
READ = 4000
"""Characters that are looked at, from the end back: an answer that begins to loop seldom stops."""
PIECE = 12
"""Characters of pieces whose repetition is counted."""
REPEATED = 0.5
"""Share of all pieces that must be repetitions of earlier ones, in a text of LETTERS_OF_PIECES letters or more."""
LETTERS_OF_PIECES = 160
_SIGNS = re.compile(rf"([^\w\s\-=*.·~#|─…])\1{{{LETTERS - 1},}}")
"""One sign again and again, "！！！！"; but for those that rules and dotted lines are made of."""


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
    text = _plain(sample.answer, "LMN")[-READ:]
    unit, times = _repeated_unit(text, 0.0)
    if not unit:
        unit, times = _repeated_unit(_plain(sample.answer, "LM")[-READ:], LETTERS_OF_UNIT)
    repeated = _repeated_share(text)
    if not unit and (signs := _SIGNS.search(for_scoring(sample.answer))) is not None:
        unit, times = signs[1], float(len(signs[0]))
    kind = LoopKind.UNIT if unit else None
    if kind is None and repeated is not None and repeated >= REPEATED:
        kind = LoopKind.PIECES
    return Loop(kind=kind, unit=unit, times=times, repeated=repeated)


def _plain(text: str, categories: str) -> str:
    """Return what is of Unicode's `categories`, with single spaces: signs hide no repetition, nor do list numbers."""
    folded = for_scoring(text).casefold()
    kept = (char if unicodedata.category(char)[0] in categories else " " for char in folded)
    return " ".join("".join(kept).split())


def _repeated_unit(text: str, least: float) -> tuple[str, float]:
    """Return the unit that fills most of the text in a row, and how often; "" and 0 where none is repeated enough.

    `least` are the letters of a unit that is repeated fewer than MANY_TIMES.
    """
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
            enough = length >= MANY_TIMES * period or weigh(padded[begin : begin + period]) >= least
            if enough and weigh(padded[begin : begin + length]) >= LETTERS:
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
