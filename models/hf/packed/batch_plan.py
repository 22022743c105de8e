"""Prefill and decode metadata: which tokens of a forward pass write and read which part of the KV cache."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from .kv_cache import BLOCK, KVCacheShape, KVStorage, PrefixKV, new_prefix_kv
from .prefix_tree import PrefixNode, TokenSequence, prefix_path
from .running_batch import RunningBatch, batch_layout

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class KVWrite:
    """Tokens `first` to `last` of a pack, whose keys and values go to `kv` from `offset` on."""

    first: int
    last: int
    kv: KVStorage
    offset: int


@dataclass(frozen=True, slots=True)
class PrefillGroup:
    """Tokens `first` to `last` of a pack, which see all of `past` and of each other what `mask` allows."""

    first: int
    last: int
    past: tuple[tuple[KVStorage, int], ...]
    """Stores, and how many tokens of each are to be seen."""
    mask: "torch.Tensor"
    """(heads of a group x tokens, past + tokens), added to the scores."""


@dataclass(frozen=True, slots=True)
class PrefillMetadata:
    """A forward pass over a pack of prompts."""

    written: tuple[KVWrite, ...]
    read: tuple[PrefillGroup, ...]


@dataclass(frozen=True, slots=True)
class SharedPrefixSegment:
    """Some tokens of a step, of rows below one prefix; views, made once for all layers."""

    keys: "tuple[torch.Tensor, ...]"
    """Of the prefix in each layer, (key heads, head size, prefix tokens)."""
    values: "tuple[torch.Tensor, ...]"
    """(key heads, prefix tokens, head size)."""
    queries: "torch.Tensor"
    """Of the step's queries, (key heads, tokens x heads of a group, head size)."""
    scores: "torch.Tensor"
    """(key heads, tokens x heads of a group, prefix tokens)."""
    weights: "torch.Tensor"
    outputs: "torch.Tensor"
    """As `queries`."""


@dataclass(frozen=True, slots=True)
class DecodeMetadata:
    """A forward pass over the newest tokens of each row; rows stand in the order of the trie.

    The rows of sequences are read by `embedding_bag`, sums of weighted rows of a table: scores are sums of keys'
    numbers weighted by a query, answers are sums of values weighted by their scores. Matrix products of the few queries
    of a sequence with its keys would take up to twice as long as reading them.
    """

    keys: "torch.Tensor"
    """Of the slots, (layers, slots, key heads, blocks, head size, tokens of a block); the rows fill the first slots."""
    values: "torch.Tensor"
    """Of the slots, (layers, slots, key heads, tokens, head size)."""
    batch: "torch.Tensor"
    """The slot of each token."""
    places: "torch.Tensor"
    """Where in its slot each token goes."""
    key_indices: "torch.Tensor"
    """Rows of the keys of a layer as a table by blocks, (key heads x tokens x heads of a group x blocks, head size)."""
    value_indices: "torch.Tensor"
    """Rows of the values of a layer as a table by head size, (key heads x tokens x heads of a group, slot tokens); what
    comes after the token itself is the token itself."""
    segments: tuple[SharedPrefixSegment, ...]
    workspace: "AttentionWorkspace"
    mask: "torch.Tensor"
    """(tokens, 1, slot tokens), added to the scores of the slots."""


@dataclass(frozen=True, slots=True)
class AttentionWorkspace:
    """Where every layer of a step does its sums, (key heads, tokens, heads of a group, ...)."""

    queries: "torch.Tensor"
    """Queries, by head size."""
    scores: "torch.Tensor"
    """By prefix tokens, then slot tokens, in float32; minus infinity at the start and wherever nothing is seen."""
    weights: "torch.Tensor"
    outputs: "torch.Tensor"
    """By head size."""

    def segment(self, first: int, last: int, start: int, kv: PrefixKV) -> SharedPrefixSegment:
        """Return the tokens `first` to `last` of the step, below a prefix whose first token has the place `start`."""
        end = start + kv.both.shape[3]
        kept = kv.both.flatten(0, 1)
        return SharedPrefixSegment(
            keys=kept.transpose(2, 3).unbind(0)[::2],
            values=kept.unbind(0)[1::2],
            queries=_joined(self.queries[:, first:last]),
            scores=_joined(self.scores[:, first:last, :, start:end]),
            weights=_joined(self.weights[:, first:last, :, start:end]),
            outputs=_joined(self.outputs[:, first:last]),
        )


