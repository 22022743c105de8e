"""Attention without padding: packed prompts, and single tokens over the shared prefixes and slots of their rows.

transformers' models call the function registered here for every layer, with the keyword `plan` of the forward pass.
Nothing is copied for a row below a prefix: in decoding, one product per prefix serves all the rows below it.
"""

from typing import TYPE_CHECKING

from xlingual.decoder.protocols import AttentionModule

from .batch_plan import DecodeMetadata, PrefillMetadata
from .kv_cache import BLOCK

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
    attention_mask: object,  # noqa: ARG001 - the plan says who sees whom
    scaling: float | None = None,
    plan: PrefillMetadata | DecodeMetadata | None = None,
    **_others: object,
) -> "tuple[torch.Tensor, None]":
    """Return the attention of `query`, (1, heads, tokens, head size), as (1, tokens, heads, head size)."""
    layer = module.layer_idx
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    if isinstance(plan, PrefillMetadata):
        return prefill_attention(plan, layer, query[0] * scale, key[0], value[0])[None], None
    if isinstance(plan, DecodeMetadata):
        return decode_attention(plan, layer, query[0] * scale, key[0], value[0])[None], None
    raise TypeError(f"{NAME} attention needs a plan")


def prefill_attention(
    plan: PrefillMetadata, layer: int, query: "torch.Tensor", key: "torch.Tensor", value: "torch.Tensor"
) -> "torch.Tensor":
    """Return the attention of scaled `query`, (heads, tokens, head size), as (tokens, heads, head size)."""
    import torch  # noqa: PLC0415 - heavy
    from torch.nn.functional import scaled_dot_product_attention  # noqa: PLC0415 - heavy

    # All is written before anything is read: a prefix and the texts below it may stand in one pack.
    for each in plan.written:
        new = slice(each.first, each.last)
        each.kv.write(layer, each.offset, key[:, new], value[:, new])
    heads, tokens, size = query.shape
    out = query.new_empty(tokens, heads, size)
    key_heads = key.shape[0]
    for part in plan.read:
        own = slice(part.first, part.last)
        keys = torch.cat([*(kv.keys(layer, count) for kv, count in part.past), key[:, own]], dim=1)
        values = torch.cat([*(kv.values(layer, count) for kv, count in part.past), value[:, own]], dim=1)
        # The heads that share a key head are laid behind each other, so that keys are not repeated.
        folded = query[:, own].reshape(1, key_heads, -1, size)
        answer = scaled_dot_product_attention(folded, keys[None], values[None], attn_mask=part.mask, scale=1.0)
        out[own] = answer.reshape(heads, -1, size).transpose(0, 1)
    return out


def decode_attention(
    plan: DecodeMetadata, layer: int, query: "torch.Tensor", key: "torch.Tensor", value: "torch.Tensor"
) -> "torch.Tensor":
    """Return the attention of scaled `query`, (heads, tokens, head size), as (tokens, heads, head size)."""
    import torch  # noqa: PLC0415 - heavy
    from torch.nn.functional import embedding_bag  # noqa: PLC0415 - heavy

    heads, tokens, size = query.shape
    workspace, keys, values = plan.workspace, plan.keys[layer], plan.values[layer]
    keys[plan.batch, :, plan.places // BLOCK, :, plan.places % BLOCK] = key.transpose(0, 1)
    values[plan.batch, :, plan.places] = value.transpose(0, 1)
    length = plan.mask.shape[-1]
    shared = workspace.scores.shape[-1] - length
    workspace.queries.copy_(query.view(len(key), -1, tokens, size).transpose(1, 2))
    blocks = -(-length // BLOCK)
    queries = workspace.queries[..., None, :].expand(-1, -1, -1, blocks, -1).reshape(-1, size)
    own = embedding_bag(plan.key_indices, keys.view(-1, BLOCK), mode="sum", per_sample_weights=queries)
    own = own.view(*workspace.queries.shape[:-1], -1)[..., :length]
    torch.add(own, plan.mask, out=workspace.scores[..., shared:])
    for segment in plan.segments:
        segment.scores.copy_(segment.queries.bmm(segment.keys[layer]))
    if workspace.weights.dtype == workspace.scores.dtype:
        torch.softmax(workspace.scores, -1, out=workspace.weights)
    else:
        workspace.weights.copy_(workspace.scores.softmax(-1))
    weights = workspace.weights[..., shared:].reshape(-1, length)
    own = embedding_bag(plan.value_indices, values.view(-1, size), mode="sum", per_sample_weights=weights)
    workspace.outputs.copy_(own.view_as(workspace.outputs))
    for segment in plan.segments:
        segment.outputs.add_(segment.weights.bmm(segment.values[layer]))
    return workspace.outputs.transpose(0, 1).reshape(tokens, heads, size)


def _no_mask(*_places: object, **_names: object) -> None:
    return None
