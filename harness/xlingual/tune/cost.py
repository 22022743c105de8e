"""What a training would cost on a GPU: arithmetic with published peaks and rates, before a GPU is touched.

Full tuning takes 6 floating-point operations for each weight in a matrix product and token, an adapter 4 (no gradients
of the frozen weights), and attention 12 x layers x width x (mean row length) / 2. Memory is 16 bytes a trained weight
(fp32 master, gradient and Adam's two moments), shared among the GPUs, 2 bytes a frozen one, and 34 bytes x width for
each token and layer of a pack, without activation checkpointing.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import cast

from ..errors import XlingualError
from ..files import read_json_object
from ..gpus import GPUS, find_gpu
from .records import MixPlan, Tuning

_SHAPE = ("hidden_size", "num_hidden_layers", "intermediate_size", "num_attention_heads", "vocab_size")


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of a decoder in the manner of Llama."""

    width: int
    layers: int
    matrices: int
    """Weights in matrix products, the output layer included."""
    weights: int
    """All weights."""
    per_linear_rank: int
    """Adapter weights of rank 1 on every linear layer of the blocks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """The estimate."""

    gpus: str
    tokens_per_second: float
    """Of all GPUs together."""
    hours: float
    memory: float
    """Bytes on each GPU at the peak."""
    fits: bool
    utilization: float


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
        weights=layers * (block + 2 * width) + width + embeddings * (1 if tied else 2),
        per_linear_rank=layers * sum(rows + columns for rows, columns in linear),
    )


def estimate_cost(plan: MixPlan, shape: Shape, gpu: str) -> Cost:
    """Return what `plan` costs on the GPUs that the word `gpu` names."""
    count, name = find_gpu(gpu)
    kind = GPUS[name]
    method = plan.recipe.method
    is_full = method.kind is Tuning.FULL
    mean_length = plan.tokens / plan.rows
    attention = 12 * shape.layers * shape.width * mean_length / 2
    operations = (6 if is_full else 4) * shape.matrices + (attention if is_full else attention * 2 / 3)
    rate = count * kind.peak * kind.utilization / operations
    trained = shape.weights if is_full else shape.per_linear_rank * method.rank
    states = (16 * trained + (0 if is_full else 2 * shape.weights)) / count
    memory = states + 34 * shape.width * shape.layers * plan.pack_length
    return Cost(
        gpus=f"{count} x {name}",
        tokens_per_second=rate,
        hours=plan.tokens * plan.recipe.schedule.epochs / rate / 3600,
        memory=memory,
        fits=memory < 0.92 * kind.memory,
        utilization=kind.utilization,
    )
