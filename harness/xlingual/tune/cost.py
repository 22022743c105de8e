"""What a training would cost on a GPU: arithmetic with published peaks and rates, before a GPU is touched.

Full tuning takes 6 floating-point operations for each weight in a matrix product and token, an adapter 4 (no gradients
of the frozen weights), and attention 12 x layers x width x (mean row length) / 2. Memory is 16 bytes a trained weight
(fp32 master, gradient and Adam's two moments), shared among the GPUs, 2 bytes a frozen one, and 34 bytes x width for
each token and layer of a pack.

Activation checkpointing keeps 2 bytes x width for each token and layer, and all of one layer, which is computed again:
another 2 operations for each weight. In 8 bits the moments take 2 bytes instead of 8; in paged memory, or offloaded to
the CPU, none of the GPU's that cannot move. In nf4 a frozen weight of a block takes half a byte, and a bit for scales.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from ..errors import XlingualError
from ..files import read_json_object
from ..gpus import GPUS, find_gpu
from ..serial import LATER
from .recipe_records import Tuning
from .records import MixPlan
from .schedule_records import OptimizerName

NF4_BYTES = 4.127 / 8
"""Of a weight: 4 bits, and for 64 of them a scale of 8 bits, for 256 scales one of 32."""

_SHAPE = ("hidden_size", "num_hidden_layers", "intermediate_size", "num_attention_heads", "vocab_size")


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of a decoder in the manner of Llama."""

    width: int
    layers: int
    matrices: int
    """Weights in matrix products, the output layer included."""
    embeddings: int
    """Weights of the embeddings: as many as of the output layer."""
    weights: int
    """All weights."""
    tied: bool
    """Whether the output layer has the weights of the embeddings."""
    per_linear_rank: int
    """Adapter weights of rank 1 on every linear layer of the blocks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemorySavers:
    """Settings of a machine that take less of the GPU's memory; what is learnt is the same."""

    activation_checkpointing: bool = False
    cpu_offload: bool = False


NO_SAVERS = MemorySavers()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a training is estimated to take on some GPUs."""

    gpus: str
    """Count and kind: "8 x H100"."""
    tokens_per_second: float
    """Of all GPUs together."""
    hours: float
    memory: float
    """Bytes on each GPU at the peak."""
    fits: bool
    utilization: float
    """Share of the peak that was assumed, see `Gpu`."""
    host_memory: float | None = field(default=None, metadata=LATER)
    """Bytes of optimizer state in the memory of the machine, for each GPU; None: none."""


def read_shape(folder: Path) -> Shape | None:
    """Return the sizes that `config.json` in `folder` says, None where it is not of a decoder like Llama."""
    try:
        whole = read_json_object(folder / "config.json", strict=False)
    except XlingualError:
        return None
    config = inner if isinstance(inner := whole.get("text_config"), dict) else whole
    if not all(type(config.get(name)) is int for name in _SHAPE):
        return None
    width, layers, inner, heads, vocabulary = (cast(int, config[name]) for name in _SHAPE)
    head = cast(int, config.get("head_dim") or width // heads)
    kept = cast(int, config.get("num_key_value_heads") or heads) * head
    linear = ((width, heads * head), (width, kept), (width, kept), (heads * head, width), *(((width, inner),) * 3))
    block = sum(rows * columns for rows, columns in linear)
    embeddings = vocabulary * width
    tied = config.get("tie_word_embeddings", True) is not False
    return Shape(
        width=width,
        layers=layers,
        matrices=layers * block + embeddings,
        embeddings=embeddings,
        weights=layers * (block + 2 * width) + width + embeddings * (1 if tied else 2),
        tied=tied,
        per_linear_rank=layers * sum(rows + columns for rows, columns in linear),
    )


def estimate_cost(plan: MixPlan, shape: Shape, gpu: str, savers: MemorySavers = NO_SAVERS) -> Cost:
    """Return what `plan` costs on the GPUs that the word `gpu` names."""
    count, name = find_gpu(gpu)
    kind = GPUS[name]
    is_full = plan.recipe.method.kind is Tuning.FULL
    mean_length = plan.tokens / plan.rows
    attention = 12 * shape.layers * shape.width * mean_length / 2
    operations = (6 if is_full else 4) * shape.matrices + (attention if is_full else attention * 2 / 3)
    if savers.activation_checkpointing:
        operations += 2 * (shape.matrices - shape.embeddings) + attention / 3
    rate = count * kind.peak * kind.utilization / operations
    on_gpu, on_host = _weight_bytes(plan, shape, savers)
    memory = on_gpu / count + _activation_bytes(shape, savers) * plan.pack_length
    return Cost(
        gpus=f"{count} x {name}",
        tokens_per_second=rate,
        hours=plan.tokens * plan.recipe.schedule.epochs / rate / 3600,
        memory=memory,
        fits=memory < 0.92 * kind.memory,
        utilization=kind.utilization,
        host_memory=on_host / count or None,
    )


def _weight_bytes(plan: MixPlan, shape: Shape, savers: MemorySavers) -> tuple[float, float]:
    """Return the bytes of weights, gradients and moments of all ranks, on the GPUs and in the memory of the machine."""
    method, optimizer = plan.recipe.method, plan.recipe.schedule.optimizer
    is_full = method.kind is Tuning.FULL
    trained = shape.weights if is_full else shape.per_linear_rank * method.rank
    unfrozen = 0
    if not is_full and plan.recipe.vocabulary is not None:
        unfrozen = shape.embeddings * (1 if shape.tied else 2)
    trained += unfrozen
    moments = (8.0 if optimizer in (None, OptimizerName.ADAMW) else 2.0) * trained
    frozen = 0.0 if is_full else 2.0 * (shape.weights - unfrozen)
    if method.quantize is not None:
        blocks = shape.matrices - shape.embeddings
        frozen += (NF4_BYTES - 2.0) * blocks
    weights = 8.0 * trained + frozen
    is_on_host = savers.cpu_offload or optimizer is OptimizerName.PAGED_ADAMW_8BIT
    return (weights, moments) if is_on_host else (weights + moments, 0.0)


def _activation_bytes(shape: Shape, savers: MemorySavers) -> float:
    """Return the bytes that are kept for the backward pass of a token."""
    if savers.activation_checkpointing:
        return (2.0 * shape.layers + 34.0) * shape.width
    return 34.0 * shape.width * shape.layers
