"""Whether line N of one side translates line N of the other, told by lengths, numbers and URLs.

A block of pairs is compared with the same lines put together by chance, and with its target side moved by a few lines.
In the right order, long lines stand beside long ones and numbers beside the same numbers far more often than by chance.
No constant is fitted: a block is wrong where its agreement is one that chance gives more often than once in a thousand
times, or where another shift agrees better with the same confidence.
"""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING
from zlib import crc32

from .records import AlignmentCheck

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BLOCK = 250
"""Rows of a block: a line that is lost halfway spoils the blocks behind it only."""
LEAST = 50
"""Fewer rows are not judged."""
SHIFTS = tuple(range(-5, 0)) + tuple(range(1, 6))
"""Rows by which one side may have slipped."""
PERMUTATIONS = 30
"""Orders drawn at random, which the order of the file is compared with."""
CONFIDENCE = 3.1
"""Standard errors: one-sided, a thousandth."""
_MARK = re.compile(r"https?://\S+|www\.\S+|\d+(?:[.,\u066b\u066c\u00a0 ]\d{3})*(?:[.,\u066b]\d+)?")


def check_alignment(ids: Sequence[str], sources: Sequence[str], targets: Sequence[str]) -> AlignmentCheck | None:
    """Judge pairs in their order, block by block; None where they are too few, or nothing in them tells."""
    if len(ids) < LEAST:
        return None
    blocks = max(1, len(ids) // BLOCK)
    bounds = [round(place * len(ids) / blocks) for place in range(blocks + 1)]
    judged = wrong = 0
    first: str | None = None
    shifts: Counter[int | None] = Counter()
    for start, end in pairwise(bounds):
        verdict = _judge(_Side.of(sources[start:end]), _Side.of(targets[start:end]))
        if verdict is None:
            continue
        judged += end - start
        if verdict.is_wrong:
            wrong += end - start
            first = first or ids[start]
            shifts[verdict.shift] += 1
    if not judged:
        return None
    shift = max(shifts, key=lambda each: shifts[each]) if shifts else None
    return AlignmentCheck(rows=judged, wrong=wrong, shift=shift, first=first)


@dataclass(frozen=True, slots=True)
class _Verdict:
    is_wrong: bool
    shift: int | None


@dataclass(frozen=True, slots=True, eq=False)
class _Side:
    """One side of a block."""

    lengths: "NDArray[np.float64]"
    """(rows,): standardised logarithms of characters; zeros where all are the same."""
    marks: "NDArray[np.uint64]"
    """(rows,): a bit for each number or URL, by its hash."""

    @classmethod
    def of(cls, texts: Sequence[str]) -> "_Side":
        import numpy as np  # noqa: PLC0415 - the command line stays light

        lengths = np.log(np.array([len(text.strip()) + 1 for text in texts], dtype=np.float64))
        lengths -= lengths.mean()
        spread = float(lengths.std())
        lengths = lengths / spread if spread > 1e-9 else np.zeros_like(lengths)
        return cls(lengths, np.array([_marks(text) for text in texts], dtype=np.uint64))


def _marks(text: str) -> int:
    """Return a bit for each number or URL of a text; separators and the script of digits make no difference."""
    bits = 0
    for found in _MARK.findall(text):
        word = found
        if found[0].isdecimal():
            word = "".join(str(unicodedata.decimal(each)) for each in found if each.isdecimal()).lstrip("0")
        bits |= 1 << (crc32(word.encode("utf-8", "replace")) & 63)
    return bits


def _agreement(source: _Side, target: _Side) -> "NDArray[np.float64]":
    """Return how well each row agrees: the product of lengths, and 1 or -1 where a number is met or missed."""
    import numpy as np  # noqa: PLC0415 - the command line stays light

    met = (source.marks & target.marks) != 0
    missed = ~met & ((source.marks | target.marks) != 0)
    agreement: NDArray[np.float64] = source.lengths * target.lengths + met.astype(float) - missed.astype(float)
    return agreement


def _judge(source: _Side, target: _Side) -> _Verdict | None:
    import numpy as np  # noqa: PLC0415 - the command line stays light

    rows = len(source.lengths)
    own = _agreement(source, target)
    random = np.random.default_rng(rows)
    chance = []
    for _ in range(PERMUTATIONS):
        order = random.permutation(rows)
        chance.append(float(_agreement(source, _Side(target.lengths[order], target.marks[order])).sum()))
    spread = float(np.std(chance, ddof=1))
    if spread < 1e-9:
        return None
    shift = _better_shift(own, source, target)
    by_chance = float(own.sum()) - float(np.mean(chance)) < CONFIDENCE * spread
    return _Verdict(by_chance or shift is not None, shift)


def _better_shift(own: "NDArray[np.float64]", source: _Side, target: _Side) -> int | None:
    """Return the shift that agrees better than none; None where none does with confidence."""
    best, best_margin = None, CONFIDENCE
    for shift in SHIFTS:
        rows = slice(max(0, -shift), len(own) - max(0, shift))
        moved = slice(max(0, shift), len(own) - max(0, -shift))
        shifted = _Side(target.lengths[moved], target.marks[moved])
        gain = _agreement(_Side(source.lengths[rows], source.marks[rows]), shifted) - own[rows]
        spread = float(gain.std())
        margin = float(gain.mean()) / spread * math.sqrt(len(gain)) if spread > 1e-9 else 0.0
        if margin > best_margin:
            best, best_margin = shift, margin
    return best
