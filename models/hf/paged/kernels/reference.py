"""Paged attention in plain torch: gather the pages, mask, softmax in float32. Every device, every feature, no speed.

It is what the other kernels are compared with, and what the paged engine runs on where there is no better one.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .interface import AttentionShape, LayerNeeds, QueryRows

if TYPE_CHECKING:
    import torch

SCORES_AT_ONCE = 1 << 26
"""Scores and gathered elements in one piece, some 256 MiB of float32: rows are taken in groups that fit."""


@dataclass(frozen=True)
class ReferenceKernel:
    """See the module; row by row the same arithmetic as a masked softmax over one padded sequence."""

    name: str = "reference"
    page_size: int = 16
    page_sizes: str = "any"
    capturable: bool = True
    batch_invariant: bool = False

    def takes_page_size(self, tokens: int) -> bool:
        """Return True for every size."""
        return tokens >= 1

    def refusal(self, needs: LayerNeeds) -> str | None:
        """Return None but where the heads cannot be grouped."""
        return heads_refusal(needs)

    def __call__(
        self,
        query: "torch.Tensor",
        key_pages: "torch.Tensor",
        value_pages: "torch.Tensor",
        rows: QueryRows,
        shape: AttentionShape,
    ) -> "torch.Tensor":
        """See `AttentionKernel`."""
        page, kv_heads, size = key_pages.shape[1:]
        keys = min(rows.block_table.shape[1] * page, rows.max_keys)
        each = keys * max(kv_heads * size, query.shape[1] * rows.max_query)
        # One line more than there are tokens: what pads a row's queries is written there and cut off.
        out = query.new_zeros(len(query) + 1, query.shape[1], value_pages.shape[-1])
        group = max(1, SCORES_AT_ONCE // max(1, each))
        for first in range(0, rows.count, group):
            last = min(first + group, rows.count)
            tokens, answers = _rows_attention(query, (key_pages, value_pages), rows, shape, (first, last))
            out.index_copy_(0, tokens, answers)
        return out[:-1]


def heads_refusal(needs: LayerNeeds) -> str | None:
    """Return why these numbers of heads cannot be grouped; None if they can."""
    if needs.heads % needs.kv_heads:
        return f"{needs.heads} query heads cannot share {needs.kv_heads} KV heads evenly"
    return None


def _rows_attention(
    query: "torch.Tensor",
    pages: "tuple[torch.Tensor, torch.Tensor]",
    rows: QueryRows,
    shape: AttentionShape,
    span: tuple[int, int],
) -> "tuple[torch.Tensor, torch.Tensor]":
    """Return of rows `span` the index of each query, padding as `tokens`, and its answer, (queries, heads, size)."""
    import torch  # noqa: PLC0415 - heavy

    (first, last), device = span, query.device
    begins = rows.cu_seqlens[first:last].long()
    lengths = rows.cu_seqlens[first + 1 : last + 1].long() - begins
    used = rows.seqused[first:last].long()
    steps = torch.arange(rows.max_query, device=device)
    real = steps < lengths[:, None]
    tokens = torch.where(real, begins[:, None] + steps, len(query))
    positions = (used - lengths)[:, None] + steps

    page = pages[0].shape[1]
    keys = min(rows.block_table.shape[1] * page, rows.max_keys)
    key_positions = torch.arange(keys, device=device)
    live = key_positions < used[:, None]
    table = rows.block_table[first:last].long()[:, key_positions // page]
    slots = torch.where(live, table * page + key_positions % page, 0)
    # What lies behind a row's keys may be NaN, and 0 * NaN is NaN: both sides are zeroed, not only masked.
    key, value = (torch.where(live[..., None, None], side.flatten(0, 1)[slots].float(), 0.0) for side in pages)

    chosen = query[tokens.clamp(max=max(0, len(query) - 1))].float()
    grouped = chosen.reshape(*chosen.shape[:2], key.shape[2], -1, chosen.shape[-1])
    scores = torch.einsum("rqhgd,rkhd->rhgqk", grouped, key) * shape.scale
    distance = key_positions[None, None] - positions[..., None]
    weights = _weights(scores.flatten(1, 2), distance, live[:, None] & (distance <= 0), shape)
    answers = torch.einsum("rhgqk,rkhd->rqhgd", weights.reshape(scores.shape), value)
    return tokens.flatten(), answers.flatten(2, 3).flatten(0, 1).to(query.dtype)


def _weights(
    scores: "torch.Tensor", distance: "torch.Tensor", seen: "torch.Tensor", shape: AttentionShape
) -> "torch.Tensor":
    """Return the weights, (rows, heads, queries, keys), of scaled `scores`; a query that sees nothing weighs nothing.

    `distance`, (rows, queries, keys), is a key's position less the query's; `seen` says which keys are in its past.
    """
    import torch  # noqa: PLC0415 - heavy

    if shape.softcap is not None:
        scores = shape.softcap * torch.tanh(scores / shape.softcap)
    if shape.alibi_slopes is not None:
        scores = scores + shape.alibi_slopes.float()[:, None, None] * distance[:, None]
    if shape.window is not None:
        seen = seen & (distance > -shape.window)
    scores = scores.masked_fill(~seen[:, None], float("-inf"))
    if shape.sinks is None:
        return scores.softmax(-1).masked_fill(~seen.any(-1)[:, None, :, None], 0.0)
    sinks = shape.sinks.float()[:, None, None].expand(*scores.shape[:-1], 1)
    return torch.cat([scores, sinks], -1).softmax(-1)[..., :-1]
