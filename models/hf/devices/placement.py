"""Which layers of a model go to which device, planned before its weights are loaded: `--shard`.

    Llama 3.3 70B in bfloat16 on two GPUs that have 79 GiB free, each

    cuda:0   embedding, layers 0-38, final norm, head     66.1 GiB
    cuda:1   layers 39-79                                 65.3 GiB

A forward pass begins and ends on the first device, which holds all that is no layer. The others hold layers only, so
inputs, scores and tokens are where they would be without the others, and an embedding that is the head as well is there
once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, cast

from xlingual.decoder.loading import auto_class
from xlingual.errors import EnvironmentFault, ModelError, UsageError
from xlingual.plugin import ModelOptions
from xlingual.records import Failure

from ..checkpoint.description import Description
from ..limits import attempt, free_bytes
from ..packed.support import layers_of
from .parallel import devices_of

if TYPE_CHECKING:
    from torch import nn

WEIGHT_FRACTION = 0.9
"""Of the free memory of a device, at most so much is for weights: keys, values and the pass itself need some, too."""
STEPS = 40
"""Halvings in the search for the least fraction of every device."""
GIB = 2**30


@dataclass(frozen=True, slots=True)
class ModelParts:
    """What of a model can stand on a device of its own, in bytes as it is loaded."""

    layers: tuple[str, ...]
    """The names of the layers' modules, in their order."""
    layer_bytes: tuple[int, ...]
    others: tuple[str, ...]
    """The names of the modules and tensors that are in no layer."""
    other_bytes: int


@dataclass(frozen=True, slots=True)
class DeviceShare:
    """The part of a model on one device."""

    device: str
    layers: range
    """Their numbers; none, where all of them are on other devices."""
    weights: int
    """Bytes."""
    free: int
    """Bytes that the device had before loading."""


@dataclass(frozen=True, slots=True)
class Placement:
    """A model's layers by device; the first device has whatever is no layer."""

    shares: tuple[DeviceShare, ...]
    parts: ModelParts

    @property
    def devices(self) -> tuple[str, ...]:
        """The devices that hold anything."""
        return tuple(share.device for share in self.shares)

    @property
    def device_map(self) -> dict[str, str]:
        """The device of each module, as transformers' `device_map`."""
        found = dict.fromkeys(self.parts.others, self.shares[0].device)
        return found | {self.parts.layers[index]: share.device for share in self.shares for index in share.layers}

    @property
    def words(self) -> str:
        """Which layers are where, for the record of a run."""
        return "; ".join(f"{_layer_words(share, first=share is self.shares[0])}" for share in self.shares)

    @property
    def memory_words(self) -> str:
        """The same with the memory of each device, for a user."""
        return "; ".join(
            f"{_layer_words(share, first=share is self.shares[0])}: {_gib(share.weights)} of {_gib(share.free)} free"
            for share in self.shares
        )


def _layer_words(share: DeviceShare, *, first: bool) -> str:
    layers = share.layers
    some = f"layers {layers[0]}-{layers[-1]}" if len(layers) > 1 else f"layer {layers[0]}" if layers else ""
    return " and ".join(filter(None, [some, "what is no layer" if first else ""])) + f" on {share.device}"


def _gib(count: int) -> str:
    return f"{count / GIB:.1f} GiB"


