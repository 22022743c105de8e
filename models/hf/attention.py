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
BLOCK = 32
"""Tokens of a slot whose keys lie number by number, the first ones of all of them before the second ones."""


class Layer(Protocol):
    """What is used of an attention module."""

    @property
    def layer_idx(self) -> int:
        """Its place in the model, from 0."""
        ...


class Store(Protocol):
    """Where keys and values of neighbouring tokens lie; both are (key heads, tokens, head size) in a layer."""

    def write(self, layer: int, offset: int, key: "torch.Tensor", value: "torch.Tensor") -> None:
        """Put keys and values behind the first `offset` tokens."""
        ...

    def keys(self, layer: int, tokens: int) -> "torch.Tensor":
        """Return the keys of the first `tokens`."""
        ...

    def values(self, layer: int, tokens: int) -> "torch.Tensor":
        """Return the values of the first `tokens`."""
        ...


@dataclass(frozen=True, slots=True)
class Whole:
    """A store in one piece: of a prefix, which many read and none adds to."""

    both: "torch.Tensor"
    """(layers, 2, key heads, tokens, head size)."""

    def write(self, layer: int, offset: int, key: "torch.Tensor", value: "torch.Tensor") -> None:
        """Put keys and values behind the first `offset` tokens."""
        self.both[layer, 0][:, offset : offset + key.shape[1]] = key
        self.both[layer, 1][:, offset : offset + key.shape[1]] = value

    def keys(self, layer: int, tokens: int) -> "torch.Tensor":
        """Return the keys of the first `tokens`."""
        return self.both[layer, 0][:, :tokens]

    def values(self, layer: int, tokens: int) -> "torch.Tensor":
        """Return the values of the first `tokens`."""
        return self.both[layer, 1][:, :tokens]


