"""What a configuration claims of a model's size, before anything of that size is made.

    num_hidden_layers: "four"                                       no size
    hidden_size: 10**12                                             over the bound of 2**20, which is stated
    num_hidden_layers: 10000000, the weights have 30 layers         no tensor is of a layer that high
    intermediate_size: 10**6, the weights have 0.1 G elements       empty, the model has 20 times as many parameters

A model that its weights do not fill is refused once they are loaded, too; but by then it has been made.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

from xlingual.errors import ModelError
from xlingual.identity import Json
from xlingual.records import Failure

from ..limits import attempt
from .weight_headers import GgufHeader, WeightSummary

if TYPE_CHECKING:
    import torch

LAYERS, WIDTH, PARTS, VOCABULARY, POSITIONS = 10_000, 2**20, 2**16, 2**24, 2**31
"""The largest sizes that are taken: ten times and more those of any model there is."""
BOUNDS: Mapping[str, int] = {
    **dict.fromkeys(
        ("num_hidden_layers", "num_layers", "n_layer", "n_layers", "encoder_layers", "decoder_layers",
         "num_decoder_layers", "num_encoder_layers"), LAYERS,
    ),
    **dict.fromkeys(
        ("hidden_size", "n_embd", "d_model", "embedding_size", "word_embed_proj_dim", "intermediate_size",
         "moe_intermediate_size", "ffn_hidden_size", "ffn_dim", "encoder_ffn_dim", "decoder_ffn_dim", "d_ff", "n_inner",
         "head_dim", "d_kv", "q_lora_rank", "kv_lora_rank"), WIDTH,
    ),
    **dict.fromkeys(
        ("num_attention_heads", "num_key_value_heads", "n_head", "n_heads", "num_heads", "num_kv_heads",
         "encoder_attention_heads", "decoder_attention_heads", "num_experts", "num_local_experts", "n_routed_experts",
         "num_experts_per_tok"), PARTS,
    ),
    "vocab_size": VOCABULARY,
    **dict.fromkeys(("max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length"), POSITIONS),
}  # fmt: skip
"""Fields of configurations, also of those within one, and the largest value of each."""
NEEDED = ("num_hidden_layers", "hidden_size", "num_attention_heads", "n_layer", "n_embd", "n_head", "d_model")
"""Those that are not null where they are there."""
LAYER_FIELDS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
OTHER_PARTS = ("vision", "image", "visual", "audio", "speech")
"""Parts of the names of configurations that are not the language model's: its weights may come without them."""
LISTS = ("layer", "block")
"""Parts of the names of lists with an entry a layer."""
MOST_TIMES = 2
"""So many parameters may be made of one element of the weights: embedding and head are often one tensor."""
MOST_BUFFERS = 2**28
"""Elements that a model may hold beside its parameters, whatever its weights: tables of angles, masks."""
BITS = 8
"""Parameters in a byte of quantized weights, at most."""
GGUF_BOUNDS: Mapping[str, int] = {
    "block_count": LAYERS, "embedding_length": WIDTH, "feed_forward_length": WIDTH, "vocab_size": VOCABULARY,
    "expert_count": PARTS, "attention.head_count": PARTS, "attention.head_count_kv": PARTS,
    "attention.key_length": WIDTH, "attention.value_length": WIDTH, "context_length": POSITIONS,
}  # fmt: skip
"""Ends of names of values, after that of the architecture."""


def check_config(config: Mapping[str, Json], path: Path) -> None:
    """Raise ModelError naming the file at `path` and the first field of the configuration in it that is no size."""
    for name, field, value in _fields(config):
        where = f"{path}: {name}"
        if value is None and field not in NEEDED:
            continue
        if field in BOUNDS:
            for each in value if isinstance(value, list) and field not in NEEDED else [value]:
                check_size(field, each, where, BOUNDS[field])
        if isinstance(value, list) and len(value) > LAYERS and any(part in field for part in LISTS):
            raise ModelError(f"has {len(value):,} entries, and a model at most {LAYERS:,} layers", where=where)


def _fields(value: Json, place: str = "") -> Iterator[tuple[str, str, Json]]:
    """Yield whole name, name and value of every field, of the configurations within a configuration too."""
    if isinstance(value, dict):
        for field, inner in value.items():
            name = f"{place}.{field}" if place else field
            yield name, field, inner
            yield from _fields(inner, name)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            if isinstance(inner, dict):
                yield from _fields(inner, f"{place}[{number}]")


def check_size(field: str, value: Json, where: str, bound: int, *, least: int = 0) -> None:
    """Raise ModelError where the value of a field is no whole number from `least` to `bound`; null is one for some."""
    is_number = type(value) is int or (isinstance(value, float) and math.isfinite(value))
    if value is None and field not in NEEDED and not least:
        return
    least = max(least, int(field in NEEDED)) if bound != POSITIONS else -1  # some write -1 where there is no limit
    if not is_number or cast(float, value) % 1:
        raise ModelError(f"must be a whole number, got {value!r:.80}", where=where)
    if cast(float, value) < least:
        raise ModelError(f"must be at least {least}, got {value!r:.80}", where=where)
    if cast(float, value) > bound:
        raise ModelError(f"is over the bound of {bound:,}: {value!r:.80}", where=where)


def check_gguf(header: GgufHeader, name: str) -> None:
    """Raise ModelError naming the file and the first value of a GGUF header that its tensors do not bear out."""
    for value_name, value in header.numbers.items():
        for end, bound in GGUF_BOUNDS.items():
            if value_name.endswith(f".{end}"):
                check_size(end, value, f"{name}: {value_name}", bound)
                if end == "block_count":
                    _check_layers(int(value), header.weights, f"{name}: {value_name}")


def check_layers(config: Mapping[str, Json], weights: WeightSummary, path: Path) -> None:
    """Raise ModelError where the configuration at `path` has more layers than the names of the tensors count."""
    for name, field, value in _fields(config):
        beside = any(part in name for part in OTHER_PARTS)
        if field in LAYER_FIELDS and isinstance(value, int) and not beside:
            _check_layers(value, weights, f"{path}: {name}")


def _check_layers(layers: int, weights: WeightSummary, where: str) -> None:
    if weights.layers is not None and layers > weights.layers:
        what = f"is {layers:,}, and the weights have no layer beyond number {weights.layers - 1}"
        raise ModelError(what, where=where, hint="is the configuration that of these weights?")


def check_parameters(
    make: "Callable[[], torch.nn.Module]", weights: WeightSummary, label: str, *, packed: bool
) -> None:
    """Raise ModelError where the model that `make` makes needs far more than its weights hold; nothing is allocated.

    `packed`: an element of the weights may hold several parameters, as in quantized ones. What cannot be made without
    memory is not judged: if it is broken, loading will tell.
    """
    model = attempt(partial(_make_empty, make))
    if isinstance(model, Failure):
        return
    needed, buffers = _count(model.parameters()), _count(model.buffers())
    held = weights.size * BITS if packed else weights.elements
    if needed > MOST_TIMES * held or buffers > max(MOST_BUFFERS, MOST_TIMES * held):
        what = f"the configuration asks for {needed + buffers:,} numbers, and the weights hold {held:,}"
        raise ModelError(what, where=label, hint="is config.json that of these weights?")


def _make_empty(make: "Callable[[], torch.nn.Module]") -> "torch.nn.Module":
    import torch  # noqa: PLC0415 - heavy

    with torch.device("meta"):
        return make()


def _count(tensors: "Iterator[torch.Tensor]") -> int:
    return sum(each.numel() for each in tensors)
