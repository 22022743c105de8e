"""oneDNN's linear kernel for float32 on a CPU, with the weights as they are or prepacked into its own blocks.

On AMD it is faster than the MKL in the wheels of torch; the numbers differ by rounding.
"""

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    import torch


def has_onednn() -> bool:
    """Return whether this build of torch has oneDNN."""
    import torch  # noqa: PLC0415 - heavy

    return bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]  # of torch


def onednn_linear(tokens: "torch.Tensor", weight: "torch.Tensor", bias: "torch.Tensor | None") -> "torch.Tensor":
    """Return `tokens` (..., in) times `weight` (out, in), prepacked or not, plus `bias`: (..., out)."""
    import torch  # noqa: PLC0415 - heavy

    return cast("torch.Tensor", torch.ops.mkldnn._linear_pointwise(tokens, weight, bias, "none", [], ""))


def prepack_weight(weight: "torch.Tensor", tokens: int) -> "torch.Tensor":
    """Return a copy of `weight` (out, in) in the blocks that oneDNN's kernel reads, for inputs of about `tokens`."""
    import torch  # noqa: PLC0415 - heavy

    with torch.no_grad():
        return cast("torch.Tensor", torch.ops.mkldnn._reorder_linear_weight(weight, tokens))


def unpack_weight(weight: "torch.Tensor") -> "torch.Tensor":
    """Return a weight, prepacked or not, as (out, in); a copy where it was prepacked."""
    return weight.to_dense() if weight.is_mkldnn else weight
