"""Our attention in the place of a model's own, and what its layers then call it with.

One short forward pass tells what no configuration does: whether each layer calls attention at all, how many heads of
which sizes it has, its sliding window, and whether its scores are capped or have sinks beside them.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from xlingual.decoder.architecture import text_config
from xlingual.decoder.protocols import DecoderModel

from ..loaded_model import LoadedModel
from .alibi import biased_attention, biased_layers
from .attention import NAME, AttentionCall, attention_step, register
from .kv_cache import KVCacheSpec

if TYPE_CHECKING:
    import torch

    from ..loaded_model import CausalLM

TOKENS = 3
"""Of the forward pass that is observed."""


@contextmanager
def packed_attention(model: "CausalLM") -> Iterator[None]:
    """Let the layers of the language model call our attention, and their own again afterwards."""
    if layers := biased_layers(model):
        with biased_attention(layers):
            yield
        return
    decoder = language_model(model)
    own = decoder.config._attn_implementation
    register()
    decoder.set_attn_implementation(NAME)
    try:
        yield
    finally:
        decoder.set_attn_implementation(own)


def language_model(model: "CausalLM") -> DecoderModel:
    """Return the module whose layers read text: the model itself, but for multimodal ones."""
    if text_config(model.config) is model.config:
        return model
    decoder: DecoderModel = getattr(model, "get_decoder")()  # noqa: B009 - not in the protocol
    return decoder


def observe_attention(model: "CausalLM", device: str) -> tuple[AttentionCall, ...]:
    """Return what each layer calls attention with, in their order; on any device, "meta" included.

    Empty for a model whose layers have attention of their own.
    """
    import torch  # noqa: PLC0415 - heavy

    exchangeable = getattr(language_model(model), "_can_set_attn_implementation", None)
    if exchangeable is not None and not exchangeable() and not biased_layers(model):
        return ()
    ids = torch.ones(1, TOKENS, dtype=torch.long, device=device)
    positions = torch.arange(TOKENS, device=device)
    with packed_attention(model), torch.inference_mode(), attention_step(None, positions) as step:
        model(input_ids=ids, position_ids=positions[None], attention_mask=mask_of(model, device), use_cache=False)
    return tuple(step.calls)


def mask_of(model: "CausalLM", device: str) -> "torch.Tensor | None":
    """Return the mask that a packed pass is given: one of four dimensions is taken as it is, the model makes none.

    Models that build their biases from the mask make one, which nothing reads.
    """
    import torch  # noqa: PLC0415 - heavy

    return None if biased_layers(model) else torch.zeros(1, 1, 1, 1, dtype=model.dtype, device=device)


def calls_problem(calls: Sequence[AttentionCall], layers: int, *, one_shape: bool = True) -> str | None:
    """Return why the packed engine does not take a model of so many layers that calls attention like this, or None.

    Without `one_shape` heads may be of several sizes, as for the paged engine.
    """
    if not calls:
        return "its layers compute attention by themselves, where nothing can take its place"
    if len(calls) < layers:
        return f"only {len(calls)} of its {layers} layers are attention"
    shapes = {(each.heads, each.kv_heads, each.head_size, each.value_size) for each in calls}
    if one_shape and len(shapes) > 1:
        return "its layers have heads of different numbers or sizes"
    return None


def cache_spec_of(loaded: LoadedModel) -> KVCacheSpec:
    """Return what the keys and values of a model look like that `verification` accepts."""
    model = loaded.model
    calls = loaded.calls or observe_attention(model, loaded.device)
    first = calls[0]
    return KVCacheSpec(
        layers=len(calls),
        heads=first.heads,
        kv_heads=first.kv_heads,
        head_size=first.head_size,
        value_size=first.value_size,
        windows=tuple(sorted({each.kind.window for each in calls if each.kind.window is not None})),
        dtype=model.dtype,
        device=loaded.device,
    )
