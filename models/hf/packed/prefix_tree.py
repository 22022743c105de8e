"""What prompts have in common: a trie of token prefixes, each computed once and kept while a prompt below it waits."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from ..tokens.rendering import Rendered
from .kv_cache import PrefixKV

SHORTEST_PREFIX = 16
"""Tokens: a shorter common prefix is computed anew, because every prefix costs calls in each decoding step."""
LONGEST_TAIL = 64
"""Tokens of a prompt beside those of its prefixes; a longer rest becomes a prefix that one prompt uses."""


@dataclass(slots=True, eq=False)
class PrefixNode:
    """The tokens `start` to `end` of every prompt below it; those before `start` are its parents'."""

    ids: Sequence[int]
    """The whole of one of the prompts."""
    start: int
    end: int
    parent: "PrefixNode | None"
    users: int = 0
    """Prompts and prefixes directly below that still need it."""
    kv: PrefixKV | None = field(default=None, repr=False)
    """Keys and values while they are in memory."""


@dataclass(slots=True, eq=False)
class TokenSequence:
    """A prompt on its way to an answer."""

    prompt: Rendered
    order: int
    """Its place among all prompts sorted by their tokens: prompts below one prefix follow each other."""
    prefix: PrefixNode | None
    """The longest prefix, or None."""
    new: list[int] = field(default_factory=list)
    """Tokens of the answer so far; a row that had to leave the memory goes on after them."""
    is_isolated: bool = False
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


def build_prefix_tree(prompts: Sequence[Rendered], *, share: bool = True) -> list[TokenSequence]:
    """Return the rows of all prompts in the order of their tokens, each below the prefixes that it shares.

    `share=False` finds none: every prompt is computed from its first token.
    """
    ordered = sorted(prompts, key=lambda prompt: prompt.ids)
    sequences = [TokenSequence(prompt=prompt, order=order, prefix=None) for order, prompt in enumerate(ordered)]
    if share:
        _grow(sequences)
    for sequence in sequences:
        rest = len(sequence.prompt.ids) - sequence.start
        if rest > LONGEST_TAIL:
            # The last token stays behind: the first token of the answer comes from its scores.
            sequence.prefix = PrefixNode(
                sequence.prompt.ids, sequence.start, len(sequence.prompt.ids) - 1, sequence.prefix
            )
    _count(sequences)
    return sequences


def prefix_path(prefix: PrefixNode | None) -> list[PrefixNode]:
    """Return `prefix` and all above it, the first tokens first."""
    found: list[PrefixNode] = []
    while prefix is not None:
        found.append(prefix)
        prefix = prefix.parent
    return found[::-1]


def release_prefixes(prefix: PrefixNode | None) -> None:
    """Note that one user of `prefix` is done; what nobody needs any more leaves the memory."""
    while prefix is not None:
        prefix.users -= 1
        if prefix.users:
            return
        prefix.kv = None
        prefix = prefix.parent


def _grow(sequences: Sequence[TokenSequence]) -> None:
    """Set the longest shared prefix of each row; a stack of ranges instead of recursion, for chains may be long."""
    lengths = [0] + [common(a.prompt.ids, b.prompt.ids) for a, b in pairwise(sequences)]
    ranges: list[tuple[int, int, PrefixNode | None]] = [(0, len(sequences), None)]
    while ranges:
        low, high, parent = ranges.pop()
        top = parent.end if parent else 0
        first = low
        for place in range(low + 1, high + 1):
            if place < high and lengths[place] - top >= SHORTEST_PREFIX:
                continue
            if place - first > 1:
                prefix = PrefixNode(sequences[first].prompt.ids, top, min(lengths[first + 1 : place]), parent)
                for sequence in sequences[first:place]:
                    sequence.prefix = prefix
                ranges.append((first, place, prefix))
            first = place


def common(left: Sequence[int], right: Sequence[int]) -> int:
    """Return how many first tokens two prompts share; each keeps a token of its own to be scored."""
    most = min(len(left), len(right)) - 1
    return next((place for place in range(most) if left[place] != right[place]), most)


def _count(sequences: Sequence[TokenSequence]) -> None:
    seen: set[PrefixNode] = set()
    for sequence in sequences:
        prefix = sequence.prefix
        while prefix is not None:
            prefix.users += 1
            if prefix in seen:
                break
            seen.add(prefix)
            prefix = prefix.parent
