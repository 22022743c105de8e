"""`--engine paged` from a folder to responses: what answers, what is noted, what the record says."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from xlingual.plugin import ModelOptions
from xlingual.records import Choice, Request, Response
from xlingual.registry import MODELS

from .machines import part

WORDS = ["The fox", "The fox jumps", "Warszawa", "北京", "The quick brown fox jumps over the lazy dog. " * 3]
KERNEL = "attention kernel: reference, pages of 16 tokens"


def opened(folder: Path, **options: Any) -> Any:  # noqa: ANN401 - of ModelOptions; of the plugin
    return MODELS.get("hf")(str(folder), ModelOptions(device="cpu", **options))


def by_key(model: Any, requests: Sequence[Request]) -> dict[str, Response]:  # noqa: ANN401 - of the plugin
    found = list(model.answer(requests))
    assert len(found) == len(requests)
    return {each.key: each for each in found}


@pytest.mark.parametrize("rows", [None, 2])
def test_answers_are_those_of_static_batches(
    tiny_llama: Path, text_request: Callable[..., Request], rows: int | None
) -> None:
    requests = [
        text_request(word, max_new_tokens=limit, stop=stop)
        for word, limit, stop in zip(
            WORDS, (3, 9, 60, 14, 40), ((), ("e",), ("never said",), ("x", "\n"), ()), strict=True
        )
    ]
    model = opened(tiny_llama, engine="paged", batch_size=rows)
    notes: list[str] = []
    model.on_note(notes.append)
    assert model.spec.details["engine"] == "paged: --engine paged"
    assert by_key(model, requests) == by_key(opened(tiny_llama, engine="static"), requests)
    assert by_key(model, requests[::-1]) == by_key(opened(tiny_llama), requests)
    assert notes == [f"{KERNEL}: it gathers pages, which is slow"]
    said = f"paged: --engine paged, {KERNEL}"
    assert model.spec.details["engine"] == said
    model.close()
    assert model.spec.details["engine"] == said


def test_choices_score_as_by_the_packed_engine(tiny_llama: Path, text_request: Callable[..., Request]) -> None:
    choices = tuple(Choice(before=" ", text=text) for text in ("the river", "Poland", "a dog that runs"))
    requests = [replace(text_request(word), choices=choices, max_new_tokens=0) for word in WORDS]
    paged, packed = (by_key(opened(tiny_llama, engine=engine), requests) for engine in ("paged", "packed"))
    for key, response in paged.items():
        theirs = packed[key].likelihoods
        assert response.likelihoods is not None
        assert theirs is not None
        for ours, other in zip(response.likelihoods, theirs, strict=True):
            assert ours.logarithm == pytest.approx(other.logarithm, abs=1e-4)
            assert (ours.is_greedy, ours.tokens) == (other.is_greedy, other.tokens)


def test_another_engine_answers_where_the_scores_are_not_the_models(
    tiny_llama: Path, text_request: Callable[..., Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kernel that is wrong: the trial finds it, once."""
    module = part("paged.forward")
    attend = module.attend_in_step
    tries: list[int] = []

    def wrong(*arguments: Any) -> torch.Tensor:  # noqa: ANN401 - of the plugin
        tries.append(1)
        return torch.as_tensor(attend(*arguments)) * 1.1

    monkeypatch.setattr(module, "attend_in_step", wrong)
    model = opened(tiny_llama, engine="paged")
    notes: list[str] = []
    model.on_note(notes.append)
    requests = [text_request(word, max_new_tokens=5) for word in WORDS]
    expected = by_key(opened(tiny_llama), requests)
    assert by_key(model, requests) == expected
    made = len(tries)
    assert by_key(model, requests) == expected
    assert len(tries) == made
    [note] = notes
    assert note.startswith("the paged engine does not answer: the scores are off by ")
    assert model.spec.details["engine"].startswith("packed")


def test_an_overlong_prompt_fails_by_itself(tiny_llama: Path, text_request: Callable[..., Request]) -> None:
    model = opened(tiny_llama, engine="paged")
    model.loaded = replace(part("checkpoint.loading").load(model.description, model.options), context_length=60)
    found = by_key(model, [text_request(word, max_new_tokens=4) for word in WORDS])
    kinds = [each.failure.kind for each in found.values() if each.failure]
    assert kinds == ["context overflow"]


def test_the_fingerprint_names_the_engine_in_half_precision(tiny_llama: Path) -> None:
    prints = {
        engine: opened(tiny_llama, engine=engine, dtype="bfloat16").spec.fingerprint
        for engine in ("paged", "packed", "static")
    }
    assert len(set(prints.values())) == 3
    assert part("checkpoint.description").default_engine("cuda:1") == "paged"
    assert opened(tiny_llama, dtype="bfloat16").spec.fingerprint == prints["packed"]
    assert {opened(tiny_llama, engine=engine).spec.fingerprint for engine in prints} == {
        opened(tiny_llama).spec.fingerprint
    }
