"""Norms and rotations of transformers' models in one kernel each, where these were tried to compute the same.

transformers computes a norm in six kernels and the rotation of queries and keys in ten. In a decode step of an 8B model
they take a fifth of the time (docs/benchmarks-gpu.md). Nothing of the model is changed: its modules are given other
functions while the paged engine runs, and have their own again afterwards.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Protocol, TypeGuard, cast
from weakref import WeakKeyDictionary

from xlingual.decoder.protocols import DecoderModel
from xlingual.records import Failure

from ..limits import attempt
from .kernels.triton_kernel import installed, interpreted, on_device_of

if TYPE_CHECKING:
    import torch

    Norm = Callable[[torch.Tensor], torch.Tensor]
    Rotation = Callable[..., tuple[torch.Tensor, torch.Tensor]]

ROTATION = "apply_rotary_pos_emb"
"""The function of transformers' modules that rotates queries and keys."""
MAX_WIDTH = 16384
"""Of a norm: what one program holds."""
HEADS_AT_ONCE = 8
TOLERANCE = 4.0
"""How many units in the last place of the largest value results may differ from transformers'."""


class NormModule(Protocol):
    """A module of a model that norms; it has its epsilon under one of two names."""

    weight: "torch.Tensor"
    forward: "Norm"


@dataclass(frozen=True, slots=True)
class FusedOperations:
    """What of a model is computed by kernels of ours."""

    norms: tuple[tuple[NormModule, bool], ...] = ()
    """Modules, and whether they multiply by 1 + weight."""
    rotations: tuple[ModuleType, ...] = ()
    """Modules of Python whose `apply_rotary_pos_emb` is replaced."""


_KNOWN: "WeakKeyDictionary[object, FusedOperations]" = WeakKeyDictionary()
"""By model: it is looked at once."""


@contextmanager
def fused_operations(model: DecoderModel) -> Iterator[None]:
    """Let the model's norms and rotations be computed by kernels of ours, where it is on a GPU."""
    found = _KNOWN.get(model)
    if found is None:
        found = _KNOWN[model] = find_operations(model)
    with ExitStack() as stack:
        for module, adds_one in found.norms:
            if "forward" in vars(module):  # somebody else's
                continue
            module.forward = partial(norm_or_own, module, module.forward, adds_one)
            stack.callback(delattr, module, "forward")
        for place in found.rotations:
            own = getattr(place, ROTATION)
            if isinstance(own, partial):
                continue
            setattr(place, ROTATION, partial(rotate_or_own, own))
            stack.callback(setattr, place, ROTATION, own)
        yield


def find_operations(model: DecoderModel) -> FusedOperations:
    """Return which norms and rotations our kernels compute as the model does, tried on random numbers on its device."""
    import torch  # noqa: PLC0415 - heavy

    modules = list(cast(torch.nn.Module, model).modules())
    weight = next((each for each in cast(torch.nn.Module, model).parameters()), None)
    if weight is None or not installed() or not (weight.is_cuda or interpreted()):
        return FusedOperations()
    kinds: dict[tuple[type, int], bool | None] = {}
    norms: list[tuple[NormModule, bool]] = []
    for module in filter(_is_norm, modules):
        kind = (type(module), len(module.weight))
        if kind not in kinds:
            tried = attempt(partial(_try_norm, module))
            kinds[kind] = None if isinstance(tried, Failure) else tried
        if (adds_one := kinds[kind]) is not None:
            norms.append((module, adds_one))
    places = dict.fromkeys(sys.modules[type(each).__module__] for each in modules)
    rotations = [
        place for place in places if hasattr(place, ROTATION) and attempt(partial(_try_rotation, place, weight)) is True
    ]
    return FusedOperations(tuple(norms), tuple(rotations))


def norm_or_own(
    module: NormModule,
    own: "Norm",
    adds_one: bool,
    inputs: "torch.Tensor",
) -> "torch.Tensor":
    """Return the norm of `inputs`, (..., size); by the module's `own` function where they do not lie row by row."""
    from .kernels import triton_operations  # noqa: PLC0415 - triton is not everywhere

    weight = module.weight
    if not inputs.is_contiguous() or inputs.dtype != weight.dtype or not inputs.numel():
        return own(inputs)
    size, out = inputs.shape[-1], inputs.new_empty(inputs.shape)
    width = 1 << (size - 1).bit_length()
    rows, warps = inputs.numel() // size, 8 if width >= 2048 else 1 if width <= 256 else 4
    with on_device_of(inputs):
        triton_operations.rms_norm[(rows,)](
            out, inputs, weight, _epsilon(module), size=size, width=width, adds_one=adds_one, num_warps=warps
        )
    return out