@dataclass(frozen=True, slots=True)
class Slot:
    """A store that a row adds to; see `StepPlan` for how it is read token by token."""

    blocks: "torch.Tensor"
    """Keys, (layers, key heads, blocks, head size, tokens of a block)."""
    rows: "torch.Tensor"
    """Values, (layers, key heads, tokens, head size)."""

    def write(self, layer: int, offset: int, key: "torch.Tensor", value: "torch.Tensor") -> None:
        """Put keys and values behind the first `offset` tokens."""
        last = offset + key.shape[1]
        self.rows[layer, :, offset:last] = value
        for first in range(offset - offset % BLOCK, last, BLOCK):
            start, end = max(first, offset), min(first + BLOCK, last)
            part = key[:, start - offset : end - offset].transpose(1, 2)
            self.blocks[layer, :, first // BLOCK, :, start - first : end - first] = part

    def keys(self, layer: int, tokens: int) -> "torch.Tensor":
        """Return the keys of the first `tokens`, a copy."""
        return self.blocks[layer].transpose(2, 3).flatten(1, 2)[:, :tokens]

    def values(self, layer: int, tokens: int) -> "torch.Tensor":
        """Return the values of the first `tokens`."""
        return self.rows[layer, :, :tokens]


@dataclass(frozen=True, slots=True)
class Written:
    """Tokens `first` to `last` of a pack, whose keys and values go to `store` from `offset` on."""

    first: int
    last: int
    store: Store
    offset: int


@dataclass(frozen=True, slots=True)
class Read:
    """Tokens `first` to `last` of a pack, which see all of `past` and of each other what `mask` allows."""

    first: int
    last: int
    past: tuple[tuple[Store, int], ...]
    """Stores, and how many tokens of each are to be seen."""
    mask: "torch.Tensor"
    """(heads of a group x tokens, past + tokens), added to the scores."""


@dataclass(frozen=True, slots=True)
class PackPlan:
    """A forward pass over a pack of prompts."""

    written: tuple[Written, ...]
    read: tuple[Read, ...]


@dataclass(frozen=True, slots=True)
class Span:
    """Some tokens of a step, of rows below one prefix; views, made once for all layers."""

    keys: "tuple[torch.Tensor, ...]"
    """Of the prefix in each layer, (key heads, head size, prefix tokens)."""
    values: "tuple[torch.Tensor, ...]"
    """(key heads, prefix tokens, head size)."""
    asked: "torch.Tensor"
    """Of the step's queries, (key heads, tokens x heads of a group, head size)."""
    scores: "torch.Tensor"
    """(key heads, tokens x heads of a group, prefix tokens)."""
    weights: "torch.Tensor"
    answers: "torch.Tensor"
    """As `asked`."""


@dataclass(frozen=True, slots=True)
class StepPlan:
    """A forward pass over the newest tokens of each row; rows stand in the order of the trie.

    Slots are read in bags, sums of weighted rows of a table: scores are sums of keys' numbers weighted by a query,
    answers are sums of values weighted by their scores. Products of the few queries of a row with its slot would take
    up to twice as long as reading it.
    """

    keys: "torch.Tensor"
    """Of the slots, (layers, slots, key heads, blocks, head size, tokens of a block); the rows fill the first slots."""
    values: "torch.Tensor"
    """Of the slots, (layers, slots, key heads, tokens, head size)."""
    slots: "torch.Tensor"
    """The slot of each token."""
    places: "torch.Tensor"
    """Where in its slot each token goes."""
    key_bags: "torch.Tensor"
    """Rows of the keys of a layer as a table by blocks, (key heads x tokens x heads of a group x blocks, head size)."""
    value_bags: "torch.Tensor"
    """Rows of the values of a layer as a table by head size, (key heads x tokens x heads of a group, slot tokens); what
    comes after the token itself is the token itself."""
    spans: tuple[Span, ...]
    board: "Board"
    mask: "torch.Tensor"
    """(tokens, 1, slot tokens), added to the scores of the slots."""


@dataclass(frozen=True, slots=True)
class Board:
    """Where every layer of a step does its sums, (key heads, tokens, heads of a group, ...)."""

    asked: "torch.Tensor"
    """Queries, by head size."""
    scores: "torch.Tensor"
    """By prefix tokens, then slot tokens, in float32; minus infinity at the start and wherever nothing is seen."""
    weights: "torch.Tensor"
    answers: "torch.Tensor"
    """By head size."""

    def span(self, first: int, last: int, start: int, store: Whole) -> Span:
        """Return the tokens `first` to `last` of the step, below a prefix whose first token has the place `start`."""
        end = start + store.both.shape[3]
        kept = store.both.flatten(0, 1)
        return Span(
            keys=kept.transpose(2, 3).unbind(0)[::2],
            values=kept.unbind(0)[1::2],
            asked=_joined(self.asked[:, first:last]),
            scores=_joined(self.scores[:, first:last, :, start:end]),
            weights=_joined(self.weights[:, first:last, :, start:end]),
            answers=_joined(self.answers[:, first:last]),
        )


def _joined(part: "torch.Tensor") -> "torch.Tensor":
    """Return a view of (key heads, tokens, heads of a group, n) with tokens and heads in one; never a copy."""
    return part.view(part.shape[0], part.shape[1] * part.shape[2], part.shape[3])


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
        return attend_pack(plan, layer, query[0] * scale, key[0], value[0])[None], None
    if isinstance(plan, StepPlan):
        return attend_step(plan, layer, query[0] * scale, key[0], value[0])[None], None
    raise TypeError(f"{NAME} attention needs a plan")


def pack_mask(past: int, lengths: "tuple[int, ...]", heads: int, dtype: "torch.dtype") -> "torch.Tensor":
    """Return the mask of texts that see `past` tokens, and each its own up to the one at hand; see `Read`.

    `heads` is the number of query heads for a key head.
    """
    import torch  # noqa: PLC0415 - heavy

    text = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    own = (text[:, None] == text[None]).tril()
    seen = torch.cat([torch.ones(len(own), past, dtype=torch.bool), own], dim=1)
    mask = torch.zeros(seen.shape, dtype=dtype).masked_fill(~seen, float("-inf"))
    return mask.repeat(heads, 1)


def attend_pack(
    plan: PackPlan, layer: int, query: "torch.Tensor", key: "torch.Tensor", value: "torch.Tensor"
) -> "torch.Tensor":
    """Return the attention of scaled `query`, (heads, tokens, head size), as (tokens, heads, head size)."""
    import torch  # noqa: PLC0415 - heavy
    from torch.nn.functional import scaled_dot_product_attention  # noqa: PLC0415 - heavy

    # All is written before anything is read: a prefix and the texts below it may stand in one pack.
    for each in plan.written:
        new = slice(each.first, each.last)
        each.store.write(layer, each.offset, key[:, new], value[:, new])
    heads, tokens, size = query.shape
    out = query.new_empty(tokens, heads, size)
    key_heads = key.shape[0]
    for part in plan.read:
        own = slice(part.first, part.last)
        keys = torch.cat([*(store.keys(layer, count) for store, count in part.past), key[:, own]], dim=1)
        values = torch.cat([*(store.values(layer, count) for store, count in part.past), value[:, own]], dim=1)
        # The heads that share a key head are laid behind each other, so that keys are not repeated.
        folded = query[:, own].reshape(1, key_heads, -1, size)
        answer = scaled_dot_product_attention(folded, keys[None], values[None], attn_mask=part.mask, scale=1.0)
        out[own] = answer.reshape(heads, -1, size).transpose(0, 1)
    return out


def attend_step(
    plan: StepPlan, layer: int, query: "torch.Tensor", key: "torch.Tensor", value: "torch.Tensor"
) -> "torch.Tensor":
    """Return the attention of scaled `query`, (heads, tokens, head size), as (tokens, heads, head size)."""
    import torch  # noqa: PLC0415 - heavy
    from torch.nn.functional import embedding_bag  # noqa: PLC0415 - heavy

    heads, tokens, size = query.shape
    board, keys, values = plan.board, plan.keys[layer], plan.values[layer]
    keys[plan.slots, :, plan.places // BLOCK, :, plan.places % BLOCK] = key.transpose(0, 1)
    values[plan.slots, :, plan.places] = value.transpose(0, 1)
    length = plan.mask.shape[-1]
    shared = board.scores.shape[-1] - length
    board.asked.copy_(query.view(len(key), -1, tokens, size).transpose(1, 2))
    blocks = -(-length // BLOCK)
    asked = board.asked[..., None, :].expand(-1, -1, -1, blocks, -1).reshape(-1, size)
    own = embedding_bag(plan.key_bags, keys.view(-1, BLOCK), mode="sum", per_sample_weights=asked)
    own = own.view(*board.asked.shape[:-1], -1)[..., :length]
    torch.add(own, plan.mask, out=board.scores[..., shared:])
    for span in plan.spans:
        span.scores.copy_(span.asked.bmm(span.keys[layer]))
    if board.weights.dtype == board.scores.dtype:
        torch.softmax(board.scores, -1, out=board.weights)
    else:
        board.weights.copy_(board.scores.softmax(-1))
    weights = board.weights[..., shared:].reshape(-1, length)
    own = embedding_bag(plan.value_bags, values.view(-1, size), mode="sum", per_sample_weights=weights)
    board.answers.copy_(own.view_as(board.answers))
    for span in plan.spans:
        span.answers.add_(span.weights.bmm(span.values[layer]))
    return board.answers.transpose(0, 1).reshape(tokens, heads, size)


def _no_mask(*_places: object, **_names: object) -> None:
    return None
