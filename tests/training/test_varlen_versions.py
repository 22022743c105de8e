"""Packed attention with the variable-length kernels that torch had: each version took fewer arguments than the next."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch.nn.attention import varlen
from torch.nn.functional import scaled_dot_product_attention

from xlingual.training import attention

LENGTHS = [7, 1, 12]


def reference(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    scale: float,
    window: tuple[int, int] = (-1, 0),
) -> torch.Tensor:
    """The kernel's arithmetic on a CPU, document by document: (tokens, heads, head size)."""
    assert query.shape[1] == key.shape[1]
    out = []
    start = 0
    for length in LENGTHS:
        own = slice(start, start + length)
        seen = torch.ones(length, length, dtype=torch.bool).tril()
        seen = seen if window[0] < 0 else seen.triu(-window[0])
        asked, keys, values = (each[own].transpose(0, 1) for each in (query, key, value))
        out.append(scaled_dot_product_attention(asked, keys, values, attn_mask=seen, scale=scale).transpose(0, 1))
        start += length
    return torch.cat(out)


Tensor = torch.Tensor


def torch_2_10(
    query: Tensor, key: Tensor, value: Tensor, cu_seq_q: Tensor, cu_seq_k: Tensor, max_q: int, max_k: int,
    is_causal: bool = False, return_aux: None = None,
) -> Tensor:  # fmt: skip
    assert is_causal
    assert max_q == max_k == max(LENGTHS)
    return reference(query, key, value, query.shape[-1] ** -0.5)


def torch_2_11(
    query: Tensor, key: Tensor, value: Tensor, cu_seq_q: Tensor, cu_seq_k: Tensor, max_q: int, max_k: int,
    *, return_aux: None = None, scale: float = 1.0, window_size: tuple[int, int] = (-1, -1),
) -> Tensor:  # fmt: skip
    assert window_size[1] == 0
    return reference(query, key, value, scale, window_size)


@pytest.fixture(params=[torch_2_10, torch_2_11])
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., torch.Tensor]]:
    monkeypatch.setattr(varlen, "varlen_attn", request.param)
    attention.varlen_parameters.cache_clear()
    yield request.param
    attention.varlen_parameters.cache_clear()


@pytest.mark.parametrize("window", [None, 4])
@pytest.mark.parametrize("key_heads", [1, 2, 4])
def test_older_kernels_compute_attention_by_document(
    kernel: Callable[..., torch.Tensor], key_heads: int, window: int | None
) -> None:
    torch.manual_seed(0)
    query = torch.randn(1, 4, sum(LENGTHS), 16)
    key, value = (torch.randn(1, key_heads, sum(LENGTHS), 16) for _ in range(2))
    documents = attention.pack_documents(LENGTHS, torch.device("cpu"))
    scoring = attention._Scoring(scale=0.3, window=window, softcap=None)
    expected = attention._attend_by_document(query, key, value, documents, scoring)
    if not attention.has_varlen_kernel(documents.kernel, window):
        assert (kernel, window) == (torch_2_10, 4)
        return
    found = attention._attend_varlen(query, key, value, documents, scoring)
    assert torch.allclose(found, expected, atol=1e-5)


def test_without_a_kernel_documents_have_calls_of_their_own() -> None:
    assert not attention.has_varlen_kernel(frozenset(), None)
    assert attention.has_varlen_kernel(attention.varlen_parameters(), 5)
