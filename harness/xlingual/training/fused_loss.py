"""Cross-entropy whose gradient is computed in the forward pass, the logits of one chunk of tokens at a time.

The logits of a chunk are dropped with their gradient as soon as both products of the head's gradient are done: nothing
of the size of the vocabulary is kept for the backward pass, and none of the head is computed twice.
"""

from collections.abc import Callable, Sequence
from typing import Protocol, cast

import torch
from torch.autograd.function import once_differentiable

BLOCK_LOGITS = 2**20
"""Logits of which softmax and gradient are computed at once: 4 MB in float32, which a processor's cache holds."""
Logits = Callable[[torch.Tensor], torch.Tensor]
"""The logits, (tokens, vocabulary), of last hidden states, (tokens, width)."""


def fused_cross_entropy(
    logits_of: Logits,
    hidden: torch.Tensor,
    labels: torch.Tensor,
    weights: torch.Tensor,
    parameters: Sequence[torch.Tensor],
    chunk: int,
) -> torch.Tensor:
    """Return the cross-entropy of each token, (tokens,), float32, to be summed with `weights`, (tokens,).

    `parameters` are the trained ones that `logits_of` reads; `chunk` tokens are computed at once. The backward pass
    raises RuntimeError where the gradient of the losses is not `weights`.
    """
    arguments = (logits_of, chunk, labels, weights, hidden, *parameters)
    return cast(torch.Tensor, _FusedCrossEntropy.apply(*arguments))  # type: ignore[no-untyped-call]  # of torch


class LossContext(Protocol):
    """The part of an autograd context that is used."""

    saved_tensors: tuple[torch.Tensor, ...]

    def save_for_backward(self, *tensors: torch.Tensor) -> None:
        """Save tensors for the backward pass."""
        ...


class _FusedCrossEntropy(torch.autograd.Function):
    """The losses; their gradients for the weights that are known beforehand."""

    @staticmethod
    def forward(
        ctx: LossContext,
        logits_of: Logits,
        chunk: int,
        labels: torch.Tensor,
        weights: torch.Tensor,
        hidden: torch.Tensor,
        *parameters: torch.Tensor,
    ) -> torch.Tensor:
        """Compute losses and gradients chunk by chunk."""
        losses: list[torch.Tensor] = []
        of_hidden: list[torch.Tensor] = []
        of_parameters: list[torch.Tensor] = []
        for part, label, weight in zip(*(torch.split(each, chunk) for each in (hidden, labels, weights)), strict=True):
            with torch.enable_grad():
                states = part.detach().requires_grad_()
                logits = logits_of(states)
            loss, gradient = _losses_and_gradient(logits.detach(), label, weight)
            losses.append(loss)
            first, *others = torch.autograd.grad(
                logits, [states, *parameters], gradient, allow_unused=True, materialize_grads=True
            )
            of_hidden.append(first)
            for total, other in zip(of_parameters, others, strict=False):  # none of the first chunk
                total.add_(other)
            of_parameters = of_parameters or others
        ctx.save_for_backward(weights, torch.cat(of_hidden), *of_parameters)
        return torch.cat(losses)

    @staticmethod
    @once_differentiable
    def backward(ctx: LossContext, grad_output: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the gradients that are there already."""
        weights, *gradients = ctx.saved_tensors
        torch._assert_async((grad_output == weights).all(), "the gradient of the losses is not that of their weights")
        return (None, None, None, None, *gradients)


def _losses_and_gradient(
    logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the losses, float32, and the gradient of their weighted sum for the logits, of the logits' type."""
    gradient = torch.empty_like(logits)
    losses = logits.new_empty(len(logits), dtype=torch.float32)
    rows = max(BLOCK_LOGITS // logits.shape[-1], 1)
    for start in range(0, len(logits), rows):
        place = slice(start, start + rows)
        block, label = logits[place].float(), labels[place, None]
        largest = block.amax(-1, keepdim=True)
        of_label = block.gather(-1, label)
        block = (block - largest).exp_()
        total = block.sum(-1, keepdim=True)
        losses[place] = (total.log() - (of_label - largest))[:, 0]
        weight = weights[place, None].float()
        block.mul_(weight / total).scatter_add_(-1, label, -weight)
        gradient[place] = block
    return losses, gradient
