"""The programs of the triton kernel, run by triton's interpreter on the CPU, are attention as a textbook has it.

The interpreter is chosen by the environment before triton is imported: see `test_own_process`.
"""

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from typing import Any

import pytest
import torch

TRITON = import_module("xlingual.plugins.models.hf.paged.kernels.triton_kernel")
INTERFACE = import_module("xlingual.plugins.models.hf.paged.kernels.interface")

ROWS = {
    "decode": [(1, 1), (1, 64), (1, 65), (1, 140)],
    "prefill of whole prompts": [(5, 5), (16, 16), (70, 70)],
    "chunks behind a prefix": [(3, 19), (1, 133), (16, 48), (2, 2)],
    "a row without queries": [(0, 8), (4, 20)],
}


@pytest.mark.parametrize("lengths", ROWS.values(), ids=list(ROWS))
@pytest.mark.parametrize("splits", [None, 1])
def test_triton_is_the_textbook(
    lengths: list[tuple[int, int]],
    splits: int | None,
    attention_shape: object,
    paged_case: Callable[..., Any],
    expected: Callable[..., Any],
) -> None:
    case = paged_case(lengths)
    answer = case.attend(TRITON.TritonKernel(num_splits=splits), attention_shape)
    torch.testing.assert_close(answer.double(), expected(case, attention_shape), atol=2e-6, rtol=2e-5)


@pytest.mark.parametrize("page", [16, 32, 256])
@pytest.mark.parametrize(("heads", "kv_heads", "size"), [(4, 4, 8), (3, 1, 24), (6, 2, 64), (2, 1, 136)])
def test_any_page_group_and_head(
    page: int, heads: int, kv_heads: int, size: int, paged_case: Callable[..., Any], expected: Callable[..., Any]
) -> None:
    shape = INTERFACE.AttentionShape(0.2, window=40, softcap=8.0)
    for lengths in ([(1, 7), (1, 90)], [(9, 70), (4, 4)]):
        case = paged_case(lengths, page=page, heads=heads, kv_heads=kv_heads, size=size)
        answer = case.attend(TRITON.TritonKernel(), shape)
        torch.testing.assert_close(answer.double(), expected(case, shape), atol=2e-6, rtol=2e-5)


def test_float16(paged_case: Callable[..., Any], expected: Callable[..., Any]) -> None:
    # The interpreter of triton 3.7 cannot multiply bfloat16; a GPU is needed for that.
    shape = INTERFACE.AttentionShape(0.25)
    for lengths in ([(1, 7), (1, 90)], [(9, 70), (4, 4)]):
        case = paged_case(lengths, dtype=torch.float16)
        answer = case.attend(TRITON.TritonKernel(), shape)
        assert answer.dtype == torch.float16
        torch.testing.assert_close(answer.double(), expected(case, shape), atol=1e-2, rtol=1e-2)


def test_values_may_be_shorter_than_keys(paged_case: Callable[..., Any], expected: Callable[..., Any]) -> None:
    case, shape = paged_case([(1, 30), (5, 20)], size=24), INTERFACE.AttentionShape(0.2)
    short = replace(case, values=case.values[..., :16])
    answer = short.attend(TRITON.TritonKernel(), shape)
    torch.testing.assert_close(answer.double(), expected(case, shape)[..., :16], atol=2e-6, rtol=2e-5)


def test_a_row_alone_is_the_row_in_company(paged_case: Callable[..., Any]) -> None:
    shape, kernel = INTERFACE.AttentionShape(0.25), TRITON.TritonKernel(num_splits=1)
    case = paged_case([(1, 7), (1, 190), (1, 66)])
    rows = case.rows
    alone = INTERFACE.QueryRows(
        torch.tensor([0, 1], dtype=torch.int32), rows.seqused[1:2], rows.block_table[1:2], 1, 190
    )
    together = case.attend(kernel, shape)[1:2]
    assert torch.equal(kernel(case.query[1:2], case.keys, case.values, alone, shape), together)