def _joined(part: "torch.Tensor") -> "torch.Tensor":
    """Return a view of (key heads, tokens, heads of a group, n) with tokens and heads in one; never a copy."""
    return part.view(part.shape[0], part.shape[1] * part.shape[2], part.shape[3])


def prefill_mask(past: int, lengths: "tuple[int, ...]", heads: int, dtype: "torch.dtype") -> "torch.Tensor":
    """Return the mask of texts that see `past` tokens, and each its own up to the one at hand; see `PrefillGroup`.

    `heads` is the number of query heads for a key head.
    """
    import torch  # noqa: PLC0415 - heavy

    text = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    own = (text[:, None] == text[None]).tril()
    seen = torch.cat([torch.ones(len(own), past, dtype=torch.bool), own], dim=1)
    mask = torch.zeros(seen.shape, dtype=dtype).masked_fill(~seen, float("-inf"))
    return mask.repeat(heads, 1)


STEP = 16
"""Tokens: the part of the slots that a decoding step reads grows by so much at a time."""
TOGETHER = 128
"""Tokens of one text, or of texts below one prefix, that are attended together; more would waste work on what masks
hide, fewer would make small products."""
TOGETHER_ELSEWHERE = 1024
"""The same where there is no CPU; not measured."""


@dataclass(frozen=True, slots=True)
class PrefillChunk:
    """Some tokens of a prefix or of a row's tail, on their way through the model."""

    ids: Sequence[int]
    position: int
    """Of the first of them in its prompt."""
    ancestors: tuple[PrefixNode, ...]
    kv: KVStorage
    """Where they go."""
    offset: int
    """How many tokens of `kv` come before them."""
    sequence: TokenSequence | None
    """Whose next token the last of them gives; None inside prefixes and tails."""


