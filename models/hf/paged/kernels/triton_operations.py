"""The programs of `fused_operations`: a norm, and the rotation of queries and keys, in one kernel each.

They round where transformers' modules round, after every operation, so that an answer does not depend on who computed.
This module is imported where triton is installed and nowhere else.
"""

import triton
import triton.language as tl


# fmt: off
@triton.jit
def rms_norm(  # noqa: PLR0913 - a program has no records
    out: tl.tensor, inputs: tl.tensor, weight: tl.tensor, epsilon: tl.tensor,
    size: tl.constexpr, width: tl.constexpr, adds_one: tl.constexpr,
) -> None:
    """Norm one row of `inputs`, (rows, size); `adds_one`: times 1 + weight in float32, as Gemma, else as Llama."""
    # fmt: on
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, width)
    inside = columns < size
    given = tl.load(inputs + row * size + columns, mask=inside, other=0.0).to(tl.float32)
    scale = tl.load(weight + columns, mask=inside, other=0.0)
    normed = given * tl.rsqrt(tl.sum(given * given, 0) / size + epsilon)
    if adds_one:
        answer = normed * (1.0 + scale.to(tl.float32))
    else:
        answer = scale.to(tl.float32) * normed.to(out.dtype.element_ty).to(tl.float32)
    tl.store(out + row * size + columns, answer.to(out.dtype.element_ty), mask=inside)


# fmt: off
@triton.jit
def rotate(  # noqa: PLR0913 - a program has no records
    out: tl.tensor, inputs: tl.tensor, cosines: tl.tensor, sines: tl.tensor,
    token_stride: tl.tensor, head_stride: tl.tensor, angle_stride: tl.tensor,
    heads: tl.constexpr, at_once: tl.constexpr, half: tl.constexpr, width: tl.constexpr,
) -> None:
    """Rotate `at_once` heads of a token; `out` is (tokens, heads, 2 * half), the angles are (tokens, 2 * half)."""
    # fmt: on
    token = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1) * at_once + tl.arange(0, at_once)
    columns = tl.arange(0, width)
    inside = (head < heads)[:, None] & (columns < half)[None, :]
    at = inputs + token * token_stride + head[:, None] * head_stride + columns[None, :]
    left = tl.load(at, mask=inside, other=0.0).to(tl.float32)
    right = tl.load(at + half, mask=inside, other=0.0).to(tl.float32)
    angle = token * angle_stride + columns
    known = columns < half
    kind = out.dtype.element_ty
    target = out + (token * heads + head)[:, None] * (2 * half) + columns[None, :]
    cosine = tl.load(cosines + angle, mask=known, other=0.0).to(tl.float32)[None, :]
    sine = tl.load(sines + angle, mask=known, other=0.0).to(tl.float32)[None, :]
    turned = (left * cosine).to(kind).to(tl.float32) - (right * sine).to(kind).to(tl.float32)
    tl.store(target, turned.to(kind), mask=inside)
    cosine = tl.load(cosines + angle + half, mask=known, other=0.0).to(tl.float32)[None, :]
    sine = tl.load(sines + angle + half, mask=known, other=0.0).to(tl.float32)[None, :]
    turned = (right * cosine).to(kind).to(tl.float32) + (left * sine).to(kind).to(tl.float32)
    tl.store(target + half, turned.to(kind), mask=inside)
