"""The architecture gate of generation and tuning: plain decoders, and rotary embeddings that depend on the length."""

import importlib
from types import SimpleNamespace
from typing import Any

import pytest
from transformers import Gemma3Config, Gemma3TextConfig, LlamaConfig, PreTrainedConfig, T5Config

from xlingual.decoder.architecture import LengthDependentRope, length_dependent_ropes, structure_problems, text_config
from xlingual.errors import ModelError
from xlingual.training.obstacles import refuse_unknown

SHAPE: dict[str, Any] = {
    "vocab_size": 96, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4,
    "num_key_value_heads": 2,
}  # fmt: skip
PLAIN = {"rope_type": "default", "rope_theta": 1e4}


def rope(kind: str, **more: object) -> dict[str, object]:
    return {"rope_type": kind, "rope_theta": 1e4, "factor": 2.0, **more}


@pytest.mark.parametrize(
    ("config", "problems"),
    [
        (LlamaConfig(**SHAPE), []),
        (Gemma3TextConfig(**SHAPE, head_dim=8), []),  # sliding and full attention in turns
        (T5Config(), ["an encoder"]),
        (Gemma3Config(), ["parts beside the language model"]),
        (SimpleNamespace(layer_types=["full_attention", "linear_attention"]), ["layers of the type linear_attention"]),
        (SimpleNamespace(layer_types=["chunked_attention"], is_encoder_decoder=True),
         ["an encoder", "layers of the type chunked_attention"]),
        (SimpleNamespace(), []),
    ],
)  # fmt: skip
def test_structure_problems(config: object, problems: list[str]) -> None:
    assert list(structure_problems(config)) == problems


def test_the_language_model_of_a_multimodal_configuration() -> None:
    config = Gemma3Config()
    assert text_config(config) is config.text_config
    assert list(structure_problems(text_config(config))) == []


@pytest.mark.parametrize(
    ("parameters", "ropes"),
    [
        (None, []),
        (PLAIN, []),
        (rope("linear"), []),
        (rope("yarn", original_max_position_embeddings=32), []),
        (rope("dynamic", original_max_position_embeddings=32), [LengthDependentRope("dynamic", 32)]),
        (rope("longrope", original_max_position_embeddings=32), [LengthDependentRope("longrope", 32)]),
        (rope("dynamic"), [LengthDependentRope("dynamic", 256)]),  # max_position_embeddings, where it is not said
        (rope("dynamic", original_max_position_embeddings="32"), [LengthDependentRope("dynamic", 256)]),
        ({"full_attention": rope("dynamic", original_max_position_embeddings=32), "sliding_attention": PLAIN},
         [LengthDependentRope("dynamic", 32)]),
        ({"full_attention": PLAIN, "sliding_attention": rope("longrope")}, [LengthDependentRope("longrope", 256)]),
        ({"full_attention": rope("dynamic", original_max_position_embeddings=32),
          "sliding_attention": rope("longrope", original_max_position_embeddings=64)},
         [LengthDependentRope("dynamic", 32), LengthDependentRope("longrope", 64)]),
        ({"full_attention": PLAIN, "sliding_attention": PLAIN}, []),
        ({"text": {"layers": {"even": PLAIN, "odd": rope("longrope", original_max_position_embeddings=32)}}},
         [LengthDependentRope("longrope", 32)]),
    ],
)  # fmt: skip
def test_length_dependent_ropes(parameters: object, ropes: list[LengthDependentRope]) -> None:
    config = SimpleNamespace(rope_parameters=parameters, max_position_embeddings=256)
    assert list(length_dependent_ropes(config)) == ropes


def test_a_rope_of_unknown_original_length() -> None:
    for config in (SimpleNamespace(rope_parameters=rope("dynamic")), SimpleNamespace()):
        found = list(length_dependent_ropes(config))
        assert found == ([LengthDependentRope("dynamic", None)] if hasattr(config, "rope_parameters") else [])


def _flat(kind: str, original: int | None) -> PreTrainedConfig:
    more = {} if original is None else {"original_max_position_embeddings": original}
    return LlamaConfig(**SHAPE, max_position_embeddings=64, rope_parameters=rope(kind, **more))


def _nested(kind: str, original: int | None) -> PreTrainedConfig:
    more = {} if original is None else {"original_max_position_embeddings": original}
    parameters = {"full_attention": rope(kind, **more), "sliding_attention": PLAIN}
    return Gemma3TextConfig(**SHAPE, head_dim=8, max_position_embeddings=64, rope_parameters=parameters)


@pytest.mark.parametrize("make", [_flat, _nested])
@pytest.mark.parametrize(
    ("original", "length", "is_refused"), [(16, 17, True), (16, 16, False), (16, 8, False), (None, 64, False)]
)
def test_tuning_refuses_rows_beyond_the_original_length(
    make: Any,  # noqa: ANN401 - one of two functions
    original: int | None,
    length: int,
    is_refused: bool,
) -> None:
    config = make("dynamic", original)
    if not is_refused:
        refuse_unknown(config, length, "here")
        return
    with pytest.raises(ModelError, match=r"rotary embeddings \(dynamic\) that depend on the longest text beyond 16"):
        refuse_unknown(config, length, "here")


@pytest.mark.parametrize("make", [_flat, _nested])
@pytest.mark.parametrize(("kind", "is_found"), [("dynamic", True), ("linear", False)])
def test_the_packed_engine_and_tuning_read_the_same_gate(
    make: Any,  # noqa: ANN401 - one of two functions
    kind: str,
    is_found: bool,
) -> None:
    """In a pack, the angles of one sequence would depend on the length of another."""
    support = importlib.import_module("xlingual.plugins.models.hf.packed.support")
    config = make(kind, 16)
    # One less: transformers resets angles that grew only for a text that is shorter than the original length.
    assert support.longest_packed_text(config) == (15 if is_found else None)
    assert (list(length_dependent_ropes(config)) != []) == is_found