def shard_devices(options: ModelOptions) -> tuple[str, ...]:
    """Return the devices of `--shard`; UsageError where there are not several, EnvironmentFault for one that is not."""
    import torch  # noqa: PLC0415 - heavy

    if options.engine == "packed":
        raise UsageError(
            "the packed engine computes on one device", where="--shard", hint="leave --engine out, or --engine static"
        )
    devices = devices_of(options.device or "cuda:all")
    named = tuple(each if ":" in each else f"{each}:0" for each in devices)
    if named[0].startswith("cpu"):
        raise UsageError("all CPUs share one memory", where="--shard", hint="leave --shard out")
    if len(set(named)) < len(named):
        raise UsageError(f"a device is named twice: {options.device!r}", where="--device", hint="name each once")
    if len(named) < 2:
        here = f"--device {options.device}" if options.device else "this machine"
        raise UsageError(f"{here} is one device", where="--shard", hint="leave --shard out")
    if named[0].startswith("cuda") and torch.cuda.is_available():
        count = torch.cuda.device_count()
        if beyond := [each for each in named if not each.partition(":")[2].isdecimal() or int(each[5:]) >= count]:
            raise EnvironmentFault(f"this machine has no {beyond[0]}", where="--device", hint=f"it has {count} of cuda")
    return named


def check_shardable(description: Description) -> None:
    """Raise ModelError for a model that is known not to be sharded, before anything of it is loaded."""
    problem = None
    if description.encoder_decoder is not None:
        problem = "an encoder-decoder has two stacks of layers"
    elif description.quantized:
        problem = "the memory of quantized weights is not known before they are loaded"
    if problem is not None:
        raise ModelError(f"{problem}: not sharded", where=description.checkpoint.label, hint="leave --shard out")


def plan_placement(description: Description, devices: Sequence[str]) -> Placement:
    """Return where the parts of a model go, by its configuration and the memory that is free now.

    Raises ModelError for a model that cannot be cut between its layers, EnvironmentFault where memory is missing.
    """
    label = description.checkpoint.label
    parts = attempt(partial(read_parts, description))
    if isinstance(parts, Failure):
        words = parts.message if parts.kind == ValueError.__name__ else f"{parts.kind}: {parts.message}"
        raise ModelError(f"the model cannot be sharded: {words}", where=label, hint="leave --shard out")
    return place(parts, [(each, free_bytes(each)) for each in devices], label)


def place(parts: ModelParts, free: Sequence[tuple[str, int]], label: str) -> Placement:
    """Return the placement that fills each device to the same fraction of its free memory, given in bytes.

    Devices that would hold nothing are left out. EnvironmentFault says how much memory is missing.
    """
    low, high = 0.0, WEIGHT_FRACTION
    if (counts := _fill(parts, free, high)) is None:
        raise _missing(parts, free, label)
    for _ in range(STEPS):
        middle = (low + high) / 2
        tried = _fill(parts, free, middle)
        if tried is None:
            low = middle
        else:
            counts, high = tried, middle
    ends = [*accumulate(counts, initial=0)]
    shares = [
        DeviceShare(
            device=device,
            layers=range(start, end),
            weights=sum(parts.layer_bytes[start:end]) + (0 if number else parts.other_bytes),
            free=memory,
        )
        for number, ((device, memory), (start, end)) in enumerate(zip(free, pairwise(ends), strict=True))
    ]
    return Placement(tuple(each for number, each in enumerate(shares) if each.layers or not number), parts)


def _fill(parts: ModelParts, free: Sequence[tuple[str, int]], fraction: float) -> list[int] | None:
    """Return how many layers each device gets where it is filled up to a fraction; None where some have no place."""
    counts: list[int] = []
    placed = 0
    for number, (_, memory) in enumerate(free):
        room = memory * fraction - (0 if number else parts.other_bytes)
        if room < 0:
            return None
        first = placed
        while placed < len(parts.layers) and parts.layer_bytes[placed] <= room:
            room -= parts.layer_bytes[placed]
            placed += 1
        counts.append(placed - first)
    return counts if placed == len(parts.layers) else None


