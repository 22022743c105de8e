"""Attention without padding: packed prompts, and single tokens over the shared prefixes and slots of their rows.

transformers' models call the function registered here for every layer, with the keyword `plan` of the forward pass.
Nothing is copied for a row below a prefix: in decoding, one product per prefix serves all the rows below it.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch

NAME = "xlingual_packed"
"""Of the function among transformers' attention implementations."""
CAUSAL_FROM = 128
"""Tokens: from here on a text without a past is attended by the causal kernel, which skips half of the work."""


class Layer(Protocol):
    """What is used of an attention module."""

    @property
    def layer_idx(self) -> int:
        """Its place in the model, from 0."""
        ...


@dataclass(frozen=True, slots=True)
class Written:
    """Tokens `first` to `last` of a pack, whose keys and values go to `store` from `offset` on."""

    first: int
    last: int
    store: "torch.Tensor"
    """(layers, 2, key heads, tokens, head size)."""
    offset: int


@dataclass(frozen=True, slots=True)
class Read:
    """Tokens `first` to `last` of a pack, which see all of `past` and of each other what `mask` allows."""

    first: int
    last: int
    past: "tuple[torch.Tensor, ...]"
    """Stores as in `Written`, cut to what is to be seen."""
    mask: "torch.Tensor | None"
    """(heads of a group x tokens, past + tokens), added to the scores; None: causal, no past."""


@dataclass(frozen=True, slots=True)
class PackPlan:
    """A forward pass over a pack of prompts."""

    written: tuple[Written, ...]
    read: tuple[Read, ...]


@dataclass(frozen=True, slots=True)
class Span:
    """The rows `first` to `last` below a prefix that holds tokens `start` to `end`."""

    first: int
    last: int
    start: int
    end: int
    store: "torch.Tensor"


@dataclass(frozen=True, slots=True)
class StepPlan:
    """A forward pass over the newest token of each row; rows stand in the order of the trie."""

    pool: "torch.Tensor"
    """Keys and values of the slots, (layers, 2, slots, key heads, tokens, head size)."""
    slots: "torch.Tensor"
    """The slot of each row; the rows fill the first slots."""
    rows: "torch.Tensor"
    """The row of each slot."""
    places: "torch.Tensor"
    """Where in its slot each row's token goes."""
    spans: tuple[Span, ...]
    scores: "torch.Tensor"
    """(key heads, rows, heads of a group, prefix tokens + slot tokens) in float32, minus infinity at the start."""
    mask: "torch.Tensor"
    """(rows, 1, slot tokens), added to the scores of the slots."""


def register() -> None:
    """Make the function known to transformers, under NAME."""
    from transformers import AttentionInterface, AttentionMaskInterface  # noqa: PLC0415 - heavy

    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, _no_mask)


def attend(  # noqa: PLR0913 - transformers' signature
    module: Layer,
    query: "torch.Tensor",
    key: "torch.Tensor",
    value: "torch.Tensor",
    attention_mask: object,  # noqa: ARG001 - the plan says who sees whom
    scaling: float | None = None,
    plan: PackPlan | StepPlan | None = None,
    **_others: object,
) -> "tuple[torch.Tensor, None]":
    """Return the attention of `query`, (1, heads, tokens, head size), as (1, tokens, heads, head size)."""
    layer = module.layer_idx
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    if isinstance(plan, PackPlan):
        return _attend_pack(plan, layer, query * scale, key[0], value[0]), None
    if isinstance(plan, StepPlan):
        return _attend_step(plan, layer, query[0] * scale, key[0], value[0]), None
    raise TypeError(f"{NAME} attention needs a plan")


