"""Ranks, FSDP2 sharding and mixed precision; a single process runs the same code as the ranks of torchrun."""

import os
import warnings
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
from .loss import ModelWithLoss
from .structure import layers_of

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
TIMEOUT = timedelta(hours=2)
"""Of the process groups: how long ranks wait for rank 0, which prepares the data."""
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The rank of this process, the world size, and what the rank computes on."""

    rank: int
    size: int
    """World size."""
    device: torch.device
    dtype: torch.dtype
    """Of forward and backward passes; trained weights are float32."""

    @property
    def is_rank_zero(self) -> bool:
        """Whether this is the rank that plans, logs and exports."""
        return self.rank == 0

    @property
    def sharded(self) -> bool:
        """Whether FSDP wraps the model, be it over one rank: mixed precision is a part of FSDP."""
        return distributed.is_initialized()

    def barrier(self) -> None:
        """Wait for all ranks."""
        if self.size > 1:
            distributed.monitored_barrier(group=_host_group(), timeout=TIMEOUT)

    def broadcast(self, value: Value) -> Value:
        """Return the `value` of rank 0 on every rank."""
        if self.size == 1:
            return value
        objects = [value]
        distributed.broadcast_object_list(objects, src=0, group=_host_group())
        return objects[0]

    def all_reduce_max(self, number: int) -> int:
        """Return the largest `number` of all ranks, without a wait for the GPU."""
        if self.size == 1:
            return number
        tensor = torch.tensor(number)
        distributed.all_reduce(tensor, op=distributed.ReduceOp.MAX, group=_host_group())
        return int(tensor)

    def all_reduce_sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return the sum of `tensor` over all ranks, in place."""
        if self.size > 1:
            distributed.all_reduce(tensor)
        return tensor


def count_gpus() -> int:
    """Return the number of GPUs of this machine that torch can use."""
    return torch.cuda.device_count()


_HOST_GROUP: list[distributed.ProcessGroup] = []


def _host_group() -> distributed.ProcessGroup | None:
    """Return the gloo group, whose collectives run on the CPU, also where weights are on a GPU."""
    return _HOST_GROUP[0] if _HOST_GROUP else None


@contextmanager
def init_distributed(device: str | None, dtype: str | None) -> Iterator[World]:
    """Join the process group of torchrun, where there is one, and leave it in the end.

    A single process has a group of its own where FSDP is needed: on a GPU, or for half precision. UsageError for an
    unknown `--dtype`.
    """
    size, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    chosen = _device(device)
    word = dtype or ("bfloat16" if chosen.type == "cuda" else "float32")
    if word not in DTYPES:
        raise UsageError(f"no such dtype: {word!r}", where="--dtype", hint=did_you_mean(word, list(DTYPES)))
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    backend = "cpu:gloo,cuda:nccl" if chosen.type == "cuda" else "gloo"
    has_group = size > 1 or word != "float32" or chosen.type == "cuda"
    if has_group and size > 1:
        distributed.init_process_group(backend, timeout=TIMEOUT)
        _HOST_GROUP.append(distributed.new_group(backend="gloo", timeout=TIMEOUT))
    elif has_group:
        store = distributed.HashStore()  # type: ignore[attr-defined]  # torch does not list it
        distributed.init_process_group(backend, store=store, rank=0, world_size=1)
    try:
        yield World(rank=rank, size=size, device=chosen, dtype=DTYPES[word])
    finally:
        _HOST_GROUP.clear()
        if has_group:
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


def shard_model(model: ModelWithLoss, world: World) -> None:
    """Move the weights to the device, trained ones in float32, and shard every layer with FSDP2 where there is a group.

    FSDP2 averages gradients over the ranks by default, a setting of every module: here they are summed, for the loss is
    normalised over all ranks already.
    """
    layers = layers_of(model.lm)
    if not world.sharded or not all(each.is_floating_point() for each in model.parameters()):
        _move(model, world)  # FSDP does not take weights of 4 bits
        return
    mesh = init_device_mesh(world.device.type, (world.size,))
    policy = MixedPrecisionPolicy(param_dtype=world.dtype, reduce_dtype=torch.float32, cast_forward_inputs=False)
    for layer in layers:
        _move(layer, world)
        fully_shard(layer, mesh=mesh, mp_policy=policy)
    _move(model, world)
    fully_shard(model, mesh=mesh, mp_policy=policy)
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)
    # OPT's layers return views. Only a change in place would be harmful, and no model of transformers makes one.
    warnings.filterwarnings("ignore", "FSDP2-wrapped module .* returned a view tensor")


def _move(module: nn.Module, world: World) -> None:
    for parameter in module.parameters():
        if not isinstance(parameter, DTensor) and parameter.is_floating_point():
            dtype = torch.float32 if parameter.requires_grad else world.dtype
            parameter.data = parameter.data.to(device=world.device, dtype=dtype)
    for part in module.modules():
        for name, buffer in part.named_buffers(recurse=False):
            part._buffers[name] = buffer.to(world.device)


def wrap_layers(model: ModelWithLoss, *, compiled: bool, checkpointed: bool) -> None:
    """Compile every layer, or recompute its activations in the backward pass; FSDP stays outside of both."""
    for layer in layers_of(model.lm):
        forward = layer.forward
        if compiled:
            forward = torch.compile(forward)
        if checkpointed:
            forward = partial(checkpoint, forward, use_reentrant=False)
        layer.forward = forward


def clip_gradients(model: nn.Module, largest: float, world: World) -> torch.Tensor:
    """Clip the gradient to the norm `largest`, and return its norm before clipping, over all ranks.

    On a CPU squares are summed in float64: in float32 the sum over a large matrix has a relative error of 1e-5.
    """
    trained = [each for each in model.parameters() if each.grad is not None]
    local = [_local(cast(torch.Tensor, each.grad)) for each in trained]
    if world.device.type == "cpu":
        norms = torch.stack([torch.linalg.vector_norm(each, dtype=torch.float64) for each in local])
        squares = norms.square().sum()
    else:
        squares = nn.utils.get_total_norm(local).double().square()
    norm = world.all_reduce_sum(squares).sqrt()
    nn.utils.clip_grads_with_norm_(trained, largest, norm.float())
    return norm


def _local(gradient: torch.Tensor) -> torch.Tensor:
    """Return this rank's shard of a gradient."""
    return gradient.to_local() if isinstance(gradient, DTensor) else gradient
