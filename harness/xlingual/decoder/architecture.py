"""Which decoders can be computed as packed sequences, as far as their configuration tells.

Generation and tuning both read it. What a configuration does not tell shows when the first packed forward pass is
compared with transformers' own.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

LAYER_TYPES = ("full_attention", "sliding_attention")
LENGTH_DEPENDENT_ROPE = ("dynamic", "longrope")
"""Types of rotary embeddings whose angles depend on the longest sequence of a forward pass."""


@dataclass(frozen=True, slots=True)
class LengthDependentRope:
    """Rotary embeddings whose angles change once a sequence is longer than `original` tokens; None: not known."""

    kind: str
    original: int | None


def text_config(config: object) -> object:
    """Return the language model's part of a configuration: all of it, but for multimodal models."""
    return config.get_text_config() if hasattr(config, "get_text_config") else config


def structure_problems(config: object) -> Iterator[str]:
    """Yield what a configuration has besides a plain stack of decoder layers, in words for a message."""
    if getattr(config, "is_encoder_decoder", False):
        yield "an encoder"
    if text_config(config) is not config:
        yield "parts beside the language model"
    if odd := [each for each in getattr(config, "layer_types", None) or () if each not in LAYER_TYPES]:
        yield f"layers of the type {odd[0]}"


def length_dependent_ropes(config: object) -> Iterator[LengthDependentRope]:
    """Yield the rotary embeddings that depend on the longest sequence, also those nested under a layer type."""
    known = getattr(config, "max_position_embeddings", None)
    yield from _ropes(getattr(config, "rope_parameters", None), known if isinstance(known, int) else None)


def _ropes(parameters: object, known: int | None) -> Iterator[LengthDependentRope]:
    if not isinstance(parameters, Mapping):
        return
    kind = parameters.get("rope_type")
    if kind in LENGTH_DEPENDENT_ROPE:
        original = parameters.get("original_max_position_embeddings")
        yield LengthDependentRope(str(kind), original if isinstance(original, int) else known)
    for each in parameters.values():
        yield from _ropes(each, known)
