"""Which engine answers what: each prompt by its own length, and none because of another."""

import importlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from transformers import (
    AutoTokenizer,
    Gemma3Config,
    Gemma3ForCausalLM,
    Gemma3ForConditionalGeneration,
    Gemma3TextConfig,
    Lfm2Config,
    Lfm2ForCausalLM,
    MistralConfig,
    Phi3Config,
    Phi3ForCausalLM,
)

from xlingual.plugin import ModelOptions
from xlingual.records import Choice, Request, Response

MakeRequest = Callable[..., Request]
CONTEXT, ORIGINAL, NEW = 256, 60, 4
SHORT = [f"the quick brown fox {letter}" for letter in "abc"]
LONG = "over the lazy dog " * 10
TOO_LONG = "word " * 300
SIZE = {
    "vocab_size": 320, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "initializer_range": 0.6, "max_position_embeddings": CONTEXT, "bos_token_id": None,
    "eos_token_id": None, "pad_token_id": 0,
}  # fmt: skip
LONGROPE = {
    "rope_type": "longrope", "rope_theta": 1e4, "factor": 8.0, "original_max_position_embeddings": ORIGINAL,
    "short_factor": [1.0, 1.1, 1.2, 1.3], "long_factor": [3.0, 4.0, 5.0, 6.0],
}  # fmt: skip
NOTE = f"static batches answer what is over {ORIGINAL} tokens, the packed engine the rest"
NOT_TAKEN = "static batches answer, not the packed engine: it has layers of the type conv"


def hf() -> ModuleType:
    return importlib.import_module("xlingual.plugins.models.hf")


