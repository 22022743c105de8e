"""Attention metadata of a forward pass: which tokens write to and read from which part of the KV cache.

    PrefillMetadata    chunks of prompts, concatenated; each group of them attends to what stands before it
    DecodeMetadata     the newest tokens of the running sequences; a prefix is read once for all sequences below it

Both are made once for a pass and used by every layer: `attention` holds the kernels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from .chunked_prefill import PrefillChunk, split_into_passes
from .kv_cache import BLOCK_SIZE, KVBuffer, KVCache, KVCacheSpec, PrefixKV
from .running_batch import RunningBatch, batch_layout

if TYPE_CHECKING:
    import torch

PREFILL_GROUP_TOKENS = 128
"""Most tokens of a prefill group on a CPU: more would waste work on what the mask hides, fewer make small products."""
PREFILL_GROUP_TOKENS_GPU = 1024
"""The same on any other device; not measured."""
READ_LENGTH_MULTIPLE = 16
"""Tokens: a decode step reads every cache row up to the longest sequence, rounded up to a multiple of this."""


@dataclass(frozen=True, slots=True)
class KVWrite:
    """Tokens `first` to `last` of a prefill pass, whose keys and values go to `kv` from its token `offset` on."""

    first: int
    last: int
    kv: KVBuffer
    offset: int


@dataclass(frozen=True, slots=True)
class PrefillGroup:
    """Tokens `first` to `last` of a prefill pass: they attend to all of `past`, and to each other as `mask` allows."""

    first: int
    last: int
    past: tuple[tuple[KVBuffer, int], ...]
    """Keys and values before them, and how many tokens of each."""
    masks: "Mapping[int | None, torch.Tensor]"
    """By sliding window, None for full attention: (query heads of a KV head x tokens, past + tokens), added to the
    attention scores. Where the window hides the first of `past` from all tokens, the mask is without their columns."""


@dataclass(frozen=True, slots=True)
class PrefillMetadata:
    """A forward pass over prefill chunks."""

    writes: tuple[KVWrite, ...]
    groups: tuple[PrefillGroup, ...]


@dataclass(frozen=True, slots=True)
class SharedPrefixSegment:
    """A prefix in a decode step, and the tokens below it (cascade attention); views, made once for all layers."""

    keys: "tuple[torch.Tensor, ...]"
    """Of the prefix in each layer, (KV heads, head size, prefix tokens)."""
    values: "tuple[torch.Tensor, ...]"
    """(KV heads, prefix tokens, head size)."""
    queries: "torch.Tensor"
    """A part of the workspace's queries, (KV heads, tokens x query heads of a KV head, head size)."""
    scores: "torch.Tensor"
    """(KV heads, tokens x query heads of a KV head, prefix tokens)."""
    weights: "torch.Tensor"
    outputs: "torch.Tensor"
    """As `queries`."""


@dataclass(frozen=True, slots=True)
class DecodeMetadata:
    """A decode step: the newest token of every sequence, and the draft tokens behind it, in the order of the layout.

    A token attends to the prefixes of its sequence through `segments`, and to the sequence's cache row through gather
    indices: `embedding_bag` sums weighted rows of a table. A score is the sum of a key's components weighted by the
    query, an output the sum of values weighted by attention. Matrix products of so few queries with the keys of one
    sequence would take up to twice as long as reading these.
    """

    cache: KVCache
    cache_rows: "torch.Tensor"
    """The cache row of each token."""
    cache_positions: "torch.Tensor"
    """Where in its row the keys and values of each token go."""
    key_indices: "torch.Tensor"
    """(KV heads x tokens x query heads of a KV head x blocks, head size): the rows to sum of a table that has a row for
    each component of the keys of a block."""
    value_indices: "torch.Tensor"
    """(KV heads x tokens x query heads of a KV head, row tokens): the rows to sum of a table that has a row for each
    value. Positions behind a token's own are replaced by its own, with a weight of zero: they are not to be read."""
    segments: tuple[SharedPrefixSegment, ...]
    workspace: "AttentionWorkspace"
    mask: "torch.Tensor"
    """(tokens, 1, row tokens), added to the scores of the cache rows."""
    window_masks: "Mapping[int, torch.Tensor | None]"
    """By sliding window: (tokens, 1, prefix tokens + row tokens), added to all scores; None where it hides nothing."""


