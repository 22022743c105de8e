"""Linear kernels for few tokens on a CPU: dense weights, or weights prepacked into the blocks that oneDNN reads.

Which of the two is faster depends on the machine and its threads, so it is measured once for a model. A kernel may hold
the joint weight of several linear modules: `fused_llama` makes one large product of q_proj, k_proj and v_proj.
"""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from xlingual.decoder.linear import has_onednn, onednn_linear, prepack_weight, unpack_weight

if TYPE_CHECKING:
    import torch

TRIAL_TOKENS = 32
"""Tokens of the products that are timed: a decode step has about so many."""
TRIALS = 5
"""Measurements of a product, of which the shortest counts."""
EXACTNESS_ROWS = 64
"""Of a weight that is prepacked and unpacked again, to see that no bit is lost."""
MARGIN = 0.95
"""Prepacked weights must take less than this part of the time, to be worth the prepacking."""
TRANSPOSED_UP_TO = 8
"""Tokens: with so few, torch's product takes longer than reading the weights, unless it is computed transposed."""
TRANSPOSED_FROM = 32
"""With so many as well, where threads share the work better."""


class LinearKernel(Protocol):
    """Weights in one of the layouts, and their product with tokens."""

    def dense(self) -> "torch.Tensor":
        """Return the weights (out, in)."""
        ...

    def __call__(self, tokens: "torch.Tensor") -> "torch.Tensor":
        """Return the product of (tokens, in) with the weights, (tokens, out)."""
        ...


@dataclass(frozen=True, slots=True)
class DenseLinear:
    """Weights as they are, (out, in)."""

    weight: "torch.Tensor"
    bias: "torch.Tensor | None"

    def dense(self) -> "torch.Tensor":
        """Return the weights, not a copy."""
        return self.weight

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

    def dense(self) -> "torch.Tensor":
        """Return the weights (out, in), a copy where they lie in blocks."""
        return unpack_weight(self.weight)

    def __call__(self, tokens: "torch.Tensor") -> "torch.Tensor":
        """Return the product."""
        return onednn_linear(tokens.contiguous(), self.weight, self.bias)


def prepack(weight: "torch.Tensor", bias: "torch.Tensor | None") -> PrepackedLinear:
    """Return weights (out, in) in oneDNN's blocks; a copy."""
    return PrepackedLinear(prepack_weight(weight, TRIAL_TOKENS), bias)


@dataclass(frozen=True, slots=True)
class WeightLayout:
    """How the weights of a model are laid out for its kernels."""

    prepacked: bool
    exact: bool
    """Whether the dense weights can be had back bit by bit: prepacking only moves numbers, unless it rounds them."""


def choose_layout(weight: "torch.Tensor") -> WeightLayout:
    """Return the layout that is faster on this machine, by a trial with a weight (out, in) of the model."""
    import torch  # noqa: PLC0415 - heavy

    if not prepacking_is_faster(weight):
        return WeightLayout(prepacked=False, exact=True)
    rows = weight[:EXACTNESS_ROWS]
    return WeightLayout(prepacked=True, exact=torch.equal(prepack(rows, None).dense(), rows))


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
