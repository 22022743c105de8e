"""Linear layers through oneDNN have the values and the gradients of torch's own."""

import copy

import pytest
import torch
from torch import nn

from xlingual.training.linear import NARROW, use_onednn_linear

HAS_ONEDNN = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]  # of torch
pytestmark = pytest.mark.skipif(not HAS_ONEDNN, reason="this torch has no oneDNN")


def _pair(*, bias: bool, width: int = 48) -> tuple[nn.Linear, nn.Linear]:
    torch.manual_seed(4)
    plain = nn.Linear(width, 80, bias=bias)
    onednn = copy.deepcopy(plain)
    use_onednn_linear(onednn)
    return plain, onednn


def _forward_backward(layer: nn.Linear, inputs: torch.Tensor) -> list[torch.Tensor | None]:
    inputs = inputs.clone().requires_grad_()
    out = layer(inputs)
    (out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum().backward()
    return [out, inputs.grad, *(each.grad for each in layer.parameters())]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("shape", [(1, 130, 48), (7, 48), (2, 3, 5, 48)])
def test_values_and_gradients_are_those_of_torch(shape: tuple[int, ...], bias: bool, frozen: bool) -> None:
    inputs = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    found = []
    for layer in _pair(bias=bias):
        layer.requires_grad_(not frozen)
        found.append(_forward_backward(layer, inputs))
    for ours, expected in zip(*reversed(found), strict=True):
        if expected is None:
            assert ours is None
        else:
            torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("width", [1, 16, NARROW - 1, NARROW, 200])
@pytest.mark.parametrize("tokens", [1, 2, 130])
def test_the_gradient_of_a_weight_of_any_width(tokens: int, width: int) -> None:
    """It is transposed below NARROW, and laid out like the weight."""
    inputs = torch.randn(tokens, width, generator=torch.Generator().manual_seed(1))
    found = []
    for layer in _pair(bias=False, width=width):
        _forward_backward(layer, inputs)
        assert layer.weight.grad is not None
        assert layer.weight.grad.is_contiguous()
        found.append(layer.weight.grad)
    torch.testing.assert_close(*reversed(found), rtol=1e-5, atol=1e-5)


def test_a_frozen_layer_saves_no_activation() -> None:
    _, onednn = _pair(bias=False)
    onednn.requires_grad_(requires_grad=False)
    inputs = torch.randn(5, 48, requires_grad=True)
    saved: list[tuple[int, ...]] = []

    def save(each: torch.Tensor) -> torch.Tensor:
        saved.append(tuple(each.shape))
        return each

    with torch.autograd.graph.saved_tensors_hooks(save, lambda each: each):
        onednn(inputs)
    assert saved == [(80, 48)]


def test_other_layers_and_dtypes_are_not_changed() -> None:
    _, onednn = _pair(bias=True)
    assert "_OneDnnLinear" in str(onednn(torch.randn(3, 48)).grad_fn)
    half = copy.deepcopy(onednn).bfloat16()
    use_onednn_linear(half)
    assert "_OneDnnLinear" not in str(half(torch.randn(3, 48).bfloat16()).grad_fn)

    class Odd(nn.Linear):
        """A linear layer that computes something else."""

    odd = Odd(48, 80)
    use_onednn_linear(odd)
    assert "_OneDnnLinear" not in str(odd(torch.randn(3, 48)).grad_fn)
