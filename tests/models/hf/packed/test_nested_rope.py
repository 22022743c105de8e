"""Rotary embeddings of single layer types that depend on the length: refused by the packed engine and by tuning."""

import importlib
from types import SimpleNamespace
from typing import Any

import pytest
from transformers import Gemma3TextConfig, LlamaConfig

from xlingual.decoder.architecture import LengthDependentRope, length_dependent_ropes, structure_problems
from xlingual.errors import ModelError
from xlingual.training.obstacles import refuse_unknown

SIZE: dict[str, Any] = {"vocab_size": 100, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
DEFAULT = {"rope_type": "default", "rope_theta": 1e4}
DYNAMIC = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}
LONG = {
    "rope_type": "longrope", "factor": 2.0, "rope_theta": 1e4, "short_factor": [1.0] * 4, "long_factor": [2.0] * 4,
    "original_max_position_embeddings": 128,
}  # fmt: skip


def llama(rope: dict[str, Any]) -> LlamaConfig:
    return LlamaConfig(**SIZE, max_position_embeddings=256, rope_parameters=rope)


def gemma(full: dict[str, Any], sliding: dict[str, Any]) -> Gemma3TextConfig:
    """Return a configuration with rotary embeddings for each type of layer."""
    return Gemma3TextConfig(
        **SIZE, head_dim=8, max_position_embeddings=256, layer_types=["sliding_attention", "full_attention"],
        rope_parameters={"full_attention": full, "sliding_attention": sliding},
    )  # fmt: skip


def deeper(rope: dict[str, Any]) -> SimpleNamespace:
    """Return a configuration that nests its parameters once more than any that is known."""
    return SimpleNamespace(
        max_position_embeddings=256, rope_parameters={"text": {"layers": {"even": DEFAULT, "odd": rope}}}
    )


@pytest.mark.parametrize(
    ("config", "found"),
    [
        (llama(DEFAULT), []),
        (llama(DYNAMIC), [LengthDependentRope("dynamic", 256)]),
        (llama(LONG), [LengthDependentRope("longrope", 128)]),
        (gemma(DEFAULT, DEFAULT), []),
        (gemma(DYNAMIC, DEFAULT), [LengthDependentRope("dynamic", 256)]),
        (gemma(DEFAULT, LONG), [LengthDependentRope("longrope", 128)]),
        (deeper(DEFAULT), []),
        (deeper(LONG), [LengthDependentRope("longrope", 128)]),
    ],
)
def test_the_engine_and_tuning_refuse_the_same_rotary_embeddings(
    config: object, found: list[LengthDependentRope]
) -> None:
    """Their angles depend on the longest text of a pass, so one text would change with what stands beside it."""
    support = importlib.import_module("xlingual.plugins.models.hf.packed.support")
    assert list(length_dependent_ropes(config)) == found
    assert not list(structure_problems(config))
    dynamic = [rope for rope in found if rope.kind == "dynamic"]
    assert support.longest_packed_text(config) == ((found[0].original or 0) - len(dynamic) if found else None)
    if found and found[0].original == 128:
        with pytest.raises(ModelError, match="rotary embeddings"):
            refuse_unknown(config, 200, "here")
    else:  # up to 256 tokens the angles are those of any text
        refuse_unknown(config, 200, "here")


def test_tuning_beyond_the_original_length_is_refused_for_any_type_of_layer() -> None:
    """By a limit of 16 tokens that stands below the type of layer."""
    rope = {**DYNAMIC, "original_max_position_embeddings": 16}
    refuse_unknown(gemma(rope, DEFAULT), 16, "here")
    with pytest.raises(ModelError, match=r"rotary embeddings \(dynamic\) .* beyond 16 tokens"):
        refuse_unknown(gemma(rope, DEFAULT), 17, "here")