def _missing(parts: ModelParts, free: Sequence[tuple[str, int]], label: str) -> EnvironmentFault:
    """Return the error of a model that the devices do not hold."""
    needed = parts.other_bytes + sum(parts.layer_bytes)
    usable = [memory * WEIGHT_FRACTION for _, memory in free]
    rooms = [max(0.0, usable[0] - parts.other_bytes), *usable[1:]]
    lacking, placed = max(0.0, parts.other_bytes - usable[0]), 0
    for room in rooms:
        left = room
        while placed < len(parts.layers) and parts.layer_bytes[placed] <= left:
            left -= parts.layer_bytes[placed]
            placed += 1
    lacking += sum(parts.layer_bytes[placed:])
    has = ", ".join(f"{_gib(memory)} on {device}" for device, memory in free)
    return EnvironmentFault(
        f"the weights have {_gib(needed)}, free are {has}, of which {WEIGHT_FRACTION:.0%} may be weights: "
        f"{_gib(max(int(lacking), 1))} find no place",
        where=label,
        hint="name more devices, or a smaller dtype",
    )


def read_parts(description: Description) -> ModelParts:
    """Return the parts of a model, from its modules without weights; ValueError where it is no stack of layers."""
    import torch  # noqa: PLC0415 - heavy

    with torch.device("meta"):
        model = auto_class(description.config).from_config(description.config, trust_remote_code=description.trusted)
    dtype: torch.dtype = getattr(torch, description.spec.dtype or "float32")
    return parts_of(cast("nn.Module", model), layers_of(description.config), dtype.itemsize)


def parts_of(model: "nn.Module", depth: int, itemsize: int) -> ModelParts:
    """Return the parts of a model with so many layers, whose numbers take `itemsize` bytes; ValueError as above."""
    if not getattr(model, "_no_split_modules", None):
        raise ValueError("transformers does not say between which of its modules it may be cut")
    stack = layer_stack(model, depth)
    names = [f"{stack}.{index}" for index in range(depth)]
    owners: dict[int, set[int]] = {}
    sizes = [0] * (depth + 1)
    places: dict[str, None] = {}
    for name, tensor in [*model.named_parameters(remove_duplicate=False), *model.named_buffers(remove_duplicate=False)]:
        inside = name.startswith(f"{stack}.")
        owner = int(name[len(stack) + 1 :].partition(".")[0]) if inside else depth
        if not inside:
            places[_place_of(name, stack)] = None
        known = owners.setdefault(id(tensor), set())
        if not known:
            sizes[owner] += tensor.numel() * (itemsize if tensor.is_floating_point() else tensor.element_size())
        known.add(owner)
    if any(len(each) > 1 for each in owners.values()):
        raise ValueError("some of its layers share weights with other modules")
    # Modules without tensors (the rotation of positions, a dropout) have their place, too.
    for name, _ in model.named_modules():
        if name and name != stack and not f"{stack}.".startswith(f"{name}.") and not name.startswith(f"{stack}."):
            places[_place_of(f"{name}.", stack)] = None
    return ModelParts(tuple(names), tuple(sizes[:depth]), tuple(places), sizes[depth])


def _place_of(name: str, stack: str) -> str:
    """Return the outermost module, or tensor, that holds `name` and does not hold the layers."""
    words = [each for each in name.split(".") if each]
    for count in range(1, len(words) + 1):
        outer = ".".join(words[:count])
        if not f"{stack}.".startswith(f"{outer}."):
            return outer
    return ".".join(words)


def layer_stack(model: "nn.Module", depth: int) -> str:
    """Return the name of the list of a model's layers; ValueError where there is not just one of that length."""
    from torch import nn  # noqa: PLC0415 - heavy

    found = [
        name for name, module in model.named_modules() if isinstance(module, nn.ModuleList) and len(module) == depth
    ]
    outermost = [each for each in found if not any(each.startswith(f"{other}.") for other in found)]
    kinds = tuple(getattr(model, "_no_split_modules", None) or ())
    lists = [
        each
        for each in outermost
        if any(type(layer).__name__ in kinds for layer in model.get_submodule(each).children())
    ]
    if len(lists) != 1:
        raise ValueError(f"{len(lists)} lists of its modules could be its {depth} layers")
    return str(lists[0])
