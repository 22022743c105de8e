"""Attention with linear biases (ALiBi), in layers that compute attention by themselves: BLOOM, MPT, Falcon-RW.

    score of head h     q . k / sqrt(size) + slope_h x position of the key
    the same            (q / sqrt(size), 1) . (k, slope_h x position)

A bias is a component more of each key, so what computes attention without biases computes it with them. It is as exact
as the key's numbers are: in float32 the bias is the very number that transformers adds, in half precision it would be
rounded twice. So these layers are taken in float32 only.
"""

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from .attention import attend, current_positions

if TYPE_CHECKING:
    import torch

    from ..loaded_model import CausalLM

Forward = Callable[..., "tuple[torch.Tensor, None]"]
MODEL_TYPES = ("bloom", "mpt", "falcon")


class AttentionLayer(Protocol):
    """An attention module of transformers."""

    forward: Forward


def biased_layers(model: "CausalLM") -> list[AttentionLayer]:
    """Return the attention modules of a model whose biases are computed here, none where any of them is not."""
    import torch  # noqa: PLC0415 - heavy

    if model.dtype != torch.float32 or getattr(model.config, "model_type", None) not in MODEL_TYPES:
        return []
    found = [each for each in getattr(model, "modules", list)() if type(each).__name__ in FORWARDS]
    return found if all(_is_computed(each) for each in found) else []


def _is_computed(module: Any) -> bool:  # noqa: ANN401 - of transformers
    if type(module).__name__ == "FalconAttention":
        # Biases that are rounded per head need a key per head.
        has_keys = module.num_kv_heads == module.num_heads and not module.new_decoder_architecture
        return bool(module.config.alibi and has_keys)
    return not (getattr(module, "slow_but_exact", False) and getattr(module, "pretraining_tp", 1) > 1)


@contextmanager
def biased_attention(layers: list[AttentionLayer]) -> Iterator[None]:
    """Let these modules call our attention, and compute their own again afterwards."""
    with ExitStack() as stack:
        for module in layers:
            own = vars(module).get("forward")  # where somebody has replaced it already
            module.forward = partial(FORWARDS[type(module).__name__], module)
            stack.callback(*((delattr, module, "forward") if own is None else (setattr, module, "forward", own)))
        yield


def _bloom(
    module: Any,  # noqa: ANN401 - of transformers
    hidden_states: "torch.Tensor",
    residual: "torch.Tensor",
    *_others: object,
    **_named: object,
) -> "tuple[torch.Tensor, None]":
    """Compute a BloomAttention: the residual is added in it."""
    query, key, value = module._reshape(module.query_key_value(hidden_states))
    bias = _table(module, module.num_heads)
    return module.dense(_attend(module, (query, key, value), bias, module.inv_norm_factor)) + residual, None


def _mpt(
    module: Any,  # noqa: ANN401 - of transformers
    hidden_states: "torch.Tensor",
    position_bias: "torch.Tensor",
    *_others: object,
    **_named: object,
) -> "tuple[torch.Tensor, None]":
    """Compute an MptAttention; the last but one of its biases is a step away from zero, so it is less the slope."""
    rows, tokens = hidden_states.shape[:2]
    mixed = module.Wqkv(hidden_states)
    if module.clip_qkv:
        mixed = mixed.clamp(min=-module.clip_qkv, max=module.clip_qkv)
    query, key, value = (
        each.view(rows, tokens, module.n_heads, module.head_dim).transpose(1, 2) for each in mixed.chunk(3, dim=2)
    )
    bias = -position_bias[:, 0, -2, None] * current_positions()
    return module.out_proj(_attend(module, (query, key, value), bias, module.softmax_scale)), None


def _falcon(
    module: Any,  # noqa: ANN401 - of transformers
    hidden_states: "torch.Tensor",
    *_others: object,
    **_named: object,
) -> "tuple[torch.Tensor, None]":
    """Compute a FalconAttention, whose biases are rounded to bfloat16 in any dtype."""
    query, key, value = (each.transpose(1, 2) for each in module._split_heads(module.query_key_value(hidden_states)))
    bias = _table(module, module.num_heads) / math.sqrt(module.head_dim)
    return module.dense(_attend(module, (query, key, value), bias, module.inv_norm_factor)), None


FORWARDS: dict[str, Forward] = {"BloomAttention": _bloom, "MptAttention": _mpt, "FalconAttention": _falcon}
"""By the class of the attention module."""


def _table(module: Any, heads: int) -> "torch.Tensor":  # noqa: ANN401 - of transformers
    """Return the biases of the keys of a pass, (heads, tokens), by the function of the model's own file."""
    import torch  # noqa: PLC0415 - heavy

    positions = current_positions()
    if positions.is_meta:
        return torch.empty(heads, len(positions), device="meta")
    ones = torch.ones(1, int(positions.max()) + 1, dtype=torch.long, device=positions.device)
    build: Callable[..., torch.Tensor] = sys.modules[type(module).__module__].build_alibi_tensor
    return build(ones, heads, dtype=torch.float32)[:, 0, positions]


def _attend(
    module: object, parts: "tuple[torch.Tensor, torch.Tensor, torch.Tensor]", bias: "torch.Tensor", scale: float
) -> "torch.Tensor":
    """Return the attention of queries, keys and values, (1, heads, tokens, size), as (1, tokens, heads x size)."""
    import torch  # noqa: PLC0415 - heavy

    query, key, value = parts
    query = torch.cat([query * scale, query.new_ones(*query.shape[:-1], 1)], dim=-1)
    key = torch.cat([key, bias[None, :, :, None].to(key.dtype)], dim=-1)
    return attend(module, query, key, value, None, scaling=1.0)[0].flatten(2)
