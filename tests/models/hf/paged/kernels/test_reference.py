"""The reference kernel is attention as a textbook has it, whatever lies in the pages beside a row's keys."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
import torch

REFERENCE = import_module("xlingual.plugins.models.hf.paged.kernels.reference")

ROWS = {
    "decode": [(1, 1), (1, 16), (1, 17), (1, 40)],
    "prefill of whole prompts": [(5, 5), (16, 16), (33, 33)],
    "chunks behind a prefix": [(3, 19), (1, 33), (16, 48), (2, 2)],
    "a row without queries": [(0, 8), (4, 20)],
}


@pytest.mark.parametrize("lengths", ROWS.values(), ids=list(ROWS))
def test_reference_is_the_textbook(
    lengths: list[tuple[int, int]],
    attention_shape: object,
    paged_case: Callable[..., Any],
    expected: Callable[..., Any],
) -> None:
    case = paged_case(lengths)
    answer = case.attend(REFERENCE.ReferenceKernel(), attention_shape)
    torch.testing.assert_close(answer.double(), expected(case, attention_shape), atol=2e-6, rtol=2e-5)


@pytest.mark.parametrize("page", [1, 5, 16, 256])
@pytest.mark.parametrize(("heads", "kv_heads"), [(4, 4), (4, 1), (4, 2)])
def test_any_page_and_any_group(
    page: int, heads: int, kv_heads: int, paged_case: Callable[..., Any], expected: Callable[..., Any]
) -> None:
    shape = REFERENCE.AttentionShape(0.3, window=11)
    case = paged_case([(1, 7), (9, 30), (4, 4)], page=page, heads=heads, kv_heads=kv_heads)
    answer = case.attend(REFERENCE.ReferenceKernel(), shape)
    torch.testing.assert_close(answer.double(), expected(case, shape), atol=2e-6, rtol=2e-5)


def test_groups_of_rows_change_nothing(monkeypatch: pytest.MonkeyPatch, paged_case: Callable[..., Any]) -> None:
    case, shape = paged_case([(1, 9), (5, 30), (2, 17), (7, 7)]), REFERENCE.AttentionShape(0.25)
    together = case.attend(REFERENCE.ReferenceKernel(), shape)
    monkeypatch.setattr(REFERENCE, "SCORES_AT_ONCE", 1)
    torch.testing.assert_close(case.attend(REFERENCE.ReferenceKernel(), shape), together)


def test_bfloat16_is_computed_in_float32(paged_case: Callable[..., Any], expected: Callable[..., Any]) -> None:
    case, shape = paged_case([(1, 40), (6, 21)], dtype=torch.bfloat16), REFERENCE.AttentionShape(0.25)
    answer = case.attend(REFERENCE.ReferenceKernel(), shape)
    assert answer.dtype == torch.bfloat16
    assert torch.equal(answer, expected(case, shape).float().to(torch.bfloat16))
