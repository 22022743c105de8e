"""Products of tokens with weights on a CPU: which kernel is fast depends on the machine, so it is measured.

Joint weights make fewer and larger products of several modules'; the modules themselves go on as parts of them.
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

TRIAL = 32
"""Tokens of the products that are measured: decoding has so many."""
TRIALS = 5
MARGIN = 0.95
"""Prepacked weights must take less of the time than this, to be worth their packing."""
THIN = 8
"""Up to so many tokens a product of the library takes longer than reading its weights, unless it is turned around."""
WIDE = 32
"""From so many on as well, where threads share the work better."""


class LinearKernel(Protocol):
    """Weights as they lie best in memory."""

    def __call__(self, tokens: "torch.Tensor") -> "torch.Tensor":
        """Return the product of (tokens, in) with the weights, (tokens, out)."""
        ...


@dataclass(frozen=True, slots=True)
class DenseLinear:
    """Weights as they are, (out, in)."""

    weight: "torch.Tensor"
    bias: "torch.Tensor | None"

    def __call__(self, tokens: "torch.Tensor") -> "torch.Tensor":
        """Return the product; columns instead of rows where that is faster."""
        import torch  # noqa: PLC0415 - heavy
        from torch.nn.functional import linear  # noqa: PLC0415 - heavy

        if THIN < len(tokens) < WIDE:
            return linear(tokens, self.weight, self.bias)
        out = torch.mm(self.weight, tokens.t()).t()
        return out if self.bias is None else out.add_(self.bias)


@dataclass(frozen=True, slots=True)
class PrepackedLinear:
    """Weights in the blocks that oneDNN's kernels read, or left as they are for kernels that block them as they go."""

    weight: "torch.Tensor"
    bias: "torch.Tensor | None"

    def __call__(self, tokens: "torch.Tensor") -> "torch.Tensor":
        """Return the product."""
        return onednn_linear(tokens.contiguous(), self.weight, self.bias)


def prepack(weight: "torch.Tensor", bias: "torch.Tensor | None") -> PrepackedLinear:
    """Return weights (out, in) in blocks; a copy."""
    return PrepackedLinear(prepack_weight(weight, TRIAL), bias)


def prepacking_is_faster(weight: "torch.Tensor") -> bool:
    """Return whether products with packed weights are faster on this machine, with the threads that torch has now."""
    import torch  # noqa: PLC0415 - heavy

    if not has_onednn():
        return False
    tokens = torch.ones(TRIAL, weight.shape[1])
    return _best_time(prepack(weight, None), tokens) < MARGIN * _best_time(DenseLinear(weight, None), tokens)


def _best_time(product: LinearKernel, tokens: "torch.Tensor") -> float:
    import torch  # noqa: PLC0415 - heavy

    times: list[float] = []
    with torch.inference_mode():
        for _ in range(TRIALS):
            start = time.perf_counter()
            product(tokens)
            times.append(time.perf_counter() - start)
    return min(times)


def fuse_linear(
    parent: "nn.Module", names: Sequence[str], *, packed: bool, files: Sequence[range] = ()
) -> LinearKernel:
    """Return the joint product of the linear modules `names` of `parent`; they go on as views or parts of it.

    Prepacked, they are let go of where they lie in one of the mapped `files`.
    """
    import torch  # noqa: PLC0415 - heavy
    from torch import nn  # noqa: PLC0415 - heavy

    single = [getattr(parent, name) for name in names]
    weight = torch.cat([each.weight.detach() for each in single]) if len(single) > 1 else single[0].weight.detach()
    biases = [each.bias.detach() for each in single if each.bias is not None]
    bias = torch.cat(biases) if biases else None
    product = prepack(weight, bias) if packed else DenseLinear(weight, bias)
    if packed:
        for each in single:
            release_mapped_pages(each.weight, files)
    first = 0
    for name, each in zip(names, single, strict=True):
        last = first + each.out_features
        if packed:
            setattr(parent, name, view_of_fused(product, first, last))
        else:
            each.weight = nn.Parameter(weight[first:last], requires_grad=False)
        first = last
    return product


def view_of_fused(product: LinearKernel, first: int, last: int) -> "nn.Module":
    """Return the module that a model calls instead of one whose weights went into `product`."""
    import torch  # noqa: PLC0415 - heavy
    from torch import nn  # noqa: PLC0415 - heavy

    class FusedPart(nn.Module):
        """Rows `first` to `last` of a joint product."""

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            """Return the product of (..., in), (..., out)."""
            found = product(tokens.reshape(-1, tokens.shape[-1]))[:, first:last]
            return found.reshape(*tokens.shape[:-1], last - first)

    return FusedPart()
