"""Attention kernels without padding: prefill over chunks of any lengths, and shared-prefix (cascade) decode attention.

transformers' models call the function registered here for every layer, with the keyword `attention_metadata` of the
forward pass. The keys and values of a prefix are never copied for the sequences below it: in a decode step, one product
per prefix serves them all.
"""

from typing import TYPE_CHECKING

from xlingual.decoder.protocols import AttentionModule

from .batch_plan import DecodeMetadata, PrefillMetadata
from .kv_cache import BLOCK_SIZE

if TYPE_CHECKING:
    import torch

NAME = "xlingual_packed"
"""Of the function among transformers' attention implementations."""


def register() -> None:
    """Make the function known to transformers, under NAME."""
    from transformers import AttentionInterface, AttentionMaskInterface  # noqa: PLC0415 - heavy

    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, _no_mask)


def attend(  # noqa: PLR0913 - transformers' signature
    module: AttentionModule,
    query: "torch.Tensor",
    key: "torch.Tensor",
    value: "torch.Tensor",
    attention_mask: object,  # noqa: ARG001 - the metadata say who sees whom
    scaling: float | None = None,
    attention_metadata: PrefillMetadata | DecodeMetadata | None = None,
    **_others: object,
) -> "tuple[torch.Tensor, None]":
    """Return the attention of `query`, (1, heads, tokens, head size), as (1, tokens, heads, head size)."""
    layer = module.layer_idx
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    if isinstance(attention_metadata, PrefillMetadata):
        return prefill_attention(attention_metadata, layer, query[0] * scale, key[0], value[0])[None], None
    if isinstance(attention_metadata, DecodeMetadata):
        return decode_attention(attention_metadata, layer, query[0] * scale, key[0], value[0])[None], None
    raise TypeError(f"{NAME} attention needs its metadata")


def prefill_attention(
    metadata: PrefillMetadata, layer: int, query: "torch.Tensor", key: "torch.Tensor", value: "torch.Tensor"
) -> "torch.Tensor":
    """Return the attention of scaled `query`, (heads, tokens, head size), as (tokens, heads, head size)."""
    import torch  # noqa: PLC0415 - heavy
    from torch.nn.functional import scaled_dot_product_attention  # noqa: PLC0415 - heavy

    # All is written before anything is read: a prefix and the suffixes below it may stand in one pass.
    for write in metadata.writes:
        new = slice(write.first, write.last)
        write.kv.write(layer, write.offset, key[:, new], value[:, new])
    heads, tokens, size = query.shape
    out = query.new_empty(tokens, heads, size)
    kv_heads = key.shape[0]
    for group in metadata.groups:
        own = slice(group.first, group.last)
        keys = torch.cat([*(kv.keys(layer, count) for kv, count in group.past), key[:, own]], dim=1)
        values = torch.cat([*(kv.values(layer, count) for kv, count in group.past), value[:, own]], dim=1)
        # The query heads of a KV head are laid behind each other, so that keys are not repeated.
        folded = query[:, own].reshape(1, kv_heads, -1, size)
        answer = scaled_dot_product_attention(folded, keys[None], values[None], attn_mask=group.mask, scale=1.0)
        out[own] = answer.reshape(heads, -1, size).transpose(0, 1)
    return out


def decode_attention(
    metadata: DecodeMetadata, layer: int, query: "torch.Tensor", key: "torch.Tensor", value: "torch.Tensor"
) -> "torch.Tensor":
    """Return the attention of scaled `query`, (heads, tokens, head size), as (tokens, heads, head size)."""
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
    torch.add(own, metadata.mask, out=workspace.scores[..., prefix_tokens:])
    for segment in metadata.segments:
        segment.scores.copy_(segment.queries.bmm(segment.keys[layer]))
    if workspace.weights.dtype == workspace.scores.dtype:
        torch.softmax(workspace.scores, -1, out=workspace.weights)
    else:
        workspace.weights.copy_(workspace.scores.softmax(-1))
    weights = workspace.weights[..., prefix_tokens:].reshape(-1, length)
    own = embedding_bag(metadata.value_indices, values.view(-1, size), mode="sum", per_sample_weights=weights)
    workspace.outputs.copy_(own.view_as(workspace.outputs))
    for segment in metadata.segments:
        segment.outputs.add_(segment.weights.bmm(segment.values[layer]))
    return workspace.outputs.transpose(0, 1).reshape(tokens, heads, size)


def _no_mask(*_arguments: object, **_named: object) -> None:
    return None
