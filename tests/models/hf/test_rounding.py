"""The trials in half precision: a right engine passes however deep the model is, and a wrong one does not."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

from .paged.machines import make_loaded, part

Attend = Callable[..., torch.Tensor]
OPTIONS = {"page_size": 16, "pages": 60, "graphs": False}


def deep(layers: int, width: int = 128, dtype: torch.dtype = torch.bfloat16) -> Any:  # noqa: ANN401 - of transformers
    """Return a random Llama whose layers each add as much as the embedding holds: there rounding counts most."""
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=500, hidden_size=width, intermediate_size=2 * width, num_hidden_layers=layers,
        num_attention_heads=max(2, width // 64), num_key_value_heads=1, head_dim=32, initializer_range=width**-0.5,
        max_position_embeddings=512,
    )  # fmt: skip
    model: Any = LlamaForCausalLM(config).eval().to(dtype)
    model.generation_config = GenerationConfig()
    return model


def try_paged(model: Any) -> Any:  # noqa: ANN401 - of transformers; of the plugin
    options = part("paged.engine").PagedOptions(**OPTIONS)
    return part("paged.verification").try_paged(make_loaded(model), options)


def distance(model: Any) -> float:  # noqa: ANN401 - of transformers
    """Return how far the paged engine is off, relative to the largest score."""
    trial, loaded = part("paged.verification"), make_loaded(model)
    texts = trial._texts(loaded, 40)
    expected = [trial._reference_logits(loaded, text) for text in texts]
    engine = part("paged.engine").open_engine(model, "cpu", part("paged.engine").PagedOptions(**OPTIONS))
    found = trial.engine_logits(loaded, engine, texts)
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("layers", [4, 32, 80])
def test_a_right_engine_passes_in_bfloat16(layers: int) -> None:
    """Of 80 layers it is off by more than the 5% that were allowed before."""
    model = deep(layers)
    tried = try_paged(model)
    assert tried.paged is not None, tried.paged_refusal
    assert part("packed.verification").try_packed(make_loaded(model)).verified


def test_rounding_grows_with_the_root_of_the_depth_and_not_with_the_width() -> None:
    """Of unit roundoffs a layer 2.1 are expected, and at most 5 allowed."""
    for layers, width in ((4, 128), (36, 128), (16, 64), (16, 512)):
        roundoffs = distance(deep(layers, width)) / (2**-8 * layers**0.5)
        assert 1 < roundoffs < 4, (layers, width, roundoffs)


def scaled(factor: float) -> Callable[[Attend], Attend]:
    return lambda own: lambda *given: own(*given) * factor


def in_one_layer(own: Attend) -> Attend:
    return lambda step, call, *given: own(step, call, *given) * (1.5 if call == 1 else 1.0)


def of_the_neighbour(own: Attend) -> Attend:
    return lambda *given: own(*given).roll(1, 0)


def with_a_window(own: Attend) -> Attend:
    return lambda step, call, new, attention: own(step, call, new, replace(attention, window=15))


def with_another_scale(own: Attend) -> Attend:
    return lambda step, call, new, attention: own(step, call, new, replace(attention, scale=attention.scale * 1.2))


@pytest.mark.parametrize("layers", [4, 32])
@pytest.mark.parametrize(
    "fault", [scaled(1.1), in_one_layer, of_the_neighbour, with_a_window, with_another_scale],
    ids=["1.1 times", "one layer", "the neighbour's", "a window", "another scale"],
)  # fmt: skip
def test_a_wrong_engine_does_not(
    layers: int, fault: Callable[[Attend], Attend], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = part("paged.forward")
    monkeypatch.setattr(module, "attend_in_step", fault(module.attend_in_step))
    tried = try_paged(deep(layers))
    assert tried.paged is None
    assert tried.paged_refusal.startswith("the scores are off by ")


def test_float32_and_models_of_few_layers_are_allowed_what_they_were() -> None:
    allowed = part("rounding").tolerance
    assert allowed(deep(80, 64, torch.float32)) == 1e-3
    assert allowed(deep(80, 64, torch.float16)) == allowed(deep(4, 64)) == 0.05
    assert allowed(deep(32, 64)) == pytest.approx(0.1105, abs=1e-4)
