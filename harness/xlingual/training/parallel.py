"""Processes, sharding, precision: one process without a group works like many of torchrun's."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TypeVar, cast

import torch
from torch import distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor
from torch.utils.checkpoint import checkpoint

from ..errors import EnvironmentFault, UsageError
from ..text import did_you_mean
from .loss import Supervised

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
PATIENCE = timedelta(hours=2)
"""How long ranks wait for the first one, which prepares the data."""
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """This process among those that train together."""

    rank: int
    size: int
    device: torch.device
    dtype: torch.dtype
    """Of the computation."""

    @property
    def is_first(self) -> bool:
        """Whether this is the rank that writes and speaks."""
        return self.rank == 0

    @property
    def sharded(self) -> bool:
        """Whether weights are sharded, be it over one rank: what also makes computation in half precision."""
        return distributed.is_initialized()

    def barrier(self) -> None:
        """Wait for all ranks."""
        if self.size > 1:
            distributed.monitored_barrier(group=_host_group(), timeout=PATIENCE)

    def share(self, value: Value) -> Value:
        """Return the first rank's `value` on every rank."""
        if self.size == 1:
            return value
        held = [value]
        distributed.broadcast_object_list(held, src=0, group=_host_group())
        return held[0]

    def largest(self, number: int) -> int:
        """Return the largest `number` of all ranks, without a wait for the GPU."""
        if self.size == 1:
            return number
        held = torch.tensor(number)
        distributed.all_reduce(held, op=distributed.ReduceOp.MAX, group=_host_group())
        return int(held)

    def add_up(self, numbers: torch.Tensor) -> torch.Tensor:
        """Return the sum of `numbers` over all ranks."""
        if self.size > 1:
            distributed.all_reduce(numbers)
        return numbers


def count_gpus() -> int:
    """Return how many GPUs this machine has that torch can use."""
    return torch.cuda.device_count()


_HOST: list[distributed.ProcessGroup] = []


def _host_group() -> distributed.ProcessGroup | None:
    """Return a group whose collectives run on the processor, whatever the weights lie on."""
    return _HOST[0] if _HOST else None


@contextmanager
def join_world(device: str | None, dtype: str | None) -> Iterator[World]:
    """Join the processes that torchrun started, if it did, and leave them in the end."""
    size, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    place = _device(device)
    word = dtype or ("bfloat16" if place.type == "cuda" else "float32")
    if word not in DTYPES:
        raise UsageError(f"no such dtype: {word!r}", where="--dtype", hint=did_you_mean(word, list(DTYPES)))
    if place.type == "cuda":
        torch.cuda.set_device(place)
    backend = "cpu:gloo,cuda:nccl" if place.type == "cuda" else "gloo"
    grouped = size > 1 or word != "float32" or place.type == "cuda"
    if grouped and size > 1:
        distributed.init_process_group(backend, timeout=PATIENCE)
        _HOST.append(distributed.new_group(backend="gloo", timeout=PATIENCE))
    elif grouped:
        store = distributed.HashStore()  # type: ignore[attr-defined]  # torch does not list it
        distributed.init_process_group(backend, store=store, rank=0, world_size=1)
    try:
        yield World(rank=rank, size=size, device=place, dtype=DTYPES[word])
    finally:
        _HOST.clear()
        if grouped:
            distributed.destroy_process_group()


def _device(word: str | None) -> torch.device:
    if word is None:
        word = "cuda" if torch.cuda.is_available() else "cpu"
    if word not in ("cpu", "cuda"):
        raise UsageError(f"training runs on cpu or cuda, not on {word!r}", where="--device")
    if word == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise EnvironmentFault("this machine has no cuda device", where="--device", hint="leave --device out")
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if local >= torch.cuda.device_count():
        raise EnvironmentFault(
            f"process {local} of this machine has no GPU: there are {torch.cuda.device_count()}",
            where="--nproc-per-node",
            hint="start as many processes as there are GPUs",
        )
    return torch.device("cuda", local)


def shard_model(model: Supervised, world: World) -> None:
    """Move the weights to the device, trained ones in float32, and shard them layer by layer where there is a group.

    FSDP2 averages gradients by default, on every module apart: each is told to add them up, for the loss is already
    divided by what the whole step holds.
    """
    layers = list(model.language_model.get_decoder().layers)
    if not world.sharded:
        _place(model, world)
        return
    mesh = init_device_mesh(world.device.type, (world.size,))
    policy = MixedPrecisionPolicy(param_dtype=world.dtype, reduce_dtype=torch.float32, cast_forward_inputs=False)
    for layer in layers:
        _place(layer, world)
        fully_shard(layer, mesh=mesh, mp_policy=policy)
    _place(model, world)
    fully_shard(model, mesh=mesh, mp_policy=policy)
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)


def _place(module: nn.Module, world: World) -> None:
    for parameter in module.parameters():
        if not isinstance(parameter, DTensor):
            dtype = torch.float32 if parameter.requires_grad else world.dtype
            parameter.data = parameter.data.to(device=world.device, dtype=dtype)
    for part in module.modules():
        for name, buffer in part.named_buffers(recurse=False):
            part._buffers[name] = buffer.to(world.device)


def wrap_layers(model: Supervised, *, compiled: bool, checkpointed: bool) -> None:
    """Let every layer be compiled, or computed twice instead of kept; its sharding stays outside of both."""
    for layer in model.language_model.get_decoder().layers:
        forward = layer.forward
        if compiled:
            forward = torch.compile(forward)
        if checkpointed:
            forward = partial(checkpoint, forward, use_reentrant=False)
        layer.forward = forward


def clip_gradients(model: nn.Module, largest: float, world: World) -> torch.Tensor:
    """Scale the gradient down to the norm `largest` at most, and return its norm before, over all ranks.

    On a processor the squares are added in float64: in float32, those of a large matrix come out 1e-5 off.
    """
    trained = [each for each in model.parameters() if each.grad is not None]
    own = [_own(cast(torch.Tensor, each.grad)) for each in trained]
    if world.device.type == "cpu":
        norms = torch.stack([torch.linalg.vector_norm(each, dtype=torch.float64) for each in own])
        squares = norms.square().sum()
    else:
        squares = nn.utils.get_total_norm(own).double().square()
    norm = world.add_up(squares).sqrt()
    nn.utils.clip_grads_with_norm_(trained, largest, norm.float())
    return norm


def _own(gradient: torch.Tensor) -> torch.Tensor:
    """Return this rank's part of a gradient; the parts of all ranks make it up."""
    return gradient.to_local() if isinstance(gradient, DTensor) else gradient
