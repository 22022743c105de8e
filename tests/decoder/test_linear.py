"""oneDNN's linear kernel against float64, with weights as they are and prepacked."""

import pytest
import torch

from xlingual.decoder.linear import has_onednn, onednn_linear, prepack_weight

pytestmark = pytest.mark.skipif(not has_onednn(), reason="this torch has no oneDNN")
ULP = 2.0**-24
"""Relative rounding error of a float32."""


def _tensors(
    shape: tuple[int, ...], width: int, *, bias: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    generator = torch.Generator().manual_seed(3)
    tokens = torch.randn(*shape, generator=generator)
    weight = torch.randn(width, shape[-1], generator=generator)
    return tokens, weight, torch.randn(width, generator=generator) if bias else None


def _largest_error(found: torch.Tensor, tokens: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> float:
    """Return the largest error in rounding errors of the sum of magnitudes, what any order of summation has."""
    exact = tokens.double() @ weight.double().T
    magnitude = tokens.double().abs() @ weight.double().abs().T
    if bias is not None:
        exact, magnitude = exact + bias.double(), magnitude + bias.double().abs()
    assert found.shape == exact.shape
    assert found.dtype == torch.float32
    return float(((found.double() - exact).abs() / magnitude).max()) / ULP


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("is_prepacked", [True, False])
@pytest.mark.parametrize("shape", [(1, 576), (1, 130, 576), (7, 33), (2, 3, 5, 48), (256, 64)])
@pytest.mark.parametrize("width", [1, 80, 1536])
def test_it_is_the_product_in_float64(shape: tuple[int, ...], width: int, is_prepacked: bool, bias: bool) -> None:
    tokens, weight, added = _tensors(shape, width, bias=bias)
    used = prepack_weight(weight, tokens.numel() // shape[-1]) if is_prepacked else weight
    assert _largest_error(onednn_linear(tokens, used, added), tokens, weight, added) < 16


def test_a_prepacked_weight_serves_other_numbers_of_tokens() -> None:
    tokens, weight, added = _tensors((300, 96), 40, bias=True)
    prepacked = prepack_weight(weight, 1)
    for count in (1, 17, 300):
        found = onednn_linear(tokens[:count], prepacked, added)
        assert _largest_error(found, tokens[:count], weight, added) < 16


def test_a_transposed_weight() -> None:
    """The gradient of the input multiplies with a view of the weight."""
    tokens, weight, _ = _tensors((9, 48), 80, bias=False)
    grad_output = onednn_linear(tokens, weight, None)
    found = onednn_linear(grad_output, weight.t(), None)
    assert _largest_error(found, grad_output, weight.t(), None) < 16