def rotate_or_own(
    own: "Rotation", q: "torch.Tensor", k: "torch.Tensor", cos: "torch.Tensor", sin: "torch.Tensor", **more: object
) -> "tuple[torch.Tensor, torch.Tensor]":
    """Return rotated queries and keys, (1, heads, tokens, size); by `own` where they are anything else."""
    tokens, size = q.shape[-2:]
    fits = q.dim() == k.dim() == 4 and len(q) == len(k) == 1 and cos.shape == sin.shape == (1, tokens, size)
    alike = q.dtype == k.dtype == cos.dtype == sin.dtype and cos.stride() == sin.stride()
    if more or not (fits and alike and tokens) or size % 2 or any(x.stride(-1) != 1 for x in (q, k, cos)):
        return own(q, k, cos, sin, **more)
    return _rotate(q, cos, sin), _rotate(k, cos, sin)


def _rotate(given: "torch.Tensor", cos: "torch.Tensor", sin: "torch.Tensor") -> "torch.Tensor":
    from .kernels import triton_operations  # noqa: PLC0415 - triton is not everywhere

    _, heads, tokens, size = given.shape
    out = given.new_empty(1, tokens, heads, size)
    at_once, half = min(HEADS_AT_ONCE, 1 << (heads - 1).bit_length()), size // 2
    with on_device_of(given):
        triton_operations.rotate[(tokens, -(-heads // at_once))](
            out, given, cos, sin, given.stride(2), given.stride(1), cos.stride(1),
            heads=heads, at_once=at_once, half=half, width=1 << (half - 1).bit_length(), num_warps=4,
        )  # fmt: skip
    return out.transpose(1, 2)


def _epsilon(module: object) -> float:
    found = getattr(module, "variance_epsilon", None)
    return float(getattr(module, "eps", 0.0) if found is None else found)


def _is_norm(module: object) -> TypeGuard[NormModule]:
    weight = getattr(module, "weight", None)
    is_plain = weight is not None and weight.dim() == 1 and len(weight) <= MAX_WIDTH and "forward" not in vars(module)
    named = type(module).__name__.endswith("RMSNorm") and getattr(module, "bias", None) is None
    return bool(is_plain) and named and (hasattr(module, "variance_epsilon") or hasattr(module, "eps"))


def _try_norm(module: NormModule) -> bool | None:
    """Return whether the norm multiplies by 1 + weight; None where it computes something else."""
    import torch  # noqa: PLC0415 - heavy

    generator = torch.Generator().manual_seed(0)
    given = torch.randn(1, 7, len(module.weight), generator=generator).to(module.weight)
    with torch.no_grad():
        wanted = module.forward(given)
        for adds_one in (False, True):
            if _are_equal([norm_or_own(module, module.forward, adds_one, given)], [wanted]):
                return adds_one
    return None


def _try_rotation(place: ModuleType, like: "torch.Tensor") -> bool:
    """Return whether a rotation is that of halves, as in Llama."""
    import torch  # noqa: PLC0415 - heavy

    generator = torch.Generator().manual_seed(0)
    q, k = (torch.randn(1, heads, 5, 32, generator=generator).to(like) for heads in (6, 2))
    cos, sin = (torch.randn(1, 5, 32, generator=generator).to(like) for _ in range(2))
    own = getattr(place, ROTATION)
    with torch.no_grad():
        return _are_equal(rotate_or_own(own, q, k, cos, sin), own(q, k, cos, sin))


def _are_equal(found: "Sequence[torch.Tensor]", wanted: "Sequence[torch.Tensor]") -> bool:
    import torch  # noqa: PLC0415 - heavy

    for ours, theirs in zip(found, wanted, strict=True):
        allowed = TOLERANCE * torch.finfo(theirs.dtype).eps * float(theirs.abs().max())
        if ours.shape != theirs.shape or not float((ours.float() - theirs.float()).abs().max()) <= allowed:
            return False
    return True