def save(model: Any, tiny_llama: Path, folder: Path) -> Path:  # noqa: ANN401 - of transformers
    model.eval().save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_llama).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def limited(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Phi-3 whose rotary angles depend on the longest text of a pass beyond 60 tokens, in a context of 256."""
    torch.manual_seed(5)
    config = Phi3Config(**SIZE, original_max_position_embeddings=ORIGINAL, rope_parameters=LONGROPE)
    return save(Phi3ForCausalLM(config), tiny_llama, tmp_path_factory.mktemp("models") / "phi")


@pytest.fixture(scope="module")
def refused(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An LFM2, every other layer of which is a convolution: the packed engine takes nothing of it."""
    torch.manual_seed(5)
    model = Lfm2ForCausalLM(Lfm2Config(**SIZE, layer_types=["conv", "full_attention"]))
    return save(model, tiny_llama, tmp_path_factory.mktemp("m") / "lfm2")


def opened(folder: Path, **options: Any) -> Any:  # noqa: ANN401 - of the plugin
    return hf().open_hf(str(folder), ModelOptions(device="cpu", **options))


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """The texts that each engine was given."""
    found: dict[str, list[str]] = {"packed": [], "static": []}

    def watched(name: str, answer: Any) -> Any:  # noqa: ANN401 - of the plugin
        def call(loaded: object, asked: list[Any], *rest: object) -> Iterator[Response]:
            found[name] += [each.request.key for each in asked]
            yield from answer(loaded, asked, *rest)

        return call

    engines = hf().ENGINES_BY_NAME
    monkeypatch.setattr(hf(), "ENGINES_BY_NAME", {name: watched(name, each) for name, each in engines.items()
                                                 if name in found})  # fmt: skip
    monkeypatch.setattr(hf(), "score_packed", watched("packed", hf().score_packed))
    monkeypatch.setattr(hf(), "score_padded", watched("static", hf().score_padded))
    return found


def asked(text_request: MakeRequest, texts: list[str], *, scored: bool) -> list[Request]:
    if not scored:
        return [text_request(text, max_new_tokens=NEW) for text in texts]
    choices = (Choice(text=" jumps"), Choice(text=" falls"))
    return [replace(text_request(text, max_new_tokens=0), choices=choices) for text in texts]


def answer(model: Any, requests: list[Request]) -> tuple[dict[str, Response], list[str]]:  # noqa: ANN401 - of the plugin
    notes: list[str] = []
    model.on_note(notes.append)
    found = {each.key: each for each in model.answer(requests)}
    assert len(found) == len(requests)
    return found, notes


@pytest.mark.parametrize("scored", [False, True], ids=["generated", "scored"])
def test_only_the_prompt_that_the_packed_engine_cannot_take_leaves_it(
    limited: Path, text_request: MakeRequest, used: dict[str, list[str]], scored: bool
) -> None:
    requests = asked(text_request, [*SHORT, LONG], scored=scored)
    model = opened(limited)
    found, notes = answer(model, requests)
    assert {name: sorted(keys) for name, keys in used.items()} == {"packed": SHORT, "static": [LONG]}
    assert notes == [NOTE]
    expected, silence = answer(opened(limited, engine="static"), requests)
    assert silence == []
    for key, response in found.items():
        assert (response.text, response.failure) == (expected[key].text, None)
        values = [each.logarithm for each in expected[key].likelihoods or ()]
        assert [each.logarithm for each in response.likelihoods or ()] == pytest.approx(values, abs=1e-4)
    assert answer(model, requests)[1] == [], "what is always so is said once"


def test_a_prompt_beyond_the_context_fails_by_itself_and_moves_nothing(
    limited: Path, text_request: MakeRequest, used: dict[str, list[str]]
) -> None:
    found, notes = answer(opened(limited), asked(text_request, [*SHORT, TOO_LONG], scored=False))
    assert {name: sorted(keys) for name, keys in used.items()} == {"packed": SHORT, "static": []}
    assert notes == []
    failure = found[TOO_LONG].failure
    assert failure is not None
    assert failure.kind == "context overflow"


def test_in_half_precision_no_answer_depends_on_the_length_of_another(
    limited: Path, text_request: MakeRequest, used: dict[str, list[str]]
) -> None:
    model = opened(limited, dtype="bfloat16", batch_size=1)
    alone, _ = answer(model, asked(text_request, SHORT, scored=False))
    together, _ = answer(model, asked(text_request, [*SHORT, LONG, TOO_LONG], scored=False))
    assert sorted(used["packed"]) == sorted(SHORT * 2)
    assert {key: together[key] for key in SHORT} == alone


def test_a_model_that_is_never_packed_says_so_once(
    refused: Path, text_request: MakeRequest, used: dict[str, list[str]]
) -> None:
    model = opened(refused)
    assert answer(model, asked(text_request, SHORT, scored=False))[1] == [NOT_TAKEN]
    assert answer(model, asked(text_request, SHORT, scored=True))[1] == []
    assert (used["packed"], len(used["static"])) == ([], 6)


def test_the_fingerprint_tells_which_engine_answers(limited: Path, refused: Path, tiny_llama: Path) -> None:
    """In half precision; in float32 no answer depends on it."""

    def half(folder: Path, **options: Any) -> str:  # noqa: ANN401 - options of a model
        return str(opened(folder, dtype="bfloat16", **options).spec.fingerprint)

    assert half(refused) == half(refused, engine="packed") == half(refused, engine="static")
    assert half(tiny_llama) == half(tiny_llama, engine="packed") != half(tiny_llama, engine="static")
    assert half(limited) == half(limited, engine="packed") != half(limited, engine="static")
    for folder in (limited, refused, tiny_llama):
        assert opened(folder).spec.fingerprint == opened(folder, engine="static").spec.fingerprint
    arithmetic = importlib.import_module("xlingual.plugins.models.hf.checkpoint.description")._arithmetic
    config = MistralConfig(**SIZE, sliding_window=None)
    unlimited = {"dtype": "bfloat16", "engine": "packed", "engine_version": 3}
    assert arithmetic("bfloat16", ModelOptions(), config) == unlimited
    config.sliding_window = ORIGINAL
    assert arithmetic("bfloat16", ModelOptions(), config) == unlimited, "a window is part of packed attention"
    config = Phi3Config(**SIZE, original_max_position_embeddings=ORIGINAL, rope_parameters=LONGROPE)
    assert arithmetic("bfloat16", ModelOptions(), config) == {**unlimited, "static_beyond": ORIGINAL}
    assert arithmetic("bfloat16", ModelOptions(engine="static"), config) == {**unlimited, "engine": "static"}


def gemma_3(*, with_images: bool) -> Any:  # noqa: ANN401 - of transformers
    """Return a Gemma 3 whose sliding layers see 32 tokens, alone or within the model that reads images as well."""
    torch.manual_seed(5)
    size = {**SIZE, "head_dim": 8, "sliding_window": 32, "layer_types": ["sliding_attention", "full_attention"]}
    if not with_images:
        return Gemma3ForCausalLM(Gemma3TextConfig(**size))
    vision = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    return Gemma3ForConditionalGeneration(
        Gemma3Config(text_config=size, vision_config=vision, mm_tokens_per_image=4, pad_token_id=0)
    )


@pytest.mark.parametrize("with_images", [False, True], ids=["text", "images"])
@pytest.mark.parametrize("scored", [False, True], ids=["generated", "scored"])
def test_an_answer_beyond_the_window_of_gemma_3_is_packed(
    tiny_llama: Path,
    tmp_path: Path,
    text_request: MakeRequest,
    used: dict[str, list[str]],
    scored: bool,
    with_images: bool,
) -> None:
    """Also where the prompt has three tokens and the answer 60: no part of the configuration bars it."""
    folder = save(gemma_3(with_images=with_images), tiny_llama, tmp_path / "gemma")
    requests = asked(text_request, ["fox", *SHORT, LONG], scored=scored)
    if not scored:
        requests = [replace(each, max_new_tokens=60) for each in requests]
    found, notes = answer(opened(folder), requests)
    assert (sorted(used["packed"]), used["static"], notes) == (sorted(["fox", *SHORT, LONG]), [], [])
    expected, _ = answer(opened(folder, engine="static"), requests)
    for key, response in found.items():
        assert (response.text, response.failure) == (expected[key].text, None)
        values = [each.logarithm for each in expected[key].likelihoods or ()]
        assert [each.logarithm for each in response.likelihoods or ()] == pytest.approx(values, abs=1e-4)
