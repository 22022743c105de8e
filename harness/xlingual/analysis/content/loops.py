"""Answers that go round and round: one unit again and again, or the same pieces all over.

    "the tower of the tower of the tower of the tower of"      a unit repeated in a row
    "1. It is red. 2. It is red. 3. It is red. 4. It is red."   the same, numbers aside

A refrain of three, or a word said twice, is no loop: at least four times in a row, over 24 letters or more.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
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
TIMES_AT_END = 3
"""Of a unit at the end of an answer that the limit of tokens cut off: it would have gone on."""
LETTERS_AT_END = 36
"""Of all its repetitions together."""
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
    if not unit and sample.cut:
        unit, times = _unit_at_the_end(text)
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
    best, unit, times = 0, "", 0.0
    for period, begin, length in _periodic_runs(padded, TIMES, at_end=False):
        enough = length >= MANY_TIMES * period or weigh(padded[begin : begin + period]) >= least
        if length > best and enough and weigh(padded[begin : begin + length]) >= LETTERS:
            best, unit, times = length, padded[begin : begin + period], length / period
    return _from_a_word(unit), times


def _unit_at_the_end(text: str) -> tuple[str, float]:
    """Return the unit that a text which was cut off was repeating, and how often; "" and 0 for none."""
    padded = f" {text}"
    for period, begin, length in _periodic_runs(padded, TIMES_AT_END, at_end=True):
        if weigh(padded[begin : begin + length]) >= LETTERS_AT_END:
            return _from_a_word(padded[begin : begin + period]), length / period
    return "", 0.0


def _periodic_runs(text: str, times: int, *, at_end: bool) -> Iterator[tuple[int, int, int]]:
    """Yield period, beginning and length of parts that repeat a unit at least so many `times` in a row.

    All of each period: the longest may be digits, which say nothing. `at_end`: only one that ends the text.
    """
    codes = np.array([ord(char) for char in text], dtype=np.uint32)
    for period in range(1, min(LONGEST_UNIT, len(codes) // times) + 1):
        breaks = np.flatnonzero(codes[period:] != codes[:-period])
        edges = np.concatenate(([-1], breaks, [len(codes) - period]))
        runs = np.diff(edges) - 1
        places = np.flatnonzero(runs >= (times - 1) * period)
        for place in (places[places == len(runs) - 1] if at_end else places).tolist():
            yield period, int(edges[place]) + 1, int(runs[place]) + period


def _from_a_word(unit: str) -> str:
    """Return a unit that goes round from the beginning of a word on, where it has one."""
    head, space, tail = unit.partition(" ")
    return f"{tail} {head}".strip() if space and tail else unit.strip()


def _repeated_share(text: str) -> float | None:
    if weigh(text) < LETTERS_OF_PIECES:
        return None
    pieces = Counter(text[start : start + PIECE] for start in range(len(text) - PIECE + 1))
    return 1.0 - len(pieces) / pieces.total()
