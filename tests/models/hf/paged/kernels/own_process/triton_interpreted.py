"""The programs of the triton kernel, run by triton's interpreter on the CPU, are attention as a textbook has it."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
import torch

TRITON = import_module("xlingual.plugins.models.hf.paged.kernels.triton_kernel")

ROWS = {
    "decode": [(1, 1), (1, 64), (1, 65), (1, 140)],
    "prefill of whole prompts": [(5, 5), (16, 16), (70, 70)],
    "chunks behind a prefix": [(3, 19), (1, 133), (16, 48), (2, 2)],
    "a row without queries": [(0, 8), (4, 20)],
}


@pytest.mark.parametrize("lengths", ROWS.values(), ids=list(ROWS))
@pytest.mark.parametrize("splits", [None, 1, 3])
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
