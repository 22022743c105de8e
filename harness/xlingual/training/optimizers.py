"""AdamW in float32, with its state offloaded to the CPU where asked for, or in 8 bits by bitsandbytes.

    adamw              torch.optim.AdamW over the parameters of the model: its state is sharded as they are
    adamw, offloaded   one torch.optim.AdamW for each parameter: its state is on the device during its own step only
    adamw-8bit         bitsandbytes over each rank's shards, which it takes for whole parameters
    paged-adamw-8bit   the same; its state moves to the memory of the machine where the GPU's is full

All of it computes element by element: the offloaded state gives the same weights, to the bit. In 8 bits the scales are
of blocks of a rank's shard, so that a checkpoint is resumed on as many ranks as have written it.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Final, cast

import torch
from torch import nn
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from ..errors import DataError, EnvironmentFault, UsageError
from ..tune.recipe_records import Recipe, Schedule
from ..tune.schedule_records import OptimizerName

BETAS: Final = (0.9, 0.999)
EPSILON: Final = 1e-8
EXTRA: Final = "pip install 'xlingual[bnb]'"
WHERE: Final = "schedule.optimizer"
PROBE_SIZE: Final = 4096
"""Weights of a parameter that bitsandbytes keeps in 8 bits: of fewer, it keeps the state in float32."""
KERNEL_ERRORS = (ArithmeticError, AssertionError, AttributeError, LookupError, NotImplementedError, RuntimeError,
                 TypeError, ValueError)  # fmt: skip
"""What bitsandbytes raises where it has no kernel for a device."""


@dataclass(frozen=True, slots=True, eq=False)
class Optimizers:
    """One optimizer, or several for a part of the parameters each, as one."""

    parts: tuple[Optimizer, ...]
    shards: tuple[tuple[nn.Parameter, nn.Parameter], ...] = ()
    """Parameters that are sharded, each with this rank's shard as a parameter of its own, of the same memory."""
    is_elastic: bool = True
    """Whether another world size can resume from its state."""

    def step(self, rate: float) -> None:
        """Update the parameters by their gradients, and forget these."""
        for parameter, shard in self.shards:
            shard.grad = None if parameter.grad is None else _local(parameter.grad)
        for part in self.parts:
            for group in part.param_groups:
                group["lr"] = rate
            part.step()
            part.zero_grad(set_to_none=True)
        for parameter, _ in self.shards:
            parameter.grad = None


def make_optimizers(parameters: Sequence[nn.Parameter], schedule: Schedule, *, cpu_offload: bool) -> Optimizers:
    """Return the optimizer of a schedule over parameters that are sharded already.

    Raises UsageError where both 8 bits and CPU offload are asked for, EnvironmentFault without bitsandbytes, DataError
    where it has no kernel for the device.
    """
    if schedule.optimizer in (None, OptimizerName.ADAMW):
        if cpu_offload:
            parts = tuple(_adamw([each], schedule.weight_decay) for each in parameters)
            for part in parts:
                _offload_state(part)
            return Optimizers(parts)
        return Optimizers((_adamw(parameters, schedule.weight_decay),))
    name = cast(OptimizerName, schedule.optimizer)
    _refuse_offload(name, cpu_offload=cpu_offload)
    make = _quantized_class(name)
    pairs = [(each, _shard_of(each)) for each in parameters]
    shards = [shard for _, shard in pairs if shard.numel()]
    refuse_device(name, shards[0].device if shards else torch.device("cpu"))
    optimizer = make(_groups(shards, schedule.weight_decay), lr=0.0, betas=BETAS, eps=EPSILON)
    return Optimizers((optimizer,), tuple(pair for pair in pairs if pair[0] is not pair[1]), is_elastic=False)


def refuse_optimizer(recipe: Recipe, device: torch.device, *, cpu_offload: bool) -> None:
    """Raise what `make_optimizers` would, before any row is encoded."""
    name = recipe.schedule.optimizer
    if name not in (None, OptimizerName.ADAMW):
        _refuse_offload(name, cpu_offload=cpu_offload)
        refuse_device(name, device)


