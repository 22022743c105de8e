"""A model whose layers are on several devices: what a layer is given is moved to its device.

    layer 38 on cuda:0  ->  hidden states, angles, masks to cuda:1, once a pass  ->  layer 39 ... 79  ->  back to cuda:0

accelerate, with which transformers loads such a model, has hooks for it: at every module inside a layer, for every
tensor, every time. Ours are at the layers alone, and what does not change between layers is moved once for a device.
"""

import importlib.util
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, cast

from xlingual.errors import EnvironmentFault, ModelError
from xlingual.records import Failure

from ..limits import attempt
from .placement import Placement

if TYPE_CHECKING:
    import torch
    from torch import nn

HIDDEN = "hidden_states"
"""What the input of a layer is called, where it is given by its name."""
PASSED_ON = ("past_key_values", "past_key_value", "cache_params", "layer_past")
"""Caches: the layers find their own part of these on their own device."""


@dataclass(slots=True, eq=False)
class DeviceMoves:
    """The moves of the pass that is being computed."""

    first: "torch.device"
    moved: "dict[tuple[int, torch.device], tuple[torch.Tensor, torch.Tensor]]" = field(default_factory=dict)
    """By the tensor's id and the device: the tensor, which keeps its id from being given to another, and its copy."""

    def enter(
        self,
        target: "torch.device",
        is_first: bool,
        _module: object,
        given: tuple[object, ...],
        named: dict[str, object],
    ) -> tuple[tuple[object, ...], dict[str, object]]:
        """Return what a layer is given, on its device."""
        if is_first:
            self.moved.clear()
        args = tuple(self._move(each, target, kept=number > 0) for number, each in enumerate(given))
        return args, {
            name: each if name in PASSED_ON else self._move(each, target, kept=name != HIDDEN)
            for name, each in named.items()
        }

    def leave(self, _module: object, _given: object, output: object) -> object:
        """Return the output of the last layer, on the first device."""
        self.moved.clear()
        return self._move(output, self.first, kept=False)

    def _move(self, value: object, target: "torch.device", *, kept: bool) -> object:
        import torch  # noqa: PLC0415 - heavy

        if isinstance(value, torch.Tensor):
            if value.device == target:
                return value
            if not kept:
                return value.to(target)
            key = (id(value), target)
            if key not in self.moved:
                self.moved[key] = (value, value.to(target))
            return self.moved[key][1]
        if type(value) in (tuple, list):
            items = cast("tuple[object, ...]", value)
            return type(items)(self._move(each, target, kept=kept) for each in items)
        if hasattr(value, "to") and not hasattr(value, "parameters"):
            # transformers' dictionary of the keys and values that layers share (Gemma 4) moves what it holds.
            return value.to(target)
        return value


def check_accelerate() -> None:
    """Raise EnvironmentFault where accelerate is not installed, without which transformers places no layers."""
    if importlib.util.find_spec("accelerate") is None:
        raise EnvironmentFault(
            "the package accelerate is not installed", where="--shard", hint="pip install accelerate"
        )


def connect_layers(model: object, placement: Placement, label: str) -> None:
    """Put our hooks in the place of accelerate's, and try a pass; ModelError where it cannot be computed like this."""
    import torch  # noqa: PLC0415 - heavy
    from accelerate.hooks import remove_hook_from_module  # noqa: PLC0415 - optional and heavy

    module = cast("nn.Module", model)
    remove_hook_from_module(module, recurse=True)
    attach_moves(module, placement)
    ids = torch.tensor([[1, 2, 3]], device=placement.devices[0])
    found = attempt(partial(_try_pass, module, ids))
    if isinstance(found, Failure):
        reason = " ".join(f"{found.kind}: {found.message}".split())[:200]
        raise ModelError(f"it is not computed over several devices: {reason}", where=label, hint="leave --shard out")


def attach_moves(model: "nn.Module", placement: Placement) -> None:
    """Let the layers of a model be given what is on their devices."""
    import torch  # noqa: PLC0415 - heavy

    if len(placement.shares) < 2:
        return
    moves = DeviceMoves(torch.device(placement.devices[0]))
    for share in placement.shares:
        for index in share.layers:
            layer = model.get_submodule(placement.parts.layers[index])
            layer.register_forward_pre_hook(
                partial(moves.enter, torch.device(share.device), index == 0), with_kwargs=True
            )
    model.get_submodule(placement.parts.layers[-1]).register_forward_hook(moves.leave)


def _try_pass(model: "nn.Module", ids: "torch.Tensor") -> bool:
    import torch  # noqa: PLC0415 - heavy

    with torch.no_grad():
        logits = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits
    return bool(logits.device == ids.device)
