"""Attention over a pack: every document sees itself only, whatever stands beside it.

transformers' own packing is silently contaminated unless the mask is None and the cache is off, and builds a square
mask besides; here the documents' ends are passed to every layer as the keyword `documents`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch.nn.functional import scaled_dot_product_attention

from ..decoder.protocols import AttentionModule
from ..errors import ModelError

NAME = "xlingual_documents"
"""Of the function among transformers' attention implementations."""
HALF = (torch.bfloat16, torch.float16)


@dataclass(frozen=True, slots=True, eq=False)
class PackedDocuments:
    """Where the documents of a pack lie."""

    bounds: tuple[int, ...]
    """0, then where each document ends."""
    cu_seqlens: torch.Tensor
    """The same on the device, int32, as the kernel wants them."""
    longest: int


def pack_documents(lengths: Sequence[int], device: torch.device) -> PackedDocuments:
    """Return the layout of documents of `lengths`, one behind the other."""
    bounds = [0]
    for length in lengths:
        bounds.append(bounds[-1] + length)
    cu_seqlens = torch.tensor(bounds, dtype=torch.int32, device=device)
    return PackedDocuments(bounds=tuple(bounds), cu_seqlens=cu_seqlens, longest=max(lengths))


def register() -> None:
    """Make the function known to transformers, under NAME."""
    from transformers import AttentionInterface  # noqa: PLC0415 - slow to import

    AttentionInterface.register(NAME, attend)


def attend(  # noqa: PLR0913 - transformers' signature
    module: AttentionModule,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: object,  # noqa: ARG001 - the documents say who sees whom
    scaling: float | None = None,
    dropout: float = 0.0,
    documents: PackedDocuments | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: torch.Tensor | None = None,
    **_others: object,
) -> tuple[torch.Tensor, None]:
    """Return the attention of `query`, (1, heads, tokens, head size), as (1, tokens, heads, head size)."""
    if documents is None:
        raise TypeError(f"{NAME} attention needs documents")
    if dropout or s_aux is not None:
        what = "dropout of attention" if dropout else "attention sinks"
        raise ModelError(f"layer {module.layer_idx} has {what}, which packed training does not know")
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    if query.is_cuda and query.dtype in HALF and softcap is None:
        return _attend_together(query, key, value, documents, _Sight(scale, sliding_window, None)), None
    return _attend_apart(query, key, value, documents, _Sight(scale, sliding_window, softcap)), None


@dataclass(frozen=True, slots=True)
class _Sight:
    """How scores are made and what a token sees of its document."""

    scale: float
    window: int | None
    """Tokens seen, itself counted."""
    softcap: float | None


def _attend_together(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, documents: PackedDocuments, sight: _Sight
) -> torch.Tensor:
    from torch.nn.attention.varlen import varlen_attn  # noqa: PLC0415 - newer than the oldest torch for evaluation

    longest, ends = documents.longest, documents.cu_seqlens
    queries, keys, values = (each[0].transpose(0, 1) for each in (query, key, value))
    window = (-1 if sight.window is None else sight.window - 1, 0)
    out = varlen_attn(
        queries, keys, values, ends, ends, longest, longest, scale=sight.scale, window_size=window, enable_gqa=True
    )
    if not isinstance(out, torch.Tensor):
        raise TypeError("varlen_attn returned more than was asked for")
    return out[None]


@torch.compiler.disable  # type: ignore[untyped-decorator]  # of torch
def _attend_apart(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, documents: PackedDocuments, sight: _Sight
) -> torch.Tensor:
    """One document after the other: exact in every precision, on every device."""
    lengths = [end - start for start, end in pairwise(documents.bounds)]
    # The gradient of a split is one concatenation; those of slices would each be as large as the pack.
    queries, keys, values = (torch.split(each, lengths, dim=2) for each in (query, key, value))
    outs = [_attend_document(*part, sight).transpose(1, 2) for part in zip(queries, keys, values, strict=True)]
    return torch.cat(outs, dim=1)


def _attend_document(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, sight: _Sight) -> torch.Tensor:
    tokens = query.shape[2]
    windowed = sight.window is not None and tokens > sight.window
    if sight.softcap is None and not windowed:
        return scaled_dot_product_attention(query, key, value, is_causal=True, scale=sight.scale, enable_gqa=True)
    seen = torch.ones(tokens, tokens, dtype=torch.bool, device=query.device).tril()
    if sight.window is not None and windowed:
        seen = seen.triu(1 - sight.window)
    if sight.softcap is None:
        return scaled_dot_product_attention(query, key, value, attn_mask=seen, scale=sight.scale, enable_gqa=True)
    group = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(group, dim=1), value.repeat_interleave(group, dim=1)
    scores = torch.tanh(query @ key.transpose(-1, -2) * (sight.scale / sight.softcap)) * sight.softcap
    shares = scores.masked_fill(~seen, float("-inf")).softmax(dim=-1, dtype=torch.float32).to(query.dtype)
    return shares @ value
