"""Attention kernels without padding: prefill over chunks of any lengths, and shared-prefix (cascade) decode attention.

transformers' models call the function registered here once for every layer. What a forward pass is over they find in an
`AttentionStep` of its own, not among their keywords: some layers (StableLM, Nemotron) do not hand keywords on.
The keys and values of a prefix are never copied for the sequences below it: in a decode step, one product per prefix
serves them all.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .batch_plan import DecodeMetadata, PrefillGroup, PrefillMetadata
from .kv_cache import BLOCK_SIZE

if TYPE_CHECKING:
    import torch

NAME = "xlingual_packed"
"""Of the function among transformers' attention implementations."""
NOT_COMPUTED = ("position_bias", "sinks", "block_indices")
"""Keywords of attention that change its result and that nothing here computes."""


@dataclass(frozen=True, slots=True)
class AttentionKind:
    """What a layer does with its scores besides the softmax."""

    window: int | None = None
    """Of sliding-window attention, tokens: a token sees itself and those before it, so many in all."""
    softcap: float | None = None
    """Scores are capped to softcap x tanh(score / softcap), as in Gemma 2."""
    sinks: "torch.Tensor | None" = None
    """(heads,): a score beside those of the tokens that takes its share of the softmax, as in gpt-oss."""


FULL = AttentionKind()


@dataclass(frozen=True, slots=True)
class AttentionCall:
    """What one layer handed to attention."""

    heads: int
    kv_heads: int
    head_size: int
    value_size: int
    kind: AttentionKind


@dataclass(slots=True)
class AttentionStep:
    """A forward pass: its metadata, and the calls of attention so far, which number the layers of the KV cache."""

    metadata: PrefillMetadata | DecodeMetadata | None
    """None to find out what the layers call attention with; it then returns zeros."""
    positions: "torch.Tensor"
    """(tokens,): where each token stands in its text."""
    count: int = 0
    calls: list[AttentionCall] = field(default_factory=list)
    """Only without metadata."""


_STEP: ContextVar[AttentionStep] = ContextVar("attention_step")


@contextmanager
def attention_step(
    metadata: PrefillMetadata | DecodeMetadata | None, positions: "torch.Tensor"
) -> Iterator[AttentionStep]:
    """Let attention compute by `metadata` for tokens at `positions`."""
    step = AttentionStep(metadata, positions)
    token = _STEP.set(step)
    try:
        yield step
    finally:
        _STEP.reset(token)


def current_positions() -> "torch.Tensor":
    """Return where the tokens of the pass that is computed stand in their texts, (tokens,)."""
    return _STEP.get().positions


def register() -> None:
    """Make the function known to transformers, under NAME."""
    from transformers import AttentionInterface, AttentionMaskInterface  # noqa: PLC0415 - heavy

    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, _no_mask)


def attend(  # noqa: PLR0913 - transformers' signature
    module: object,  # noqa: ARG001 - the order of the calls numbers the layers, also where a module is used twice
    query: "torch.Tensor",
    key: "torch.Tensor",
    value: "torch.Tensor",
    attention_mask: object,  # noqa: ARG001 - the metadata say who sees whom
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: "torch.Tensor | None" = None,
    **others: object,
) -> "tuple[torch.Tensor, None]":
    """Return the attention of `query`, (1, heads, tokens, head size), as (1, tokens, heads, value size)."""
    step = _STEP.get()
    if unknown := [name for name in NOT_COMPUTED if others.get(name) is not None]:
        raise TypeError(f"attention with {unknown[0]}")
    kind = AttentionKind(sliding_window, softcap, s_aux)
    layer, step.count = step.count, step.count + 1
    if step.metadata is None:
        step.calls.append(AttentionCall(query.shape[1], key.shape[1], query.shape[-1], value.shape[-1], kind))
        return query.new_zeros(query.shape[0], query.shape[2], query.shape[1], value.shape[-1]), None
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    compute = prefill_attention if isinstance(step.metadata, PrefillMetadata) else decode_attention
    found = compute(step.metadata, layer, query[0] * scale, key[0], value[0], kind)  # type: ignore[arg-type]
    # As transformers' own return it: JetMoE's layers look at it as a matrix without a copy.
    return found[None].contiguous(), None


def prefill_attention(
    metadata: PrefillMetadata,
    layer: int,
    query: "torch.Tensor",
    key: "torch.Tensor",
    value: "torch.Tensor",
    kind: AttentionKind = FULL,
) -> "torch.Tensor":
    """Return the attention of scaled `query`, (heads, tokens, head size), as (tokens, heads, value size)."""
    # All is written before anything is read: a prefix and the suffixes below it may stand in one pass.
    for write in metadata.writes:
        new = slice(write.first, write.last)
        write.kv.write(layer, write.offset, key[:, new], value[:, new])
    heads, tokens, _ = query.shape
    out = query.new_empty(tokens, heads, value.shape[-1])
    for group in metadata.groups:
        own = slice(group.first, group.last)
        answer = _attend_group(group, layer, (query[:, own], key[:, own], value[:, own]), kind)
        out[own] = answer.reshape(heads, group.last - group.first, -1).transpose(0, 1)
    return out