def pack_mask(past: int, lengths: "tuple[int, ...]", like: "torch.Tensor", heads: int) -> "torch.Tensor | None":
    """Return the mask of texts that see `past` tokens, and each its own up to the one at hand; see `Read`.

    `like` lends dtype and device; `heads` is the number of query heads for a key head.
    """
    import torch  # noqa: PLC0415 - heavy

    if past == 0 and len(lengths) == 1 and lengths[0] >= CAUSAL_FROM:
        return None
    text = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    own = (text[:, None] == text[None]).tril()
    seen = torch.cat([torch.ones(len(own), past, dtype=torch.bool), own], dim=1)
    mask = torch.zeros(seen.shape, dtype=like.dtype).masked_fill(~seen, float("-inf"))
    return mask.repeat(heads, 1).to(like.device)


def _attend_pack(
    plan: PackPlan, layer: int, query: "torch.Tensor", key: "torch.Tensor", value: "torch.Tensor"
) -> "torch.Tensor":
    import torch  # noqa: PLC0415 - heavy
    from torch.nn.functional import scaled_dot_product_attention  # noqa: PLC0415 - heavy

    # All is written before anything is read: a prefix and the texts below it may stand in one pack.
    for each in plan.written:
        end = each.offset + each.last - each.first
        each.store[layer, 0][:, each.offset : end] = key[:, each.first : each.last]
        each.store[layer, 1][:, each.offset : end] = value[:, each.first : each.last]
    out = torch.empty_like(query)
    key_heads, size = key.shape[0], key.shape[-1]
    for part in plan.read:
        own = slice(part.first, part.last)
        if part.mask is None:
            out[:, :, own] = scaled_dot_product_attention(
                query[:, :, own], key[None, :, own], value[None, :, own], is_causal=True, scale=1.0, enable_gqa=True
            )
            continue
        keys = torch.cat([*(store[layer, 0] for store in part.past), key[:, own]], dim=1)
        values = torch.cat([*(store[layer, 1] for store in part.past), value[:, own]], dim=1)
        # The heads that share a key head are laid behind each other, so that keys are not repeated.
        folded = query[0, :, own].reshape(1, key_heads, -1, size)
        answer = scaled_dot_product_attention(folded, keys[None], values[None], attn_mask=part.mask, scale=1.0)
        out[0, :, own] = answer.reshape(query.shape[1], -1, size)
    return out.transpose(1, 2)


def _attend_step(
    plan: StepPlan, layer: int, query: "torch.Tensor", key: "torch.Tensor", value: "torch.Tensor"
) -> "torch.Tensor":
    heads, rows, size = query.shape
    key_heads = key.shape[0]
    group = heads // key_heads
    keys, values = plan.pool[layer, 0], plan.pool[layer, 1]
    keys[plan.slots, :, plan.places] = key.transpose(0, 1)
    values[plan.slots, :, plan.places] = value.transpose(0, 1)
    length = plan.mask.shape[-1]
    shared = plan.scores.shape[-1] - length
    by_head = query.view(key_heads, group, rows, size).transpose(1, 2).contiguous()
    by_slot = by_head.transpose(0, 1).index_select(0, plan.rows)
    own = by_slot @ keys[:rows, :, :length].transpose(2, 3)
    scores = plan.scores
    scores[..., shared:] = (own.index_select(0, plan.slots) + plan.mask[:, None]).transpose(0, 1)
    for span in plan.spans:
        asked = by_head[:, span.first : span.last].reshape(key_heads, -1, size)
        found = asked @ span.store[layer, 0].transpose(1, 2)
        scores[:, span.first : span.last, :, span.start : span.end] = found.view(
            key_heads, -1, group, span.end - span.start
        )
    weights = scores.softmax(-1).to(query.dtype)
    of_slots = weights[..., shared:].transpose(0, 1).index_select(0, plan.rows)
    out = (of_slots @ values[:rows, :, :length]).index_select(0, plan.slots).transpose(0, 1).contiguous()
    for span in plan.spans:
        part = weights[:, span.first : span.last, :, span.start : span.end]
        found = part.reshape(key_heads, -1, span.end - span.start) @ span.store[layer, 1]
        out[:, span.first : span.last] += found.view(key_heads, -1, group, size)
    return out.transpose(0, 1).reshape(1, rows, heads, size)


def _no_mask(*_places: object, **_names: object) -> None:
    return None
