"""What prompts have in common: a trie of token prefixes, each computed once and kept while a prompt below it waits."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from .attention import Whole
from .rendering import Rendered

SHORTEST = 16
"""Tokens: a shorter common prefix is computed anew, because every prefix costs calls in each decoding step."""
LONGEST_TAIL = 64
"""Tokens of a prompt beside those of its prefixes; a longer rest becomes a prefix that one prompt uses."""


@dataclass(slots=True, eq=False)
class Prefix:
    """The tokens `start` to `end` of every prompt below it; those before `start` are its parents'."""

    ids: Sequence[int]
    """The whole of one of the prompts."""
    start: int
    end: int
    parent: "Prefix | None"
    users: int = 0
    """Prompts and prefixes directly below that still need it."""
    store: Whole | None = field(default=None, repr=False)
    """Keys and values while they are in memory."""


@dataclass(slots=True, eq=False)
class Row:
    """A prompt on its way to an answer."""

    prompt: Rendered
    order: int
    """Its place among all prompts sorted by their tokens: prompts below one prefix follow each other."""
    prefix: Prefix | None
    """The longest prefix, or None."""
    new: list[int] = field(default_factory=list)
    """Tokens of the answer so far; a row that had to leave the memory goes on after them."""
    alone: bool = False
    """Whether its scores were not finite beside others, so that it is to be computed by itself."""

    @property
    def start(self) -> int:
        """The number of tokens in prefixes."""
        return self.prefix.end if self.prefix else 0

    @property
    def tail(self) -> list[int]:
        """The tokens behind the prefixes, those of the answer included; never empty."""
        return [*self.prompt.ids[self.start :], *self.new]

    @property
    def longest(self) -> int:
        """The most tokens that may come to stand behind the prefixes."""
        return len(self.prompt.ids) - self.start + self.prompt.request.max_new_tokens


def arrange(prompts: Sequence[Rendered], *, share: bool = True) -> list[Row]:
    """Return the rows of all prompts in the order of their tokens, each below the prefixes that it shares.

    `share=False` finds none: every prompt is computed from its first token.
    """
    ordered = sorted(prompts, key=lambda prompt: prompt.ids)
    rows = [Row(prompt=prompt, order=order, prefix=None) for order, prompt in enumerate(ordered)]
    if share:
        _grow(rows)
    for row in rows:
        rest = len(row.prompt.ids) - row.start
        if rest > LONGEST_TAIL:
            # The last token stays behind: the first token of the answer comes from its scores.
            row.prefix = Prefix(row.prompt.ids, row.start, len(row.prompt.ids) - 1, row.prefix)
    _count(rows)
    return rows


def chain(prefix: Prefix | None) -> list[Prefix]:
    """Return `prefix` and all above it, the first tokens first."""
    found: list[Prefix] = []
    while prefix is not None:
        found.append(prefix)
        prefix = prefix.parent
    return found[::-1]


def release(prefix: Prefix | None) -> None:
    """Note that one user of `prefix` is done; what nobody needs any more leaves the memory."""
    while prefix is not None:
        prefix.users -= 1
        if prefix.users:
            return
        prefix.store = None
        prefix = prefix.parent


def _grow(rows: Sequence[Row]) -> None:
    """Set the longest shared prefix of each row; a stack of ranges instead of recursion, for chains may be long."""
    lengths = [0] + [common(a.prompt.ids, b.prompt.ids) for a, b in pairwise(rows)]
    ranges: list[tuple[int, int, Prefix | None]] = [(0, len(rows), None)]
    while ranges:
        low, high, parent = ranges.pop()
        top = parent.end if parent else 0
        first = low
        for place in range(low + 1, high + 1):
            if place < high and lengths[place] - top >= SHORTEST:
                continue
            if place - first > 1:
                prefix = Prefix(rows[first].prompt.ids, top, min(lengths[first + 1 : place]), parent)
                for row in rows[first:place]:
                    row.prefix = prefix
                ranges.append((first, place, prefix))
            first = place


def common(left: Sequence[int], right: Sequence[int]) -> int:
    """Return how many first tokens two prompts share; each keeps a token of its own to be scored."""
    most = min(len(left), len(right)) - 1
    return next((place for place in range(most) if left[place] != right[place]), most)


def _count(rows: Sequence[Row]) -> None:
    seen: set[Prefix] = set()
    for row in rows:
        prefix = row.prefix
        while prefix is not None:
            prefix.users += 1
            if prefix in seen:
                break
            seen.add(prefix)
            prefix = prefix.parent
