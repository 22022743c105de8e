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

    Slots are read by cells, as many for each slot as the row with the most tokens needs.
    """

    pool: "torch.Tensor"
    """Keys and values of the slots, (layers, 2, slots, key heads, tokens, head size); the rows fill the first."""
    slots: "torch.Tensor"
    """The slot of each token."""
    places: "torch.Tensor"
    """Where in its slot each token goes."""
    tokens: "torch.Tensor"
    """The token of each cell, slot by slot; any token in a cell too many."""
    cells: "torch.Tensor"
    """The cell of each token."""
    depth: int
    """Cells of a slot."""
    bags: "torch.Tensor"
    """Where in the values of a layer, (slots x key heads x slot tokens, head size), those stand that are summed up,
    (key heads x tokens x heads of a group, slot tokens); what comes after the token itself is the token itself."""
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

    def span(self, first: int, last: int, start: int, store: "torch.Tensor") -> Span:
        """Return the tokens `first` to `last` of the step below a prefix whose first token is `start` of their prompts.

        `store` is (layers, 2, key heads, prefix tokens, head size).
        """
        end = start + store.shape[3]
        kept = store.flatten(0, 1)
        return Span(
            keys=kept.transpose(2, 3).unbind(0)[::2],
            values=kept.unbind(0)[1::2],
            asked=self.asked[:, first:last].flatten(1, 2),
            scores=self.scores[:, first:last, :, start:end].flatten(1, 2),
            weights=self.weights[:, first:last, :, start:end].flatten(1, 2),
            answers=self.answers[:, first:last].flatten(1, 2),
        )


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


def attend_pack(
    plan: PackPlan, layer: int, query: "torch.Tensor", key: "torch.Tensor", value: "torch.Tensor"
) -> "torch.Tensor":
    """Return the attention of scaled `query`, (heads, tokens, head size), as (tokens, heads, head size)."""
    import torch  # noqa: PLC0415 - heavy
    from torch.nn.functional import scaled_dot_product_attention  # noqa: PLC0415 - heavy

    # All is written before anything is read: a prefix and the texts below it may stand in one pack.
    for each in plan.written:
        end = each.offset + each.last - each.first
        each.store[layer, 0][:, each.offset : end] = key[:, each.first : each.last]
        each.store[layer, 1][:, each.offset : end] = value[:, each.first : each.last]
    heads, tokens, size = query.shape
    out = query.new_empty(tokens, heads, size)
    key_heads = key.shape[0]
    for part in plan.read:
        own = slice(part.first, part.last)
        if part.mask is None:
            answer = scaled_dot_product_attention(
                query[None, :, own], key[None, :, own], value[None, :, own], is_causal=True, scale=1.0, enable_gqa=True
            )
        else:
            keys = torch.cat([*(store[layer, 0] for store in part.past), key[:, own]], dim=1)
            values = torch.cat([*(store[layer, 1] for store in part.past), value[:, own]], dim=1)
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
    board = plan.board
    keys, values = plan.pool[layer, 0], plan.pool[layer, 1]
    keys[plan.slots, :, plan.places] = key.transpose(0, 1)
    values[plan.slots, :, plan.places] = value.transpose(0, 1)
    rows = len(plan.tokens) // plan.depth
    length = plan.mask.shape[-1]
    shared = board.scores.shape[-1] - length
    board.asked.copy_(query.view(len(key), -1, tokens, size).transpose(1, 2))
    own = _to_slots(plan, board.asked.transpose(0, 1)) @ keys[:rows, :, :length].transpose(2, 3)
    board.scores[..., shared:] = (_to_tokens(plan, own) + plan.mask[:, None]).transpose(0, 1)
    for span in plan.spans:
        span.scores.copy_(span.asked.bmm(span.keys[layer]))
    if board.weights.dtype == board.scores.dtype:
        torch.softmax(board.scores, -1, out=board.weights)
    else:
        board.weights.copy_(board.scores.softmax(-1))
    # Products of so few rows with a slot's values take twice as long as reading them; sums of weighted rows do not.
    own = embedding_bag(
        plan.bags,
        values.view(-1, size),
        mode="sum",
        per_sample_weights=board.weights[..., shared:].reshape(plan.bags.shape),
    )
    board.answers.copy_(own.view(board.answers.shape))
    for span in plan.spans:
        span.answers.add_(span.weights.bmm(span.values[layer]))
    return board.answers.transpose(0, 1).reshape(tokens, heads, size)


def _to_slots(plan: StepPlan, values: "torch.Tensor") -> "torch.Tensor":
    """Bring (tokens, key heads, heads of a group, n) to (slots, key heads, cells x heads of a group, n)."""
    cells = values.index_select(0, plan.tokens)
    if plan.depth == 1:
        return cells
    return cells.view(-1, plan.depth, *cells.shape[1:]).transpose(1, 2).flatten(2, 3)


def _to_tokens(plan: StepPlan, values: "torch.Tensor") -> "torch.Tensor":
    """Bring (slots, key heads, cells x heads of a group, n) back to (tokens, key heads, heads of a group, n)."""
    if plan.depth > 1:
        slots, key_heads, _, last = values.shape
        values = values.view(slots, key_heads, plan.depth, -1, last).transpose(1, 2).flatten(0, 1)
    return values.index_select(0, plan.cells)


def _no_mask(*_places: object, **_names: object) -> None:
    return None
