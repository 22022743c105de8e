"""The module that takes the place of a linear one whose weight was fused and prepacked.

A class of torch cannot be defined without importing it, so this module is imported when a model is fused.
"""

import torch
from torch import nn

from .linear import LinearKernel


class FusedLinearView(nn.Module):
    """Computes with the rows `first` to `last` of a fused kernel, as the linear module did whose weight they were."""

    def __init__(self, kernel: LinearKernel, first: int, last: int) -> None:
        """Take the kernel, and the place of the weight in it."""
        super().__init__()
        self.kernel, self.first, self.last = kernel, first, last

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return the product of (..., in), (..., out)."""
        found = self.kernel(tokens.reshape(-1, tokens.shape[-1]))[:, self.first : self.last]
        return found.reshape(*tokens.shape[:-1], self.last - self.first)
