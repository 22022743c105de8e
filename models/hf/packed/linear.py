"""Linear kernels for few tokens on a CPU: dense weights, or weights prepacked into the blocks that oneDNN reads.

Which of the two is faster depends on the machine, so `prepacking_is_faster` measures it. `fuse_linear` joins several
linear modules, such as q_proj, k_proj and v_proj, into one kernel: one large product instead of three small ones. The
modules stay in the model, and compute with their rows of the joint weight.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from xlingual.decoder.linear import has_onednn, onednn_linear, prepack_weight

from .memory import release_mapped_pages

if TYPE_CHECKING:
    import torch
    from torch import nn

TRIAL_TOKENS = 32
"""Tokens of the products that are timed: a decode step has about so many."""
TRIALS = 5
MARGIN = 0.95
"""Prepacked weights must take less than this part of the time, to be worth the prepacking."""
TRANSPOSED_UP_TO = 8
"""Tokens: with so few, torch's product takes longer than reading the weights, unless it is computed transposed."""
TRANSPOSED_FROM = 32
"""With so many as well, where threads share the work better."""


class LinearKernel(Protocol):
    """Weights in the layout in which they are read fastest."""

    def __call__(self, tokens: "torch.Tensor") -> "torch.Tensor":
        """Return the product of (tokens, in) with the weights, (tokens, out)."""
        ...


@dataclass(frozen=True, slots=True)
class DenseLinear:
    """Weights as they are, (out, in)."""

    weight: "torch.Tensor"
    bias: "torch.Tensor | None"

    def __call__(self, tokens: "torch.Tensor") -> "torch.Tensor":
        """Return the product, computed transposed where that is faster."""
        import torch  # noqa: PLC0415 - heavy
        from torch.nn.functional import linear  # noqa: PLC0415 - heavy

        if TRANSPOSED_UP_TO < len(tokens) < TRANSPOSED_FROM:
            return linear(tokens, self.weight, self.bias)
        out = torch.mm(self.weight, tokens.t()).t()
        return out if self.bias is None else out.add_(self.bias)


@dataclass(frozen=True, slots=True)
class PrepackedLinear:
    """Weights for oneDNN's kernel: in its blocks, or as they are, which it then blocks at every call."""

    weight: "torch.Tensor"
    bias: "torch.Tensor | None"

    def __call__(self, tokens: "torch.Tensor") -> "torch.Tensor":
        """Return the product."""
        return onednn_linear(tokens.contiguous(), self.weight, self.bias)


def prepack(weight: "torch.Tensor", bias: "torch.Tensor | None") -> PrepackedLinear:
    """Return weights (out, in) in oneDNN's blocks; a copy."""
    return PrepackedLinear(prepack_weight(weight, TRIAL_TOKENS), bias)


def prepacking_is_faster(weight: "torch.Tensor") -> bool:
    """Return whether prepacked weights are faster on this machine, with the threads that torch has now."""
    import torch  # noqa: PLC0415 - heavy

    if not has_onednn():
        return False
    tokens = torch.ones(TRIAL_TOKENS, weight.shape[1])
    return _best_time(prepack(weight, None), tokens) < MARGIN * _best_time(DenseLinear(weight, None), tokens)


def _best_time(kernel: LinearKernel, tokens: "torch.Tensor") -> float:
    import torch  # noqa: PLC0415 - heavy

    times: list[float] = []
    with torch.inference_mode():
        for _ in range(TRIALS):
            start = time.perf_counter()
            kernel(tokens)
            times.append(time.perf_counter() - start)
    return min(times)


def fuse_linear(
    parent: "nn.Module", names: Sequence[str], *, prepacked: bool, files: Sequence[range] = ()
) -> LinearKernel:
    """Return one kernel for the linear modules `names` of `parent`, which go on with rows of its weight.

    Prepacked, their own weights are released where they lie in one of the mapped `files`.
    """
    import torch  # noqa: PLC0415 - heavy
    from torch import nn  # noqa: PLC0415 - heavy

    modules = [getattr(parent, name) for name in names]
    weight = torch.cat([each.weight.detach() for each in modules]) if len(modules) > 1 else modules[0].weight.detach()
    biases = [each.bias.detach() for each in modules if each.bias is not None]
    bias = torch.cat(biases) if biases else None
    kernel = prepack(weight, bias) if prepacked else DenseLinear(weight, bias)
    if prepacked:
        for each in modules:
            release_mapped_pages(each.weight, files)
    first = 0
    for name, each in zip(names, modules, strict=True):
        last = first + each.out_features
        if prepacked:
            setattr(parent, name, view_of_fused(kernel, first, last))
        else:
            each.weight = nn.Parameter(weight[first:last], requires_grad=False)
        first = last
    return kernel


def view_of_fused(kernel: LinearKernel, first: int, last: int) -> "nn.Module":
    """Return a module to be called instead of the one whose weight became the rows `first` to `last` of `kernel`."""
    import torch  # noqa: PLC0415 - heavy
    from torch import nn  # noqa: PLC0415 - heavy

    class FusedLinearView(nn.Module):
        """Some rows of a fused linear kernel."""

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            """Return the product of (..., in), (..., out)."""
            found = kernel(tokens.reshape(-1, tokens.shape[-1]))[:, first:last]
            return found.reshape(*tokens.shape[:-1], last - first)

    return FusedLinearView()
