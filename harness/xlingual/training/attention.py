"""Causal attention over a packed sequence, block-diagonal: a token attends to earlier tokens of its own document only.

Documents of 3 and 2 tokens in one pack have cu_seqlens [0, 3, 5], as flash-attention's variable-length kernels take
them. They go to every layer as the keyword argument `documents`, and no mask is built. transformers' own packing lets
documents attend to each other, without a word, unless the mask is None and the KV cache is off.
"""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import accumulate, pairwise

import torch
from torch.nn.functional import dropout as drop_out
from torch.nn.functional import scaled_dot_product_attention

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
    kernel: frozenset[str]
    """Parameters of torch's variable-length attention, see `varlen_parameters`."""


def pack_documents(lengths: Sequence[int], device: torch.device) -> PackedDocuments:
    """Return the boundaries of documents of `lengths` tokens, concatenated in that order."""
    boundaries = (0, *accumulate(lengths))
    cu_seqlens = torch.tensor(boundaries, dtype=torch.int32, device=device)
    return PackedDocuments(
        boundaries=boundaries, cu_seqlens=cu_seqlens, max_seqlen=max(lengths), kernel=varlen_parameters()
    )


@cache
def varlen_parameters() -> frozenset[str]:
    """Return the parameters of torch's variable-length attention, which differ by version; none where it is absent."""
    try:
        from torch.nn.attention import varlen  # noqa: PLC0415 - newer than the oldest torch for evaluation
    except ImportError:
        return frozenset()
    return frozenset(inspect.signature(varlen.varlen_attn).parameters)


_CURRENT: list[PackedDocuments] = []
"""The documents of the newest pack. Until the next one, so that a backward pass that recomputes a layer finds them, in
whichever thread it runs."""


def set_current(documents: PackedDocuments) -> None:
    """Set the documents for the layers that are not handed any."""
    _CURRENT[:] = [documents]


@torch.compiler.disable  # type: ignore[untyped-decorator]  # of torch
def _current() -> PackedDocuments:
    if not _CURRENT:
        raise TypeError(f"{NAME} attention needs documents")
    return _CURRENT[0]


def register() -> None:
    """Register the function with transformers, under NAME."""
    from transformers import AttentionInterface  # noqa: PLC0415 - slow to import

    AttentionInterface.register(NAME, attend)


def attend(  # noqa: PLR0913 - transformers' signature
    module: object,  # noqa: ARG001
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
    **others: object,
) -> tuple[torch.Tensor, None]:
    """Return the attention output of `query`, (1, heads, tokens, head size), as (1, tokens, heads, head size).

    On a GPU in half precision it is one variable-length kernel over the whole pack, where this torch has one; else, and
    with soft-capped scores or dropout, one call for each document. ModelError for attention with sinks or biases.
    """
    documents = documents or _current()
    if s_aux is not None or others.get("position_bias") is not None:
        raise ModelError("attention has sinks or biases, which packed sequences do not know")
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    scoring = _Scoring(scale=scale, window=sliding_window, softcap=softcap, dropout=dropout)
    if (
        query.is_cuda
        and query.dtype in HALF_PRECISION
        and softcap is None
        and not dropout
        and query.shape[-1] == value.shape[-1]
        and has_varlen_kernel(documents.kernel, sliding_window)
    ):
        return _attend_varlen(query, key, value, documents, scoring), None
    return _attend_by_document(query, key, value, documents, scoring), None


def has_varlen_kernel(parameters: frozenset[str], window: int | None) -> bool:
    """Return whether a kernel with these parameters takes a whole pack, with a sliding `window` where one is given."""
    return "window_size" in parameters or ("is_causal" in parameters and window is None)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scoring:
    """How attention scores are computed."""

    scale: float
    window: int | None
    """Width of sliding-window attention in tokens, the token itself included; None: the whole document."""
    softcap: float | None
    """Bound c of the scores, c * tanh(score / c), as in Gemma 2; None: unbounded."""
    dropout: float = 0.0
    """Share of the probabilities that is set to 0, in training."""


def _attend_varlen(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, documents: PackedDocuments, scoring: _Scoring
) -> torch.Tensor:
    """Return the output of the variable-length kernel: the whole pack at once."""
    from torch.nn.attention.varlen import varlen_attn  # noqa: PLC0415 - newer than the oldest torch for evaluation

    max_seqlen, cu_seqlens = documents.max_seqlen, documents.cu_seqlens
    queries, keys, values = (each[0].transpose(0, 1) for each in (query, key, value))
    known = documents.kernel
    options: dict[str, object] = {"is_causal": True}
    if "window_size" in known:
        options = {"window_size": (-1 if scoring.window is None else scoring.window - 1, 0)}
    if "scale" in known:
        options["scale"] = scoring.scale
    else:
        queries = queries * (scoring.scale * queries.shape[-1] ** 0.5)
    if "enable_gqa" in known:
        options["enable_gqa"] = True
    else:
        group = queries.shape[1] // keys.shape[1]
        keys, values = keys.repeat_interleave(group, dim=1), values.repeat_interleave(group, dim=1)
    lengths = (cu_seqlens, cu_seqlens, max_seqlen, max_seqlen)
    output = varlen_attn(queries, keys, values, *lengths, **options)  # type: ignore[arg-type]  # by torch's version
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
    fused = partial(
        scaled_dot_product_attention, query, key, value, dropout_p=scoring.dropout, scale=scoring.scale, enable_gqa=True
    )
    if scoring.softcap is None and not is_windowed:
        return fused(is_causal=True)
    visible = torch.ones(tokens, tokens, dtype=torch.bool, device=query.device).tril()
    if scoring.window is not None and is_windowed:
        visible = visible.triu(1 - scoring.window)
    if scoring.softcap is None:
        return fused(attn_mask=visible)
    group = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(group, dim=1), value.repeat_interleave(group, dim=1)
    scores = torch.tanh(query @ key.transpose(-1, -2) * (scoring.scale / scoring.softcap)) * scoring.softcap
    probabilities = scores.masked_fill(~visible, float("-inf")).softmax(dim=-1, dtype=torch.float32).to(query.dtype)
    return drop_out(probabilities, scoring.dropout) @ value
