"""Linear layers in float32 on a CPU through oneDNN, in training: the forward pass and both gradients.

On an AMD EPYC with AVX-512 each is about twice as fast as the MKL in the wheels of torch. Joint projections are not: a
product with q, k and v in one matrix, or with gate and up, takes as long as those apart. The kernel follows from the
type of the layer and its shape, never from a timing, so that a resumed training computes the same numbers.
"""

from functools import partial
from typing import Protocol, cast

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear

from ..decoder.linear import has_onednn, onednn_linear


def use_onednn_linear(model: nn.Module) -> None:
    """Make the plain linear layers of `model` use oneDNN for float32 on a CPU; other layers and dtypes stay."""
    if not has_onednn():
        return
    for module in model.modules():
        if type(module) is nn.Linear and module.weight.device.type == "cpu":
            module.forward = partial(_forward, module)  # type: ignore[method-assign]  # as wrap_layers does


def _forward(module: nn.Linear, inputs: torch.Tensor) -> torch.Tensor:
    weight, bias = module.weight, module.bias
    if inputs.dtype is not torch.float32 or weight.dtype is not torch.float32 or torch.is_autocast_enabled("cpu"):
        return linear(inputs, weight, bias)
    return cast(torch.Tensor, _OneDnnLinear.apply(inputs, weight, bias))  # type: ignore[no-untyped-call]  # of torch


NARROW = 64
"""Inputs of a layer below which the gradient of its weight is computed transposed; LoRA's B has as many as its rank."""


class LinearContext(Protocol):
    """The part of an autograd context that is used."""

    needs_input_grad: tuple[bool, bool, bool]
    saved_tensors: tuple[torch.Tensor, torch.Tensor]

    def save_for_backward(self, *tensors: torch.Tensor | None) -> None:
        """Save tensors for the backward pass."""
        ...


class _OneDnnLinear(torch.autograd.Function):
    """inputs @ weight.T + bias."""

    @staticmethod
    def forward(
        ctx: LinearContext, inputs: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
    ) -> torch.Tensor:
        """Compute, and save what the gradients need: of a frozen weight no activation."""
        for_inputs, for_weight, _ = ctx.needs_input_grad
        ctx.save_for_backward(inputs if for_weight else None, weight if for_inputs else None)
        return onednn_linear(inputs, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: LinearContext, grad_output: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the gradients that are needed."""
        inputs, weight = ctx.saved_tensors
        for_inputs, for_weight, for_bias = ctx.needs_input_grad
        flat = grad_output.flatten(0, -2)
        return (
            onednn_linear(grad_output, weight.t(), None) if for_inputs else None,
            _weight_gradient(flat, inputs.flatten(0, -2)) if for_weight else None,
            flat.sum(0) if for_bias else None,
        )


def _weight_gradient(grad_output: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
    """Return grad_output.T @ inputs, (out, in), of (tokens, out) and (tokens, in).

    The kernel is a third as fast where the result has few columns, and fast where it has few rows. It takes no tensor
    without elements, as an expert that no token is routed to would give.
    """
    if not len(inputs):
        return grad_output.t() @ inputs
    if inputs.shape[-1] < NARROW:
        return onednn_linear(inputs.t(), grad_output.t(), None).t().contiguous()
    return onednn_linear(grad_output.t(), inputs.t(), None)
