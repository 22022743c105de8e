"""The paged engine: the answers of static batches, stop strings, and no request lost."""

import importlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from transformers.generation.continuous_batching.continuous_api import ContinuousBatchingManager

from xlingual.plugin import ModelOptions
from xlingual.records import Request, Response
from xlingual.registry import MODELS

WORDS = [
    "the lazy dog jumps over the quick brown fox " * count + end for count in (1, 3) for end in ("a", "b c", "the")
]


def part(name: str) -> ModuleType:
    return importlib.import_module(f"xlingual.plugins.models.hf.{name}")


def opened(tiny_llama: Path, **options: Any) -> Any:  # noqa: ANN401 - of the plugin
    return MODELS.get("hf")(str(tiny_llama), ModelOptions(device="cpu", **options))


def by_key(model: Any, requests: list[Request]) -> dict[str, Response]:  # noqa: ANN401 - of the plugin
    found = list(model.answer(requests))
    assert len(found) == len(requests)
    return {each.key: each for each in found}


@pytest.mark.parametrize("rows", [2, 8])
def test_the_answers_are_those_of_static_batches(
    tiny_llama: Path, text_request: Callable[..., Request], rows: int
) -> None:
    requests = [
        text_request(word, max_new_tokens=limit, stop=stop)
        for word, limit, stop in zip(WORDS, (3, 9, 9, 14, 5, 9), ((), ("e",), ("\n", "o"), (), ("x",), ()), strict=True)
    ]
    expected = by_key(opened(tiny_llama, engine="static"), requests)
    assert by_key(opened(tiny_llama, engine="paged", batch_size=rows), requests) == expected
    assert {str(each.finish) for each in expected.values()} >= {"stop", "length"}


def test_each_token_is_checked_for_stop_strings_once(
    tiny_llama: Path, text_request: Callable[..., Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer of 43 tokens and its end token comes in up to 44 outputs, each with all the tokens so far."""
    module = part("paged.continuous_batching")
    lengths: list[int] = []

    def watched(loaded: object, prompt: object, new: list[int]) -> bool:
        lengths.append(len(new))
        return bool(is_stopped(loaded, prompt, new))

    is_stopped = module.is_stopped
    monkeypatch.setattr(module, "is_stopped", watched)
    request = text_request(WORDS[0], max_new_tokens=60, stop=("never said",))
    [response] = opened(tiny_llama, engine="paged").answer([request])
    assert response.tokens == 43
    assert lengths == list(range(1, 45))


def test_a_thread_that_dies_makes_every_request_fail(tiny_llama: Path, text_request: Callable[..., Request]) -> None:
    model = opened(tiny_llama, engine="paged")
    model.loaded = part("checkpoint.loading").load(model.description, model.options)

    def breaks(*_call: object) -> None:
        raise RuntimeError("a kernel is missing")

    model.loaded.model.get_input_embeddings().register_forward_pre_hook(breaks)
    found = by_key(model, [text_request(word, max_new_tokens=4) for word in WORDS])
    assert all(each.failure is not None and each.text is None for each in found.values())


@pytest.mark.parametrize("times", [1, 9])
def test_what_the_manager_loses_is_asked_again_or_fails(
    tiny_llama: Path, text_request: Callable[..., Request], monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """It takes a request and never returns an output: once, or every time."""
    lost: list[str] = []
    add: Any = ContinuousBatchingManager.add_request

    def lose_one(self: Any, *words: Any, **named: Any) -> Any:  # noqa: ANN401 - of transformers
        if named["request_id"] == "2" and len(lost) < times:
            lost.append(named["request_id"])
            return named["request_id"]
        return add(self, *words, **named)

    requests = [text_request(word, max_new_tokens=4) for word in WORDS]
    expected = by_key(opened(tiny_llama, engine="static"), requests)
    monkeypatch.setattr(ContinuousBatchingManager, "add_request", lose_one)
    found = by_key(opened(tiny_llama, engine="paged"), requests)
    failed = {key for key, each in found.items() if each.failure is not None}
    assert len(lost) == min(times, 2)
    assert len(failed) == (times > 1)
    assert {key: each for key, each in found.items() if key not in failed} == {
        key: each for key, each in expected.items() if key not in failed
    }


def test_an_overlong_prompt_fails_by_itself(tiny_llama: Path, text_request: Callable[..., Request]) -> None:
    model = opened(tiny_llama, engine="paged")
    model.loaded = replace(part("checkpoint.loading").load(model.description, model.options), context_length=60)
    found = by_key(model, [text_request(word, max_new_tokens=4) for word in WORDS])
    kinds = [each.failure.kind for each in found.values() if each.failure]
    assert kinds == ["context overflow"] * 3
