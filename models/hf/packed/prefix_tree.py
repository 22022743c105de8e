"""Prefix tree of the prompts: token prefixes that several prompts share are computed once.

Four questions on each of three passages, all behind the same instruction, make a tree of four nodes: the instruction,
and below it the three passages. A prompt is a `TokenSequence` below the longest prefix that it shares; what is left of
it, the suffix, belongs to it alone. A node keeps its keys and values while a prompt below it is unanswered.

The tree is built from all prompts at once, not grown as they come: sorted by their tokens, prompts that share a prefix
are neighbours.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from ..tokens.rendering import Rendered
from .kv_cache import PrefixKV

MIN_SHARED_TOKENS = 16
"""A shorter common prefix is computed for each prompt anew, because every prefix costs calls in each decode step."""
MAX_SUFFIX_TOKENS = 64
"""Most prompt tokens behind the prefixes; what is longer becomes a prefix of its own, with one prompt below it."""


@dataclass(slots=True, eq=False)
class PrefixNode:
    """The tokens `start` to `end` of every prompt below it; those before `start` are its parents'."""

    ids: Sequence[int]
    """One of the prompts, whole."""
    start: int
    end: int
    parent: "PrefixNode | None"
    ref_count: int = 0
    """Prompts and prefixes directly below that still need it."""
    kv: PrefixKV | None = field(default=None, repr=False)
    """Keys and values while they are in memory."""

    @property
    def length(self) -> int:
        """Its own tokens."""
        return self.end - self.start


@dataclass(slots=True, eq=False)
class TokenSequence:
    """A prompt and the tokens of its answer so far."""

    prompt: Rendered
    order: int
    """Its place among all prompts sorted by their tokens: prompts below one prefix follow each other."""
    prefix: PrefixNode | None
    """The longest prefix, or None."""
    output_ids: list[int] = field(default_factory=list)
    """Tokens of the answer so far; a sequence that was preempted goes on after them."""
    is_isolated: bool = False
    """Whether its logits were not finite beside others, so that it is to be computed by itself."""

    @property
    def prefix_length(self) -> int:
        """Tokens in prefixes."""
        return self.prefix.end if self.prefix else 0

    @property
    def suffix(self) -> list[int]:
        """The tokens behind the prefixes, those of the answer included; never empty."""
        return [*self.prompt.ids[self.prefix_length :], *self.output_ids]

    @property
    def max_suffix_length(self) -> int:
        """The most tokens that may come to stand behind the prefixes."""
        return len(self.prompt.ids) - self.prefix_length + self.prompt.max_new_tokens


def build_prefix_tree(prompts: Sequence[Rendered], *, share: bool = True) -> list[TokenSequence]:
    """Return the sequences of all prompts in the order of their tokens, each below the prefixes that it shares.

    `share=False` shares none: every prompt is computed from its first token.
    """
    ordered = sorted(prompts, key=lambda prompt: prompt.ids)
    sequences = [TokenSequence(prompt=prompt, order=order, prefix=None) for order, prompt in enumerate(ordered)]
    if share:
        _add_shared_prefixes(sequences)
    for sequence in sequences:
        ids, start = sequence.prompt.ids, sequence.prefix_length
        if len(ids) - start > MAX_SUFFIX_TOKENS:
            # The last token stays in the suffix: the first token of the answer comes from its logits.
            sequence.prefix = PrefixNode(ids, start, len(ids) - 1, sequence.prefix)
    _count_references(sequences)
    return sequences


def prefix_path(prefix: PrefixNode | None) -> list[PrefixNode]:
    """Return the nodes from the root down to `prefix`."""
    found: list[PrefixNode] = []
    while prefix is not None:
        found.append(prefix)
        prefix = prefix.parent
    return found[::-1]


def release_prefixes(prefix: PrefixNode | None) -> None:
    """Note that a prompt below `prefix` is done; free the keys and values that no other one needs."""
    while prefix is not None:
        prefix.ref_count -= 1
        if prefix.ref_count:
            return
        prefix.kv = None
        prefix = prefix.parent


def _add_shared_prefixes(sequences: Sequence[TokenSequence]) -> None:
    """Set the longest shared prefix of each sequence; a stack instead of recursion, for the tree may be deep."""
    shared = [0] + [common_prefix_length(a.prompt.ids, b.prompt.ids) for a, b in pairwise(sequences)]
    ranges: list[tuple[int, int, PrefixNode | None]] = [(0, len(sequences), None)]
    while ranges:
        low, high, parent = ranges.pop()
        start = parent.end if parent else 0
        first = low
        for index in range(low + 1, high + 1):
            if index < high and shared[index] - start >= MIN_SHARED_TOKENS:
                continue
            if index - first > 1:
                prefix = PrefixNode(sequences[first].prompt.ids, start, min(shared[first + 1 : index]), parent)
                for sequence in sequences[first:index]:
                    sequence.prefix = prefix
                ranges.append((first, index, prefix))
            first = index


def common_prefix_length(left: Sequence[int], right: Sequence[int]) -> int:
    """Return how many first tokens two prompts share; each keeps a token of its own to be scored."""
    most = min(len(left), len(right)) - 1
    return next((index for index in range(most) if left[index] != right[index]), most)


def _count_references(sequences: Sequence[TokenSequence]) -> None:
    seen: set[PrefixNode] = set()
    for sequence in sequences:
        prefix = sequence.prefix
        while prefix is not None:
            prefix.ref_count += 1
            if prefix in seen:
                break
            seen.add(prefix)
            prefix = prefix.parent
