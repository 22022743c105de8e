"""Linear layers in float32 on a CPU through oneDNN, in training.

Forward and towards the input only; the gradient of a weight is about as fast in MKL.
What computes a layer follows from its type, never from a timing: a resumed training must compute what it would have.
"""

from functools import partial
from typing import Protocol, cast

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear

from ..decoder.linear import has_onednn, onednn_linear


def use_onednn_linear(model: nn.Module) -> None:
    """Let the plain linear layers of `model` compute in oneDNN wherever they are given float32 on a processor."""
    if not has_onednn():
        return
    for module in model.modules():
        if type(module) is nn.Linear and module.weight.device.type == "cpu":
            module.forward = partial(_forward, module)  # type: ignore[method-assign]  # as wrap_layers does


def _forward(module: nn.Linear, given: torch.Tensor) -> torch.Tensor:
    weight, bias = module.weight, module.bias
    if given.dtype is not torch.float32 or weight.dtype is not torch.float32 or torch.is_autocast_enabled("cpu"):
        return linear(given, weight, bias)
    return cast(torch.Tensor, _OneDnnLinear.apply(given, weight, bias))  # type: ignore[no-untyped-call]  # of torch


class Context(Protocol):
    """What is used of the context of a function that has a gradient."""

    needs_input_grad: tuple[bool, bool, bool]
    saved_tensors: tuple[torch.Tensor, torch.Tensor]

    def save_for_backward(self, *tensors: torch.Tensor | None) -> None:
        """Keep tensors for the gradient."""
        ...


class _OneDnnLinear(torch.autograd.Function):
    """given @ weight.T + bias."""

    @staticmethod
    def forward(ctx: Context, given: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        """Compute, and keep what the gradients need."""
        by_given, by_weight, _ = ctx.needs_input_grad
        ctx.save_for_backward(given if by_weight else None, weight if by_given else None)
        return onednn_linear(given, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Context, slope: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the gradients that are asked for."""
        given, weight = ctx.saved_tensors
        by_given, by_weight, by_bias = ctx.needs_input_grad
        flat = slope.flatten(0, -2)
        return (
            onednn_linear(slope, weight.t(), None) if by_given else None,
            flat.t() @ given.flatten(0, -2) if by_weight else None,
            flat.sum(0) if by_bias else None,
        )