def _refuse_offload(name: OptimizerName, *, cpu_offload: bool) -> None:
    if cpu_offload:
        what = f"the state of {name.value} is not offloaded"
        raise UsageError(what, where="--cpu-offload", hint='optimizer = "paged-adamw-8bit" moves it when it must')


def refuse_device(name: OptimizerName, device: torch.device) -> None:
    """Raise DataError where bitsandbytes has no kernel of this optimizer for the device: a small step is tried."""
    make = _quantized_class(name)
    if name is OptimizerName.PAGED_ADAMW_8BIT and device.type != "cuda":
        what = f"{name.value} is paged between a GPU and the machine, and this runs on {device.type}"
        raise DataError(what, where=WHERE, hint=f'optimizer = "{OptimizerName.ADAMW_8BIT.value}"')
    probe = nn.Parameter(torch.ones(PROBE_SIZE, device=device))
    probe.grad = torch.ones_like(probe)
    try:
        make([probe], lr=1e-3).step()
    except KERNEL_ERRORS as error:
        reason = " ".join(str(error).split())[:200]
        what = f"bitsandbytes has no {name.value} for {device.type}: {reason}"
        raise DataError(what, where=WHERE, hint='optimizer = "adamw" runs everywhere') from error


def import_bitsandbytes(where: str) -> ModuleType:
    """Return the package; EnvironmentFault where it is missing or does not load."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import bitsandbytes  # noqa: PLC0415 - an optional extra
    except (ImportError, OSError, RuntimeError) as error:
        reason = "is not installed" if isinstance(error, ModuleNotFoundError) else f"does not load: {error}"
        raise EnvironmentFault(f"bitsandbytes {reason}", where=where, hint=EXTRA) from error
    return cast(ModuleType, bitsandbytes)


def _quantized_class(name: OptimizerName) -> Callable[..., Optimizer]:
    optimizers = import_bitsandbytes(WHERE).optim
    found = optimizers.PagedAdamW8bit if name is OptimizerName.PAGED_ADAMW_8BIT else optimizers.AdamW8bit
    return cast("Callable[..., Optimizer]", found)


def _adamw(parameters: Sequence[nn.Parameter], decay: float) -> Optimizer:
    return torch.optim.AdamW(_groups(parameters, decay), lr=0.0, betas=BETAS, eps=EPSILON, fused=True)


def _groups(parameters: Sequence[nn.Parameter], decay: float) -> list[dict[str, object]]:
    """Return parameter groups: no weight decay for vectors (norms, biases)."""
    groups: list[dict[str, object]] = []
    for weight_decay, is_matrix in ((decay, True), (0.0, False)):
        if chosen := [each for each in parameters if (each.ndim > 1) is is_matrix]:
            groups.append({"params": chosen, "weight_decay": weight_decay})
    return groups


def _local(tensor: torch.Tensor) -> torch.Tensor:
    """Return this rank's shard of a tensor."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def _shard_of(parameter: nn.Parameter) -> nn.Parameter:
    """Return this rank's shard as a parameter of the same memory; the parameter itself where it is not sharded."""
    if not isinstance(parameter, DTensor):
        return parameter
    return nn.Parameter(_local(parameter.detach()))


def _offload_state(optimizer: Optimizer) -> None:
    """Keep the state of an optimizer in the memory of the CPU but for the time of its step."""
    optimizer.register_step_pre_hook(lambda *_: _move_state(optimizer, None))
    optimizer.register_step_post_hook(lambda *_: _move_state(optimizer, torch.device("cpu")))
    optimizer.register_load_state_dict_post_hook(lambda _: _move_state(optimizer, torch.device("cpu")))


def _move_state(optimizer: Optimizer, device: torch.device | None) -> None:
    """Move the moments of every parameter to `device`; None: to that of the parameter. Scalars stay where they are."""
    for parameter, state in optimizer.state.items():
        target = _local(parameter).device if device is None else device
        for value in state.values():
            if isinstance(value, torch.Tensor) and value.ndim:
                _set_local(value, _local(value).to(target))


def _set_local(tensor: torch.Tensor, local: torch.Tensor) -> None:
    """Let a tensor, or a rank's part of a sharded one, have other memory: as FSDP's own CPU offload has it."""
    if isinstance(tensor, DTensor):
        tensor._local_tensor = local
    else:
        tensor.data = local
