"""What a row repeats of a text: runs of words that stand in both, and words in the same order with others between."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .words import PER_WORD

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from .shingles import Shingles

LEAST = 6 * PER_WORD
"""What a row repeats of a text, at least; a text that counts less is found where it is a field of a row."""
PARTIAL = 8 * PER_WORD
"""What a run of words counts from which on a row that repeats it is left out (8 words, as Chowdhery et al. 2022)."""
NEAR = 0.7
"""The share of a text, by what its words count, from which on a row nearly holds it (as Chowdhery et al. 2022)."""
NEAR_LEAST = 12 * PER_WORD
"""What the words of a text count that a row nearly holds, where other words stand between them."""
NEIGHBOURS = 8
"""Rows one behind the other that a text may be cut into."""
_GAP = 2
"""Words in a row that are others, at most, between words that are the same."""


@dataclass(frozen=True, slots=True)
class TextMatch:
    """What a row repeats of a text of the index."""

    text: int
    """Index of the text."""
    share: float
    """Of the text's words, by what they count, those in runs of the row, 0 to 1."""
    in_order: float
    """As `share`, with the words near a run that stand in the order of the text between others; or `share`, where these
    are too few."""
    longest: int
    """What the longest run of words counts that stands in both."""
    spans: tuple[tuple[int, int], ...]
    """What of the text stands in the row, in order: from and to what its words count up to there."""


@dataclass(frozen=True, slots=True, eq=False)
class ComparedText:
    """A text of an index."""

    text: int
    """Its index."""
    words: "NDArray[np.int32]"
    """Numbers of its words."""
    counts: "NDArray[np.int8]"
    """What each word counts."""


def measure(
    text: ComparedText, row: "NDArray[np.int32]", shared: "Shingles", row_firsts: "NDArray[np.int64]"
) -> TextMatch:
    """Return what the shared shingles of a text and a row, given as numbers of words, come to.

    `row_firsts` is where each shingle begins in the row. Shingles that follow each other in both are a run. It goes on
    to the last word that is the same in both: a short word behind the last shingle has none of its own.
    """
    import numpy as np  # noqa: PLC0415 - the command line stays light

    words, sums = text.words, np.concatenate([[0], np.cumsum(text.counts, dtype=np.int64)])
    diagonal = shared.firsts - row_firsts
    order = np.lexsort((shared.firsts, diagonal))
    firsts, ends, diagonal = shared.firsts[order], shared.ends[order], diagonal[order]
    breaks = np.flatnonzero((firsts[1:] > ends[:-1]) | (np.diff(diagonal) != 0)) + 1
    begins = firsts[np.concatenate([[0], breaks]).astype(np.int64)].tolist()
    last = np.concatenate([breaks, [len(firsts)]]).astype(np.int64) - 1
    covered = np.zeros(len(words), dtype=bool)
    longest = 0
    for begin, end, offset in zip(begins, ends[last].tolist(), diagonal[last].tolist(), strict=True):
        while end < len(words) and end - offset < len(row) and words[end] == row[end - offset]:
            end += 1  # noqa: PLW2901 - the run goes on
        covered[begin:end] = True
        longest = max(longest, int(sums[end] - sums[begin]))
    share = in_order = float(text.counts[covered].sum()) / int(sums[-1])
    if longest < PARTIAL and share < NEAR:
        spread = _spread(words, row, covered, np.unique(diagonal).tolist())
        counted = int(text.counts[spread].sum())
        if counted >= max(NEAR_LEAST, NEAR * sums[-1]):
            covered, in_order = spread, counted / int(sums[-1])
    return TextMatch(text.text, share, in_order, longest, _spans(covered, sums))


def _spread(
    words: "NDArray[np.int32]", row: "NDArray[np.int32]", covered: "NDArray[np.bool_]", offsets: list[int]
) -> "NDArray[np.bool_]":
    """Return which words stand in runs, or in the same order near one, with other words between them."""
    import numpy as np  # noqa: PLC0415 - the command line stays light

    spread = covered.copy()
    for offset in offsets:
        begin, end = max(0, offset), min(len(words), len(row) + offset)
        same = np.flatnonzero(words[begin:end] == row[begin - offset : end - offset]) + begin
        groups = np.concatenate([[0], np.cumsum(np.diff(same) > _GAP + 1)]).astype(np.int64)
        with_run = np.bincount(groups[covered[same]], minlength=int(groups[-1]) + 1) > 0
        spread[same[with_run[groups]]] = True
    return spread


def _spans(covered: "NDArray[np.bool_]", sums: "NDArray[np.int64]") -> tuple[tuple[int, int], ...]:
    import numpy as np  # noqa: PLC0415 - the command line stays light

    edges = sums[np.flatnonzero(np.diff(np.concatenate([[False], covered, [False]]).astype(np.int8)))].tolist()
    return tuple(zip(edges[::2], edges[1::2], strict=True))


def rows_together(matches: Iterable[tuple[int, TextMatch]], weights: Sequence[int]) -> dict[int, TextMatch]:
    """Return the rows that hold NEAR of a text with the rows next to them, and what each of them holds of it.

    `matches` are in the order of the rows, `weights` what each text counts. A sentence that is cut into two rows is
    in both.
    """
    chains: dict[int, list[tuple[int, TextMatch]]] = {}
    together: dict[int, TextMatch] = {}
    for row, match in matches:
        before = [each for each in chains.get(match.text, []) if row - NEIGHBOURS < each[0] < row]
        if before and before[-1][0] < row - 1:
            before = []
        chain = chains[match.text] = [*before, (row, match)]
        spans = [span for _, each in chain for span in each.spans]
        if len(chain) > 1 and _length_of_union(spans) >= NEAR * weights[match.text]:
            for place, each in chain:
                together.setdefault(place, each)
    return together


def _length_of_union(spans: Sequence[tuple[int, int]]) -> int:
    total = reached = 0
    for begin, end in sorted(spans):
        total += max(0, end - max(begin, reached))
        reached = max(reached, end)
    return total