def new_workspace(shape: KVCacheShape, tokens: int, seen: int) -> AttentionWorkspace:
    """Return the board of a step of so many tokens, each of which sees up to `seen` others."""
    import torch  # noqa: PLC0415 - heavy

    size = (shape.key_heads, tokens, shape.heads // shape.key_heads)
    return AttentionWorkspace(
        queries=torch.empty(*size, shape.head_size, dtype=shape.dtype, device=shape.device),
        scores=torch.full((*size, seen), float("-inf"), device=shape.device),
        weights=torch.empty(*size, seen, dtype=shape.dtype, device=shape.device),
        outputs=torch.empty(*size, shape.head_size, dtype=shape.dtype, device=shape.device),
    )


def prefill_chunks(batch: RunningBatch, sequences: Sequence[TokenSequence]) -> list[PrefillChunk]:
    """Give `sequences` cache rows; return all that is to be computed for them, prefixes before what is below them."""
    chunks: list[PrefillChunk] = []
    for sequence in sequences:
        ancestors: list[PrefixNode] = []
        for prefix in prefix_path(sequence.prefix):
            if prefix.kv is None:
                prefix.kv = new_prefix_kv(batch.shape, prefix.end - prefix.start)
                ids = prefix.ids[prefix.start : prefix.end]
                chunks.append(PrefillChunk(ids, prefix.start, tuple(ancestors), prefix.kv, 0, None))
            ancestors.append(prefix)
        chunks.append(PrefillChunk(sequence.tail, sequence.start, tuple(ancestors), batch.add(sequence), 0, sequence))
    return chunks


def split_into_passes(chunks: Sequence[PrefillChunk], most: int) -> list[list[PrefillChunk]]:
    """Return `chunks` in packs of at most `most` tokens, cutting those that do not fit."""
    packs: list[list[PrefillChunk]] = [[]]
    room = most
    for chunk in chunks:
        done = 0
        while done < len(chunk.ids):
            if room == 0:
                packs.append([])
                room = most
            end = min(len(chunk.ids), done + room)
            sequence = chunk.sequence if end == len(chunk.ids) else None
            packs[-1].append(
                PrefillChunk(
                    chunk.ids[done:end], chunk.position + done, chunk.ancestors, chunk.kv, chunk.offset + done, sequence
                )
            )
            room -= end - done
            done = end
    return packs


def plan_prefill(shape: KVCacheShape, pack: Sequence[PrefillChunk]) -> PrefillMetadata:
    """Return who writes and reads what in a forward pass over `pack`."""
    written: list[KVWrite] = []
    first = 0
    for chunk in pack:
        last = first + len(chunk.ids)
        written.append(KVWrite(first, last, chunk.kv, chunk.offset))
        first = last
    groups: list[list[PrefillChunk]] = []
    sizes: list[int] = []
    most = TOGETHER if shape.device.startswith("cpu") else TOGETHER_ELSEWHERE
    # Cut, the later parts of a text see the earlier ones in its store.
    for chunk in (part for whole in pack for parts in split_into_passes([whole], most) for part in parts):
        joins = chunk.sequence is not None and chunk.offset == 0 and bool(chunk.ancestors) and bool(groups)
        before = groups[-1][-1] if groups else chunk
        if (
            joins
            and before.sequence is not None
            and before.offset == 0
            and before.ancestors == chunk.ancestors
            and sizes[-1] + len(chunk.ids) <= most
        ):
            groups[-1].append(chunk)
            sizes[-1] += len(chunk.ids)
        else:
            groups.append([chunk])
            sizes.append(len(chunk.ids))
    return PrefillMetadata(tuple(written), tuple(_reads(shape, groups)))


def _reads(shape: KVCacheShape, groups: Sequence[Sequence[PrefillChunk]]) -> list[PrefillGroup]:
    reads: list[PrefillGroup] = []
    first = 0
    for group in groups:
        head = group[0]
        past: list[tuple[KVStorage, int]] = [
            (each.kv, each.end - each.start) for each in head.ancestors if each.kv is not None
        ]
        if head.offset:
            past.append((head.kv, head.offset))
        lengths = tuple(len(each.ids) for each in group)
        last = first + sum(lengths)
        mask = prefill_mask(sum(count for _, count in past), lengths, shape.heads // shape.key_heads, shape.dtype)
        reads.append(PrefillGroup(first, last, tuple(past), mask.to(shape.device)))
        first = last
    return reads


def plan_decode(batch: RunningBatch, counts: Sequence[int]) -> DecodeMetadata:
    """Return who reads what in a forward pass over the newest tokens of each row, `counts` of them."""
    import torch  # noqa: PLC0415 - heavy

    layout, shape = batch_layout(batch), batch.shape
    starts = list(accumulate(counts, initial=0))
    owners = [slot for slot, count in zip(layout.order, counts, strict=True) for _ in range(count)]
    places = [
        batch.lengths[slot] + each for slot, count in zip(layout.order, counts, strict=True) for each in range(count)
    ]
    longest = min(-(-(max(places) + 1) // STEP) * STEP, batch.values.shape[3])
    workspace = new_workspace(shape, len(owners), layout.shared + longest)
    segments = [
        workspace.segment(starts[first], starts[last], prefix.start, prefix.kv)
        for prefix, first, last in layout.ranges
        if prefix.kv is not None
    ]
    hidden = torch.arange(longest)[None] > torch.tensor(places)[:, None]
    mask = torch.zeros(hidden.shape).masked_fill(hidden, float("-inf")).to(shape.device)
    key_indices, value_indices = _gather_indices(batch, owners, places, longest)
    return DecodeMetadata(
        keys=batch.keys,
        values=batch.values,
        batch=torch.tensor(owners, device=shape.device),
        places=torch.tensor(places, device=shape.device),
        key_indices=key_indices,
        value_indices=value_indices,
        segments=tuple(segments),
        workspace=workspace,
        mask=mask[:, None],
    )


def _gather_indices(
    batch: RunningBatch, owners: Sequence[int], places: Sequence[int], longest: int
) -> "tuple[torch.Tensor, torch.Tensor]":
    """Return the bags of keys and of values of `DecodeMetadata` for tokens at `places` in the slots `owners`."""
    import torch  # noqa: PLC0415 - heavy

    shape = batch.shape
    group = shape.heads // shape.key_heads
    count = torch.arange(max(longest, shape.head_size, shape.key_heads), dtype=torch.int32)
    # (key heads, tokens): whose part of the slots it is.
    part = torch.tensor(owners, dtype=torch.int32)[None] * shape.key_heads + count[: shape.key_heads, None]
    block = part[..., None] * batch.keys.shape[3] + count[: -(-longest // BLOCK)]
    numbers = block[..., None] * shape.head_size + count[: shape.head_size]
    key_indices = numbers[:, :, None].expand(-1, -1, group, -1, -1).reshape(-1, shape.head_size)
    seen = count[:longest].minimum(torch.tensor(places, dtype=torch.int32)[:, None])
    sequences = part[..., None] * batch.values.shape[3] + seen
    value_indices = sequences[:, :, None].expand(-1, -1, group, -1).reshape(-1, longest)
    return key_indices.to(shape.device), value_indices.to(shape.device)