def _attend_group(
    group: PrefillGroup, layer: int, own: "tuple[torch.Tensor, torch.Tensor, torch.Tensor]", kind: AttentionKind
) -> "torch.Tensor":
    """Return the attention of a group's own queries, keys and values, (1, KV heads, query heads x tokens, size)."""
    import torch  # noqa: PLC0415 - heavy
    from torch.nn.functional import scaled_dot_product_attention  # noqa: PLC0415 - heavy

    query, key, value = own
    mask = group.masks[kind.window]
    keys = torch.cat([*(kv.keys(layer, count) for kv, count in group.past), key], dim=1)[:, -mask.shape[1] :]
    values = torch.cat([*(kv.values(layer, count) for kv, count in group.past), value], dim=1)[:, -mask.shape[1] :]
    # The query heads of a KV head are laid behind each other, so that keys are not repeated.
    folded = query.reshape(1, len(key), -1, query.shape[-1])
    if kind.softcap is None and kind.sinks is None:
        return scaled_dot_product_attention(folded, keys[None], values[None], attn_mask=mask, scale=1.0)
    scores = _cap((folded @ keys[None].transpose(2, 3)).float(), kind.softcap) + mask
    weights = scores.softmax(-1)
    if kind.sinks is not None:
        weights *= _left_by_sinks(scores, kind.sinks.view(len(key), -1, 1).expand(-1, -1, query.shape[1]).flatten(1))
    return weights.to(values.dtype) @ values[None]


def decode_attention(
    metadata: DecodeMetadata,
    layer: int,
    query: "torch.Tensor",
    key: "torch.Tensor",
    value: "torch.Tensor",
    kind: AttentionKind = FULL,
) -> "torch.Tensor":
    """Return the attention of scaled `query`, (heads, tokens, head size), as (tokens, heads, value size)."""
    import torch  # noqa: PLC0415 - heavy
    from torch.nn.functional import embedding_bag  # noqa: PLC0415 - heavy

    heads, tokens, size = query.shape
    workspace, keys, values = metadata.workspace, metadata.cache.keys[layer], metadata.cache.values[layer]
    rows, positions = metadata.cache_rows, metadata.cache_positions
    keys[rows, :, positions // BLOCK_SIZE, :, positions % BLOCK_SIZE] = key.transpose(0, 1)
    values[rows, :, positions] = value.transpose(0, 1)
    length = metadata.mask.shape[-1]
    prefix_tokens = workspace.scores.shape[-1] - length
    workspace.queries.copy_(query.view(len(key), -1, tokens, size).transpose(1, 2))
    blocks = -(-length // BLOCK_SIZE)
    queries = workspace.queries[..., None, :].expand(-1, -1, -1, blocks, -1).reshape(-1, size)
    own = embedding_bag(metadata.key_indices, keys.view(-1, BLOCK_SIZE), mode="sum", per_sample_weights=queries)
    own = own.view(*workspace.queries.shape[:-1], -1)[..., :length]
    torch.add(_cap(own, kind.softcap), metadata.mask, out=workspace.scores[..., prefix_tokens:])
    for segment in metadata.segments:
        segment.scores.copy_(_cap(segment.queries.bmm(segment.keys[layer]), kind.softcap))
    if kind.window is not None and (hidden := metadata.window_masks[kind.window]) is not None:
        workspace.scores.add_(hidden)
    if workspace.weights.dtype == workspace.scores.dtype:
        torch.softmax(workspace.scores, -1, out=workspace.weights)
    else:
        workspace.weights.copy_(workspace.scores.softmax(-1))
    if kind.sinks is not None:
        workspace.weights.mul_(_left_by_sinks(workspace.scores, kind.sinks.view(len(key), 1, -1)))
    weights = workspace.weights[..., prefix_tokens:].reshape(-1, length)
    own = embedding_bag(
        metadata.value_indices, values.view(-1, value.shape[-1]), mode="sum", per_sample_weights=weights
    )
    workspace.outputs.copy_(own.view_as(workspace.outputs))
    for segment in metadata.segments:
        segment.outputs.add_(segment.weights.bmm(segment.values[layer]))
    return workspace.outputs.transpose(0, 1).reshape(tokens, heads, -1)


def _cap(scores: "torch.Tensor", softcap: float | None) -> "torch.Tensor":
    """Return capped scores; the same where there is no cap."""
    return scores if softcap is None else (scores / softcap).tanh() * softcap


def _left_by_sinks(scores: "torch.Tensor", sinks: "torch.Tensor") -> "torch.Tensor":
    """Return what the sinks, one for each row of scores (..., tokens), leave of the softmax: (..., 1)."""
    return (scores.logsumexp(-1) - sinks.float()).sigmoid()[..., None]


def _no_mask(*_arguments: object, **_named: object) -> None:
    return None
