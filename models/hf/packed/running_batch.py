"""The running sequences, as a scheduler calls those that are being answered now, and their rows of the KV cache.

Sequence `i` of the batch has row `i` of the cache. When a sequence finishes, the last one moves into its row, so that
the rows in use are always the first ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from .kv_cache import KVCache, KVCacheSpec, SequenceKV, new_kv_cache
from .prefix_tree import PrefixNode, TokenSequence, prefix_path


@dataclass(slots=True)
class RunningBatch:
    """The sequences that are being answered."""

    cache: KVCache
    sequences: list[TokenSequence] = field(default_factory=list)
    """By cache row."""
    lengths: list[int] = field(default_factory=list)
    """Tokens in each row."""
    layout: "BatchLayout | None" = None
    """Of the sequences as they are; None after a change."""

    def add(self, sequence: TokenSequence) -> SequenceKV:
        """Give `sequence` the next free row and return it."""
        self.sequences.append(sequence)
        self.lengths.append(len(sequence.suffix))
        self.layout = None
        return self.cache.row(len(self.sequences) - 1)

    def remove(self, sequence: TokenSequence) -> None:
        """Take `sequence` out, and move the last one into its row."""
        row, last = self.sequences.index(sequence), len(self.sequences) - 1
        if row != last:
            self.cache.copy_row(last, row, self.lengths[last])
            self.sequences[row], self.lengths[row] = self.sequences[last], self.lengths[last]
        self.sequences.pop()
        self.lengths.pop()
        self.layout = None

    def clear(self, sequence: TokenSequence) -> None:
        """Clear the row of a sequence whose keys or values are not finite."""
        self.cache.clear_row(self.sequences.index(sequence))


@dataclass(frozen=True, slots=True)
class BatchLayout:
    """The order of the sequences in a decode step: that of the prefix tree, where sequences below a prefix adjoin."""

    cache_rows: tuple[int, ...]
    """The row of each sequence of the step."""
    prefix_ranges: tuple[tuple[PrefixNode, int, int], ...]
    """Each prefix with the sequences below it: the first, and the one after the last."""
    longest_prefix: int
    """Most prefix tokens of a sequence."""


def new_batch(spec: KVCacheSpec, rows: int, tokens: int) -> RunningBatch:
    """Return an empty batch with `rows` cache rows of at least `tokens` tokens."""
    return RunningBatch(cache=new_kv_cache(spec, rows, tokens))


def missing_prefixes(sequences: Sequence[TokenSequence]) -> list[PrefixNode]:
    """Return the prefixes of `sequences` that have not been computed, each after its parent."""
    found: dict[PrefixNode, None] = {}
    for sequence in sequences:
        for prefix in prefix_path(sequence.prefix):
            if prefix.kv is None:
                found[prefix] = None
    return list(found)


def batch_layout(batch: RunningBatch) -> BatchLayout:
    """Return the order of the sequences in the decode steps until they change."""
    if batch.layout is None:
        rows = sorted(range(len(batch.sequences)), key=lambda row: batch.sequences[row].order)
        indices: dict[PrefixNode, list[int]] = {}
        for index, row in enumerate(rows):
            for prefix in prefix_path(batch.sequences[row].prefix):
                indices.setdefault(prefix, []).append(index)
        batch.layout = BatchLayout(
            cache_rows=tuple(rows),
            prefix_ranges=tuple((prefix, found[0], found[-1] + 1) for prefix, found in indices.items()),
            longest_prefix=max((prefix.end for prefix in indices), default=0),
        )
    return batch.layout