@dataclass(frozen=True, slots=True)
class AttentionWorkspace:
    """Buffers of a decode step that all layers use in turn, (KV heads, tokens, query heads of a KV head, ...)."""

    queries: "torch.Tensor"
    """By head size."""
    scores: "torch.Tensor"
    """By prefix tokens, then row tokens, in float32; minus infinity at the start and wherever nothing is seen."""
    weights: "torch.Tensor"
    """The softmax of the scores."""
    outputs: "torch.Tensor"
    """By value size."""

    def segment(self, first: int, last: int, start: int, kv: PrefixKV) -> SharedPrefixSegment:
        """Return the tokens `first` to `last` of the step, below a prefix that begins at the position `start`."""
        end = start + kv.token_keys.shape[2]
        return SharedPrefixSegment(
            keys=kv.token_keys.transpose(2, 3).unbind(0),
            values=kv.token_values.unbind(0),
            queries=_merge_group(self.queries[:, first:last]),
            scores=_merge_group(self.scores[:, first:last, :, start:end]),
            weights=_merge_group(self.weights[:, first:last, :, start:end]),
            outputs=_merge_group(self.outputs[:, first:last]),
        )


def _merge_group(part: "torch.Tensor") -> "torch.Tensor":
    """Return a view of (KV heads, tokens, heads of a group, n) with tokens and heads in one; never a copy."""
    return part.view(part.shape[0], part.shape[1] * part.shape[2], part.shape[3])


def new_workspace(spec: KVCacheSpec, tokens: int, seen: int) -> AttentionWorkspace:
    """Return the workspace of a step of so many tokens, each of which sees up to `seen` others."""
    import torch  # noqa: PLC0415 - heavy

    size = (spec.kv_heads, tokens, spec.group_size)
    return AttentionWorkspace(
        queries=torch.empty(*size, spec.head_size, dtype=spec.dtype, device=spec.device),
        scores=torch.full((*size, seen), float("-inf"), device=spec.device),
        weights=torch.empty(*size, seen, dtype=spec.dtype, device=spec.device),
        outputs=torch.empty(*size, spec.value_size, dtype=spec.dtype, device=spec.device),
    )


def plan_prefill(spec: KVCacheSpec, chunks: Sequence[PrefillChunk]) -> PrefillMetadata:
    """Return who writes and reads what in a forward pass over `chunks`."""
    writes: list[KVWrite] = []
    first = 0
    for chunk in chunks:
        last = first + len(chunk.ids)
        writes.append(KVWrite(first, last, chunk.kv, chunk.offset))
        first = last
    groups: list[PrefillGroup] = []
    first = 0
    for members in _group_chunks(spec, chunks):
        groups.append(_prefill_group(spec, first, members))
        first = groups[-1].last
    return PrefillMetadata(tuple(writes), tuple(groups))


