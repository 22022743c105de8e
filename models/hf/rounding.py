"""How far the scores of two right ways to compute a model may be apart: as far as rounding moves them.

    layers   bfloat16, ours against transformers'   allowed      an attention that is 1.1 times too large
         4                                  0.017     0.050      0.15
        32                         0.040 to 0.050     0.110      0.27
        80                         0.074 to 0.111     0.175      0.62

All relative to the largest score, for random Llamas of width 128 and 256; at widths up to 1,024 it is the same.

In half precision a layer rounds its numbers a dozen times on their way: norms, queries, keys, values, attention, the
feed-forward block, two sums. Each is off by 0.42 unit roundoffs as a root mean square (evenly spread errors, mantissas
spread as their logarithms are). Two computations that add up in different orders are soon off independently of each
other, so a layer moves them apart by 0.42 x sqrt(2 x 12) = 2.1 unit roundoffs, and n layers by sqrt(n) times as much,
for errors are as often up as down. Measured are 2.1. The width plays no part: matrix products add up in float32.
"""

import math
from typing import TYPE_CHECKING

from .packed.support import layers_of

if TYPE_CHECKING:
    from .loaded_model import CausalLM

FLOAT32 = 1e-3
"""Relative to the largest score."""
LEAST_HALF = 0.05
"""In half precision, of models of few layers, and in float16, whose unit roundoff is an eighth of that of bfloat16."""
ROUNDOFFS_OF_A_LAYER = 5.0
"""2.1 are expected; single models were up to 1.6 times as far off."""


def tolerance(model: "CausalLM") -> float:
    """Return how far scores may be off, relative to the largest one."""
    import torch  # noqa: PLC0415 - heavy

    if model.dtype.itemsize >= torch.float32.itemsize:
        return FLOAT32
    roundoff = float(torch.finfo(model.dtype).eps) / 2
    return max(LEAST_HALF, ROUNDOFFS_OF_A_LAYER * roundoff * math.sqrt(layers_of(model.config)))
