"""Sampling in a step of the paged engine: what `hf/sampling` draws, without a wait of the host.

The parameters of the rows come with the step's inputs. What depends on how large they are there, is decided here by
whether any row of the step has them.
"""

from typing import TYPE_CHECKING

from ..sampling import gumbel_noise
from .step_inputs import FilledStep

if TYPE_CHECKING:
    import torch

MAX_SORTED_LOGITS = 2**24
"""Logits that are sorted at once: bounds the memory of a draw to about 500 MB."""


def draw_rows(logits: "torch.Tensor", filled: FilledStep, parts: "dict[str, torch.Tensor]") -> "torch.Tensor":
    """Return the drawn tokens of the rows of `logits`, (rows, vocabulary), that `parts` name."""
    import torch  # noqa: PLC0415 - heavy

    rows, count = parts["draw_rows"].long(), len(parts["draw_rows"])
    at_once = max(1, MAX_SORTED_LOGITS // logits.shape[-1])
    drawn = []
    for first in range(0, count, at_once):
        part = slice(first, first + at_once)
        scores = filtered_logits(logits.index_select(0, rows[part]), filled, {
            name: parts[name][part, None] for name in ("top_k", "temperature", "top_p", "min_p")
        })  # fmt: skip
        keys = parts["draw_keys"].view(-1, 2)[part]
        drawn.append((scores + gumbel_noise(keys, scores)).argmax(dim=-1))
    return torch.cat(drawn)


def filtered_logits(logits: "torch.Tensor", filled: FilledStep, limits: "dict[str, torch.Tensor]") -> "torch.Tensor":
    """Return what `sampling.filter_logits` does for (rows, vocabulary); each of `limits` is (rows, 1)."""
    logits = logits.float()
    scores = (logits - logits.amax(dim=-1, keepdim=True)) / limits["temperature"]
    lowest = float("-inf")
    if filled.max_top_k:
        top_k = limits["top_k"]
        best = scores.topk(min(filled.max_top_k, scores.shape[-1]), dim=-1).values
        edge = best.gather(1, (top_k.clamp(max=best.shape[-1]) - 1).clamp(min=0).long())
        scores = scores.masked_fill((scores < edge) & (top_k > 0), lowest)
    if filled.has_top_p:
        # Equals at the edge are kept from the larger ids on, as the order is stable.
        shares, order = scores.softmax(dim=-1), scores.argsort(dim=-1, stable=True)
        kept = shares.gather(1, order).cumsum(dim=-1) > 1 - limits["top_p"]
        kept[:, -1:] = True
        scores = scores.masked_fill(~kept.scatter(1, order, kept), lowest)
    if filled.has_min_p:
        shares = scores.softmax(dim=-1)
        best = shares.amax(dim=-1, keepdim=True)
        scores = scores.masked_fill((shares < limits["min_p"] * best) & (shares != best), lowest)
    return scores
