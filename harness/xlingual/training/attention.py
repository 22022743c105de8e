"""Causal attention over a packed sequence, block-diagonal: a token attends to earlier tokens of its own document only.

Documents of 3 and 2 tokens in one pack have cu_seqlens [0, 3, 5], as flash-attention's variable-length kernels take
them. They go to every layer as the keyword argument `documents`, and no mask is built. transformers' own packing lets
documents attend to each other, without a word, unless the mask is None and the KV cache is off.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import torch
from torch.nn.functional import scaled_dot_product_attention

from ..decoder.protocols import AttentionModule
from ..errors import ModelError

NAME = "xlingual_documents"
"""Of this function in transformers' table of attention implementations."""
HALF_PRECISION = (torch.bfloat16, torch.float16)


@dataclass(frozen=True, slots=True, eq=False)
class PackedDocuments:
    """The documents of a packed sequence, by their boundaries."""

    boundaries: tuple[int, ...]
    """Cumulative lengths, from 0: (documents + 1,), on the host, so that no layer reads them from the device."""
    cu_seqlens: torch.Tensor
    """The same on the device, int32, for the variable-length kernel."""
    max_seqlen: int
    """Tokens of the longest document."""


def pack_documents(lengths: Sequence[int], device: torch.device) -> PackedDocuments:
    """Return the boundaries of documents of `lengths` tokens, concatenated in that order."""
    boundaries = (0, *accumulate(lengths))
    cu_seqlens = torch.tensor(boundaries, dtype=torch.int32, device=device)
    return PackedDocuments(boundaries=boundaries, cu_seqlens=cu_seqlens, max_seqlen=max(lengths))


def register() -> None:
    """Register the function with transformers, under NAME."""
    from transformers import AttentionInterface  # noqa: PLC0415 - slow to import

    AttentionInterface.register(NAME, attend)


def attend(  # noqa: PLR0913 - transformers' signature
    module: AttentionModule,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: object,  # noqa: ARG001 - the documents replace it
    scaling: float | None = None,
    dropout: float = 0.0,
    documents: PackedDocuments | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: torch.Tensor | None = None,
    **_others: object,
) -> tuple[torch.Tensor, None]:
    """Return the attention output of `query`, (1, heads, tokens, head size), as (1, tokens, heads, head size).

    On a GPU in half precision it is one variable-length kernel over the whole pack; else, and with soft-capped scores,
    one call for each document.
    """
    if documents is None:
        raise TypeError(f"{NAME} attention needs documents")
    if dropout or s_aux is not None:
        what = "dropout of attention" if dropout else "attention sinks"
        raise ModelError(f"layer {module.layer_idx} has {what}, which packed training does not know")
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    scoring = _Scoring(scale=scale, window=sliding_window, softcap=softcap)
    if query.is_cuda and query.dtype in HALF_PRECISION and softcap is None:
        return _attend_varlen(query, key, value, documents, scoring), None
    return _attend_by_document(query, key, value, documents, scoring), None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scoring:
    """How attention scores are computed."""

    scale: float
    window: int | None
    """Width of sliding-window attention in tokens, the token itself included; None: the whole document."""
    softcap: float | None
    """Bound c of the scores, c * tanh(score / c), as in Gemma 2; None: unbounded."""


def _attend_varlen(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, documents: PackedDocuments, scoring: _Scoring
) -> torch.Tensor:
    """Return the output of the variable-length kernel: the whole pack at once."""
    from torch.nn.attention.varlen import varlen_attn  # noqa: PLC0415 - newer than the oldest torch for evaluation

    max_seqlen, cu_seqlens = documents.max_seqlen, documents.cu_seqlens
    queries, keys, values = (each[0].transpose(0, 1) for each in (query, key, value))
    window = (-1 if scoring.window is None else scoring.window - 1, 0)
    output = varlen_attn(
        queries,
        keys,
        values,
        cu_seqlens,
        cu_seqlens,
        max_seqlen,
        max_seqlen,
        scale=scoring.scale,
        window_size=window,
        enable_gqa=True,
    )
    if not isinstance(output, torch.Tensor):
        raise TypeError("varlen_attn returned more than was asked for")
    return output[None]


@torch.compiler.disable  # type: ignore[untyped-decorator]  # of torch
def _attend_by_document(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, documents: PackedDocuments, scoring: _Scoring
) -> torch.Tensor:
    """Return the output of one call per document: exact in every precision, on every device."""
    lengths = [end - start for start, end in pairwise(documents.boundaries)]
    # The gradient of a split is one concatenation; those of slices would each be as large as the pack.
    queries, keys, values = (torch.split(each, lengths, dim=2) for each in (query, key, value))
    outputs = [_attend_document(*part, scoring).transpose(1, 2) for part in zip(queries, keys, values, strict=True)]
    return torch.cat(outputs, dim=1)


def _attend_document(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scoring: _Scoring) -> torch.Tensor:
    tokens = query.shape[2]
    is_windowed = scoring.window is not None and tokens > scoring.window
    if scoring.softcap is None and not is_windowed:
        return scaled_dot_product_attention(query, key, value, is_causal=True, scale=scoring.scale, enable_gqa=True)
    visible = torch.ones(tokens, tokens, dtype=torch.bool, device=query.device).tril()
    if scoring.window is not None and is_windowed:
        visible = visible.triu(1 - scoring.window)
    if scoring.softcap is None:
        return scaled_dot_product_attention(query, key, value, attn_mask=visible, scale=scoring.scale, enable_gqa=True)
    group = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(group, dim=1), value.repeat_interleave(group, dim=1)
    scores = torch.tanh(query @ key.transpose(-1, -2) * (scoring.scale / scoring.softcap)) * scoring.softcap
    probabilities = scores.masked_fill(~visible, float("-inf")).softmax(dim=-1, dtype=torch.float32).to(query.dtype)
    return probabilities @ value
