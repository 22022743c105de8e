"""The sequences that are being answered, and their rows of the KV cache."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .kv_cache import BLOCK, KVCacheShape, SequenceKV, whole_blocks, zeros
from .prefix_tree import PrefixNode, TokenSequence, prefix_path

if TYPE_CHECKING:
    import torch


@dataclass(slots=True)
class RunningBatch:
    """Rows that are being answered; row `k` has slot `k`."""

    shape: KVCacheShape
    keys: "torch.Tensor"
    """See `DecodeMetadata`; never holds NaN, which would come through any mask."""
    values: "torch.Tensor"
    sequences: list[TokenSequence] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    """Tokens in each slot."""
    layout: "BatchLayout | None" = None
    """Of the rows as they are; None after a change."""

    def add(self, sequence: TokenSequence) -> SequenceKV:
        """Give `sequence` a slot and return it."""
        self.sequences.append(sequence)
        self.lengths.append(len(sequence.tail))
        self.layout = None
        return SequenceKV(self.keys[:, len(self.sequences) - 1], self.values[:, len(self.sequences) - 1])

    def remove(self, sequence: TokenSequence) -> None:
        """Free the slot of `sequence` for the last one."""
        slot, last = self.sequences.index(sequence), len(self.sequences) - 1
        if slot != last:
            used = self.lengths[last]
            blocks = -(-used // BLOCK)
            self.keys[:, slot, :, :blocks] = self.keys[:, last, :, :blocks]
            self.values[:, slot, :, :used] = self.values[:, last, :, :used]
            self.sequences[slot], self.lengths[slot] = self.sequences[last], used
        self.sequences.pop()
        self.lengths.pop()
        self.layout = None

    def clean(self, sequence: TokenSequence) -> None:
        """Clear the slot of a row whose numbers are not finite."""
        slot = self.sequences.index(sequence)
        self.keys[:, slot] = 0.0
        self.values[:, slot] = 0.0


@dataclass(frozen=True, slots=True)
class BatchLayout:
    """How the rows of a decoding step stand: in the order of the trie, each prefix over neighbours."""

    order: tuple[int, ...]
    """The slot of each row of the step."""
    ranges: tuple[tuple[PrefixNode, int, int], ...]
    """Each prefix and the rows below it, first and last."""
    shared: int
    """Prefix tokens of the longest."""


def new_batch(shape: KVCacheShape, count: int, length: int) -> RunningBatch:
    """Return `count` free slots of at least `length` tokens."""
    blocks = whole_blocks(length) // BLOCK
    first = (shape.layers, count, shape.key_heads)
    return RunningBatch(
        shape=shape,
        keys=zeros(shape, (*first, blocks, shape.head_size, BLOCK)),
        values=zeros(shape, (*first, blocks * BLOCK, shape.head_size)),
    )


def missing_prefixes(sequences: Sequence[TokenSequence]) -> list[PrefixNode]:
    """Return the prefixes above `sequences` that are not in memory, each after its parent."""
    found: dict[PrefixNode, None] = {}
    for sequence in sequences:
        for prefix in prefix_path(sequence.prefix):
            if prefix.kv is None:
                found[prefix] = None
    return list(found)


def batch_layout(batch: RunningBatch) -> BatchLayout:
    """Return the order of the rows in the decoding steps until they change."""
    if batch.layout is None:
        order = sorted(range(len(batch.sequences)), key=lambda slot: batch.sequences[slot].order)
        places: dict[PrefixNode, list[int]] = {}
        for place, slot in enumerate(order):
            for prefix in prefix_path(batch.sequences[slot].prefix):
                places.setdefault(prefix, []).append(place)
        batch.layout = BatchLayout(
            order=tuple(order),
            ranges=tuple((prefix, found[0], found[-1] + 1) for prefix, found in places.items()),
            shared=max((prefix.end for prefix in places), default=0),
        )
    return batch.layout
