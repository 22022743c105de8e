"""Chunked prefill: the prefixes and suffixes of new sequences, cut into forward passes of limited size.

Three prompts below one prefix of 300 tokens that has not been computed, in passes of at most 256 tokens: the first pass
holds 256 tokens of the prefix, the second its last 44 and the three suffixes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from .kv_cache import KVBuffer, new_prefix_kv
from .prefix_tree import PrefixNode, TokenSequence, prefix_path
from .running_batch import RunningBatch


@dataclass(frozen=True, slots=True)
class PrefillChunk:
    """Consecutive tokens of one prefix or of one suffix, to be computed in one pass."""

    ids: Sequence[int]
    position: int
    """Of the first token in its prompt."""
    ancestors: tuple[PrefixNode, ...]
    """The prefixes before it, from the root down."""
    kv: KVBuffer
    """Where its keys and values go."""
    offset: int
    """Tokens of `kv` that come before it."""
    sequence: TokenSequence | None
    """The sequence whose next token comes from the logits of the last one here; None where the prompt goes on."""


def prefill_chunks(batch: RunningBatch, sequences: Sequence[TokenSequence]) -> list[PrefillChunk]:
    """Give `sequences` cache rows; return all that is to be computed for them, prefixes before what is below them."""
    chunks: list[PrefillChunk] = []
    for sequence in sequences:
        ancestors: list[PrefixNode] = []
        for prefix in prefix_path(sequence.prefix):
            if prefix.kv is None:
                prefix.kv = new_prefix_kv(batch.cache.spec, prefix.length)
                ids = prefix.ids[prefix.start : prefix.end]
                chunks.append(PrefillChunk(ids, prefix.start, tuple(ancestors), prefix.kv, 0, None))
            ancestors.append(prefix)
        row = batch.add(sequence)
        chunks.append(PrefillChunk(sequence.suffix, sequence.prefix_length, tuple(ancestors), row, 0, sequence))
    return chunks


def split_into_passes(chunks: Sequence[PrefillChunk], most: int) -> list[list[PrefillChunk]]:
    """Return `chunks` in forward passes of at most `most` tokens each, cutting those that do not fit."""
    passes: list[list[PrefillChunk]] = [[]]
    left = most
    for chunk in chunks:
        done = 0
        while done < len(chunk.ids):
            if left == 0:
                passes.append([])
                left = most
            end = min(len(chunk.ids), done + left)
            passes[-1].append(_cut(chunk, done, end))
            left -= end - done
            done = end
    return passes


def _cut(chunk: PrefillChunk, first: int, last: int) -> PrefillChunk:
    return PrefillChunk(
        ids=chunk.ids[first:last],
        position=chunk.position + first,
        ancestors=chunk.ancestors,
        kv=chunk.kv,
        offset=chunk.offset + first,
        sequence=chunk.sequence if last == len(chunk.ids) else None,
    )