def _group_chunks(spec: KVCacheSpec, chunks: Sequence[PrefillChunk]) -> list[list[PrefillChunk]]:
    """Return the chunks that attend together: parts of one chunk that is long, or whole suffixes below one prefix."""
    most = PREFILL_GROUP_TOKENS if spec.device.startswith("cpu") else PREFILL_GROUP_TOKENS_GPU
    groups: list[list[PrefillChunk]] = []
    sizes: list[int] = []
    # The later parts of a long chunk find the keys and values of the earlier ones where these were written.
    for chunk in (part for whole in chunks for parts in split_into_passes([whole], most) for part in parts):
        is_suffix = chunk.sequence is not None and chunk.offset == 0 and bool(chunk.ancestors)
        before = groups[-1][-1] if groups else None
        if (
            is_suffix
            and before is not None
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
    return groups


def _prefill_group(spec: KVCacheSpec, first: int, members: Sequence[PrefillChunk]) -> PrefillGroup:
    head = members[0]
    past: list[tuple[KVBuffer, int]] = [(each.kv, each.length) for each in head.ancestors if each.kv is not None]
    if head.offset:
        past.append((head.kv, head.offset))
    lengths = tuple(len(each.ids) for each in members)
    before = sum(count for _, count in past)
    masks: dict[int | None, torch.Tensor] = {None: prefill_mask(spec, before, lengths)}
    for window in spec.windows:
        hides = before + max(lengths) > window
        masks[window] = prefill_mask(spec, before, lengths, window) if hides else masks[None]
    return PrefillGroup(first, first + sum(lengths), tuple(past), masks)


def prefill_mask(spec: KVCacheSpec, past: int, lengths: tuple[int, ...], window: int | None = None) -> "torch.Tensor":
    """Return the mask of chunks that see `past` tokens and each its own, causally; see `PrefillGroup`.

    With a sliding window, a token sees itself and the `window` - 1 tokens before it.
    """
    import torch  # noqa: PLC0415 - heavy

    chunk = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    own = (chunk[:, None] == chunk[None]).tril()
    seen = torch.cat([torch.ones(len(own), past, dtype=torch.bool), own], dim=1)
    if window is not None:
        # Chunks of a group all begin behind `past`.
        places = torch.cat([torch.arange(length) for length in lengths]) + past
        seen &= torch.cat([torch.arange(past), places]) > places[:, None] - window
        seen = seen[:, max(0, past - window + 1) :]
    mask = torch.zeros(seen.shape, dtype=spec.dtype).masked_fill(~seen, float("-inf"))
    return mask.repeat(spec.group_size, 1).to(spec.device)


def plan_decode(batch: RunningBatch, counts: Sequence[int]) -> DecodeMetadata:
    """Return who reads what in a decode step over the newest tokens of each sequence, `counts` of them."""
    import torch  # noqa: PLC0415 - heavy

    layout, cache = batch_layout(batch), batch.cache
    spec = cache.spec
    starts = list(accumulate(counts, initial=0))
    tokens = [
        (row, batch.lengths[row] + index)
        for row, count in zip(layout.cache_rows, counts, strict=True)
        for index in range(count)
    ]
    rows, positions = [row for row, _ in tokens], [position for _, position in tokens]
    multiple = READ_LENGTH_MULTIPLE
    length = min(-(-(max(positions) + 1) // multiple) * multiple, cache.row_tokens)
    workspace = new_workspace(spec, len(tokens), layout.longest_prefix + length)
    segments = [
        workspace.segment(starts[first], starts[last], prefix.start, prefix.kv)
        for prefix, first, last in layout.prefix_ranges
        if prefix.kv is not None
    ]
    hidden = torch.arange(length)[None] > torch.tensor(positions)[:, None]
    mask = torch.zeros(hidden.shape).masked_fill(hidden, float("-inf")).to(spec.device)
    key_indices, value_indices = _gather_indices(cache, rows, positions, length)
    prefixes = [
        batch.sequences[row].prefix_length
        for row, count in zip(layout.cache_rows, counts, strict=True)
        for _ in range(count)
    ]
    return DecodeMetadata(
        cache=cache,
        cache_rows=torch.tensor(rows, device=spec.device),
        cache_positions=torch.tensor(positions, device=spec.device),
        key_indices=key_indices,
        value_indices=value_indices,
        segments=tuple(segments),
        workspace=workspace,
        mask=mask[:, None],
        window_masks={
            window: _window_mask(window, prefixes, positions, (layout.longest_prefix, length), spec.device)
            for window in spec.windows
        },
    )


def _window_mask(
    window: int, prefixes: Sequence[int], positions: Sequence[int], columns: tuple[int, int], device: str
) -> "torch.Tensor | None":
    """Return the mask of a sliding window, see `DecodeMetadata`, for tokens at `positions` of their rows.

    `prefixes` are the prefix tokens of each, `columns` the columns of the scores for prefixes and for rows.
    """
    import torch  # noqa: PLC0415 - heavy

    if max(prefix + position for prefix, position in zip(prefixes, positions, strict=True)) < window:
        return None
    before = torch.tensor(prefixes)[:, None]
    first_seen = before + torch.tensor(positions)[:, None] - window + 1
    places = torch.cat([torch.arange(columns[0])[None].expand(len(prefixes), -1), before + torch.arange(columns[1])], 1)
    hidden = places < first_seen
    return torch.zeros(hidden.shape).masked_fill(hidden, float("-inf"))[:, None].to(device)


def _gather_indices(
    cache: KVCache, rows: Sequence[int], positions: Sequence[int], length: int
) -> "tuple[torch.Tensor, torch.Tensor]":
    """Return the gather indices of keys and values in `DecodeMetadata`, for tokens at `positions` of cache `rows`."""
    import torch  # noqa: PLC0415 - heavy

    spec = cache.spec
    count = torch.arange(max(length, spec.head_size, spec.kv_heads), dtype=torch.int32)
    # (KV heads, tokens): the part of the cache that holds one KV head of one row.
    part = torch.tensor(rows, dtype=torch.int32)[None] * spec.kv_heads + count[: spec.kv_heads, None]
    block = part[..., None] * cache.row_blocks + count[: -(-length // BLOCK_SIZE)]
    components = block[..., None] * spec.head_size + count[: spec.head_size]
    key_indices = components[:, :, None].expand(-1, -1, spec.group_size, -1, -1).reshape(-1, spec.head_size)
    seen = count[:length].minimum(torch.tensor(positions, dtype=torch.int32)[:, None])
    values = part[..., None] * cache.row_tokens + seen
    value_indices = values[:, :, None].expand(-1, -1, spec.group_size, -1).reshape(-1, length)
    return key_indices.to(spec.device), value_indices.to(spec.device)
