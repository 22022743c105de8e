"""Quick linear layers have the values and the gradients of torch's own."""

import copy

import pytest
import torch
from torch import nn

from xlingual.training.linear import use_onednn_linear

HAS_ONEDNN = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]  # of torch
pytestmark = pytest.mark.skipif(not HAS_ONEDNN, reason="this torch has no oneDNN")


def _pair(*, bias: bool) -> tuple[nn.Linear, nn.Linear]:
    torch.manual_seed(4)
    plain = nn.Linear(48, 80, bias=bias)
    quick = copy.deepcopy(plain)
    use_onednn_linear(quick)
    return plain, quick


def _learn(layer: nn.Linear, given: torch.Tensor) -> list[torch.Tensor | None]:
    given = given.clone().requires_grad_()
    out = layer(given)
    (out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum().backward()
    return [out, given.grad, *(each.grad for each in layer.parameters())]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("shape", [(1, 130, 48), (7, 48), (2, 3, 5, 48)])
def test_values_and_gradients_are_those_of_torch(shape: tuple[int, ...], bias: bool, frozen: bool) -> None:
    given = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    found = []
    for layer in _pair(bias=bias):
        layer.requires_grad_(not frozen)
        found.append(_learn(layer, given))
    for ours, theirs in zip(*reversed(found), strict=True):
        if theirs is None:
            assert ours is None
        else:
            torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_a_frozen_layer_keeps_no_activation() -> None:
    _, quick = _pair(bias=False)
    quick.requires_grad_(requires_grad=False)
    given = torch.randn(5, 48, requires_grad=True)
    kept: list[tuple[int, ...]] = []

    def keep(each: torch.Tensor) -> torch.Tensor:
        kept.append(tuple(each.shape))
        return each

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda each: each):
        quick(given)
    assert kept == [(80, 48)]


def test_other_layers_and_precisions_are_left_alone() -> None:
    _, quick = _pair(bias=True)
    assert "_OneDnnLinear" in str(quick(torch.randn(3, 48)).grad_fn)
    half = copy.deepcopy(quick).bfloat16()
    use_onednn_linear(half)
    assert "_OneDnnLinear" not in str(half(torch.randn(3, 48).bfloat16()).grad_fn)

    class Odd(nn.Linear):
        """A linear layer that computes something else."""

    odd = Odd(48, 80)
    use_onednn_linear(odd)
    assert "_OneDnnLinear" not in str(odd(torch.randn(3, 48)).grad_fn)
