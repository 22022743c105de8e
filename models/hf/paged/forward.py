"""The forward pass over pages: transformers' own modules, with our attention function in the place of theirs.

In every layer the function writes the new keys and values to their slots, then attends twice: the rows that decode, one
query each, and the rows that are prefilled. What a step reads lies in a module-level record and not in the keywords of
the model, for some architectures do not hand these on to their layers.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from xlingual.decoder.protocols import AttentionModule, CausalLMOutput

from ..loaded_model import CausalLM, takes_logits_to_keep
from ..packed.attention import NOT_COMPUTED
from ..packed.exchange import language_model
from ..packed.support import layers_of
from .fused_operations import fused_operations
from .kernels import AttentionKernel, AttentionShape, QueryRows
from .pages import LayerShape, PagePool

if TYPE_CHECKING:
    import torch

NAME = "xlingual_paged"
"""Of the function among transformers' attention implementations. It has no function that makes a mask, so none is."""


@dataclass(frozen=True, slots=True)
class PassRows:
    """The rows of a step, on one device."""

    slots: "torch.Tensor"
    """(tokens,), int64: where the keys and values of each token go."""
    decode: QueryRows | None
    decode_tokens: int
    """They come first."""
    prefill: QueryRows | None


@dataclass(frozen=True, slots=True)
class PagedPass:
    """What the attention function reads in a step."""

    kernel: AttentionKernel
    pool: PagePool
    rows: tuple[PassRows, ...]
    """By the devices of the pool."""


@dataclass(frozen=True, slots=True)
class LayerCall:
    """How a layer called the attention function while the model was looked at."""

    layer: int
    heads: int
    shape: LayerShape
    attention: AttentionShape
    device: "torch.device"


@dataclass(slots=True)
class ActivePass:
    """The step that is being computed; or where calls are only noted."""

    step: PagedPass | None = None
    calls: list[LayerCall] | None = None
    made: int = 0
    """Calls of the step so far: each has pages of its own, for DiffLlama attends twice in a layer."""


ACTIVE = ActivePass()
"""There is one forward pass at a time in a process."""


def register() -> None:
    """Make the function known to transformers, under NAME."""
    from transformers import AttentionInterface  # noqa: PLC0415 - heavy

    AttentionInterface.register(NAME, attend_paged)


@contextmanager
def paged_attention(model: CausalLM) -> Iterator[None]:
    """Let the model's layers call our attention and, on a GPU, fused operations; its own again afterwards."""
    decoder = language_model(model)
    own = decoder.config._attn_implementation
    register()
    decoder.set_attn_implementation(NAME)
    try:
        with fused_operations(decoder):
            yield
    finally:
        ACTIVE.step = ACTIVE.calls = None
        decoder.set_attn_implementation(own)


def attend_paged(  # noqa: PLR0913 - transformers' signature
    module: AttentionModule,
    query: "torch.Tensor",
    key: "torch.Tensor",
    value: "torch.Tensor",
    attention_mask: object,  # noqa: ARG001 - every token sees what comes before it, as far as the window goes
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: "torch.Tensor | None" = None,
    **others: object,
) -> "tuple[torch.Tensor, None]":
    """Return the attention of `query`, (1, heads, tokens, head size), as (1, tokens, heads, head size)."""
    if unknown := [name for name in NOT_COMPUTED if others.get(name) is not None]:
        raise TypeError(f"attention with {unknown[0]}")
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    attention = AttentionShape(scale, sliding_window, softcap, s_aux)
    step = ACTIVE.step
    if step is not None:
        ACTIVE.made += 1
        return attend_in_step(step, ACTIVE.made - 1, (query, key, value), attention)[None], None
    if ACTIVE.calls is None:
        raise RuntimeError(f"{NAME} attention outside a step")
    kept = LayerShape(key.shape[1], key.shape[-1], value.shape[-1])
    ACTIVE.calls.append(LayerCall(module.layer_idx, query.shape[1], kept, attention, query.device))
    return query.new_zeros(1, query.shape[2], query.shape[1], value.shape[-1]), None


def attend_in_step(
    step: PagedPass, call: int, new: "tuple[torch.Tensor, torch.Tensor, torch.Tensor]", attention: AttentionShape
) -> "torch.Tensor":
    """Write the keys and values of a step and return its attention, (tokens, heads, head size)."""
    import torch  # noqa: PLC0415 - heavy

    query, key, value = (each[0].transpose(0, 1) for each in new)
    pages, here = step.pool.layers[call], step.rows[step.pool.places[call]]
    pages.key_slots.index_copy_(0, here.slots, key.to(pages.keys.dtype))
    pages.value_slots.index_copy_(0, here.slots, value.to(pages.values.dtype))
    first = here.decode_tokens
    parts = [
        step.kernel(tokens, pages.keys, pages.values, rows, attention)
        for tokens, rows in ((query[:first], here.decode), (query[first:], here.prefill))
        if rows is not None
    ]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def run_model(
    model: CausalLM, ids: "torch.Tensor", positions: "torch.Tensor", keep: "torch.Tensor", step: PagedPass | None
) -> "torch.Tensor":
    """Compute a forward pass; returns the logits after the tokens at `keep`, (tokens, vocabulary)."""
    ACTIVE.step, ACTIVE.made = step, 0
    try:
        call = cast("Callable[..., CausalLMOutput]", model)
        # Neither a mask nor a cache: the attention function needs none.
        if takes_logits_to_keep(model):
            output = call(input_ids=ids[None], position_ids=positions[None], use_cache=False, logits_to_keep=keep)
            logits = output.logits[0]
        else:
            output = call(input_ids=ids[None], position_ids=positions[None], use_cache=False)
            logits = output.logits[0].index_select(0, keep)
    finally:
        ACTIVE.step = None
    if step is not None and ACTIVE.made != len(step.pool.layers):  # a graph would keep the wrong answers
        raise RuntimeError(f"a step of {ACTIVE.made} calls of {NAME} attention, not {len(step.pool.layers)}")
    return logits


def look_at_layers(model: CausalLM, device: str) -> list[LayerCall]:
    """Return how the layers call the attention function, in the order of the calls; ValueError where not all do.

    Some architectures take any name of an attention function and call their own all the same.
    """
    import torch  # noqa: PLC0415 - heavy

    exchangeable = getattr(language_model(model), "_can_set_attn_implementation", None)
    if exchangeable is not None and not exchangeable():
        raise ValueError("its layers compute attention by themselves, where nothing can take its place")
    ids = torch.zeros(2, dtype=torch.int64, device=device)
    calls: list[LayerCall] = []
    ACTIVE.calls = calls
    try:
        run_model(model, ids, torch.arange(2, device=device), ids[:1], None)
    finally:
        ACTIVE.calls = None
    layers = layers_of(model.config)
    called = {call.layer for call in calls}
    if called != set(range(layers)):
        raise ValueError(f"{len(calls)} calls of the attention function come from {len(called)} of {layers} layers")
    return calls
