"""Sampled answers depend on prompt, parameters and seed: on no engine, batch, order, draft, or lack of memory."""

import importlib
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from xlingual.plugin import ModelOptions
from xlingual.records import Form, Message, Request, Response, Role
from xlingual.registry import MODELS
from xlingual.sampling import Sampling, sample_sampling

WORDS = ["The fox", "The fox jumps", "Warszawa", "北京", "The quick brown fox jumps over the lazy dog. " * 3]
SETTINGS = (
    Sampling(temperature=1.0),
    Sampling(temperature=0.4, top_p=0.9),
    Sampling(temperature=1.5, top_k=7, min_p=0.05),
    None,
)


def part(name: str) -> ModuleType:
    return importlib.import_module(f"xlingual.plugins.models.hf.{name}")


@pytest.fixture(scope="module")
def requests(text_request: Callable[..., Request]) -> list[Request]:
    """Every word with every setting, thrice with a seed of its own; limits and stop strings of all kinds."""
    found = []
    for number, word in enumerate(WORDS):
        for row, setting in enumerate(SETTINGS):
            for repeat in range(3 if setting else 1):
                plain = text_request(word, max_new_tokens=(9, 25, 14)[repeat], stop=((), ("e",), ("\n",))[row % 3])
                sampling = setting and sample_sampling(setting, f"task/{number}", repeat)
                found.append(replace(plain, key=f"{number} {row} {repeat}", sampling=sampling))
    return found


def ask(folder: Path, requests: Sequence[Request], **options: Any) -> dict[str, Response]:  # noqa: ANN401 - of ModelOptions
    model = MODELS.get("hf")(str(folder), ModelOptions(device=options.pop("device", "cpu"), **options))
    found = list(model.answer(requests))
    model.close()
    assert len(found) == len(requests)
    return {each.key: each for each in found}


@pytest.fixture(scope="module")
def alone(tiny_llama: Path, requests: list[Request]) -> dict[str, Response]:
    """The answer of each request that nothing is asked beside."""
    model = MODELS.get("hf")(str(tiny_llama), ModelOptions(device="cpu", engine="static", batch_size=1))
    return {request.key: response for request in requests for response in model.answer([request])}


@pytest.mark.parametrize(
    "options",
    [
        {"engine": "static", "batch_size": 5},
        {"engine": "static", "batch_size": 64},
        {"engine": "packed", "batch_size": 1},
        {"engine": "packed", "batch_size": 7},
        {"engine": "packed"},
        {"engine": "paged", "batch_size": 4},
        {"engine": "paged"},
        {"deterministic": True},
    ],
    ids=lambda options: " ".join(map(str, options.values())),
)
def test_answers_do_not_depend_on_engine_batch_or_order(
    tiny_llama: Path, requests: list[Request], alone: dict[str, Response], options: dict[str, Any]
) -> None:
    shuffled = random.Random(3).sample(requests, len(requests))
    assert ask(tiny_llama, shuffled, **options) == alone


def test_seeds_and_settings_change_answers_and_greedy_ones_stay_greedy(
    tiny_llama: Path, requests: list[Request], alone: dict[str, Response]
) -> None:
    greedy = ask(tiny_llama, [replace(each, sampling=None) for each in requests])
    assert all(alone[each.key] == greedy[each.key] for each in requests if each.sampling is None)
    sampled = [each for each in requests if each.sampling is not None]
    assert sum(alone[each.key].text != greedy[each.key].text for each in sampled) > 0.8 * len(sampled)
    longest = {alone[f"{number} 0 {repeat}"].text for number in range(len(WORDS)) for repeat in range(3)}
    assert len(longest) == 3 * len(WORDS)


def test_each_token_is_drawn_from_the_logits_of_the_answer_so_far(
    tiny_llama: Path, requests: list[Request], alone: dict[str, Response]
) -> None:
    """A loop of plain forward passes, one token at a time."""
    model: Any = MODELS.get("hf")(str(tiny_llama), ModelOptions(device="cpu"))
    loaded = part("checkpoint.loading").load(model.description, model.options)
    for request in requests[::3]:
        if request.sampling is None or request.stop:
            continue
        ids = list(model.prompt_ids([request])[0])
        new: list[int] = []
        while len(new) < request.max_new_tokens:
            with torch.inference_mode():
                logits = loaded.model(
                    input_ids=torch.tensor([ids + new]), attention_mask=torch.ones(1, len(ids + new)), use_cache=False
                ).logits[0, -1:]
            token = int(part("sampling").draw_tokens(logits, [request.sampling], [len(new)]))
            if token in loaded.end_ids:
                break
            new.append(token)
        assert model.description.tokenizer.decode(new, skip_special_tokens=True) == alone[request.key].text


@pytest.mark.parametrize("fused", [True, False], ids=["fused", "transformers"])
def test_drafts_and_a_full_memory_change_no_draw(
    tiny_llama: Path, requests: list[Request], alone: dict[str, Response], monkeypatch: pytest.MonkeyPatch, fused: bool
) -> None:
    """Drafts are right, wrong or right at first in every step; later, three forward passes find no memory."""
    model: Any = MODELS.get("hf")(str(tiny_llama), ModelOptions(device="cpu"))
    engine = part("packed.verification").verify(part("checkpoint.loading").load(model.description, model.options), 200)
    engine = engine if fused else replace(engine, fused=None)
    prompts = list(part("tokens.rendering").render(model.description.tokenizer, requests, 320))
    lookup = part("packed.prompt_lookup").PromptLookup
    generator, outputs, accepted = random.Random(1), dict[str, list[int]](), list[int]()

    def remember(_self: object, sequence: Any) -> None:  # noqa: ANN401 - of the plugin
        outputs[sequence.prompt.request.key] = list(sequence.output_ids)

    def propose(self: Any, sequence: Any, _lengths: object) -> list[int]:  # noqa: ANN401 - of the plugin
        done, known = len(sequence.output_ids), outputs[sequence.prompt.request.key]
        left = sequence.prompt.max_new_tokens - done - 1
        self.ngram_lengths[sequence] = 1
        draft = known[done : done + min(3, left)]
        return [token if generator.random() < 0.8 else generator.randrange(5, 320) for token in draft]

    def answer(*, speculate: bool) -> dict[str, Response]:
        limit = part("limits").RowLimit(rows=9)
        found = part("packed.scheduler").generate_packed(engine, prompts, limit, speculate=speculate)
        return {each.key: each for each in found}

    monkeypatch.setattr(lookup, "forget", remember)
    assert answer(speculate=False) == alone
    monkeypatch.setattr(lookup, "_look_up", propose)
    monkeypatch.setattr(lookup, "record_acceptance", lambda _self, _sequence, _draft, count: accepted.append(count))
    assert answer(speculate=True) == alone
    assert {*accepted} == {0, 1, 2, 3}
    calls: list[int] = []
    forward = part("packed.forward").forward

    def full(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - of the plugin
        calls.append(len(arguments[1]))
        if len(calls) in (4, 9, 15):
            raise torch.OutOfMemoryError("no room")
        return forward(*arguments, **named)

    monkeypatch.setattr(part("packed.forward"), "forward", full)
    assert answer(speculate=True) == alone


@pytest.mark.slow
def test_several_devices_draw_what_one_does(
    tiny_llama: Path, requests: list[Request], alone: dict[str, Response]
) -> None:
    assert ask(tiny_llama, requests, device="cpu,cpu") == alone


@pytest.mark.slow
def test_the_packaged_model_draws_the_same_answers_in_both_engines() -> None:
    questions = [
        "Which river runs through Warsaw?", "Wer hat die Bibel übersetzt?", "¿Qué es un átomo?", "中国的首都是哪里?",
        "Name three fruits.", "Translate to French: good morning.", "What is 12 times 7?", "Write about the sea.",
    ]  # fmt: skip
    recommended = Sampling(temperature=0.7, top_p=0.95, top_k=40)
    asked = [
        Request(
            key=question, form=Form.CHAT, messages=(Message(role=Role.USER, text=question),), stop=(),
            max_new_tokens=40, sampling=sample_sampling(replace(recommended, seed=seed), question, 0),
        )
        for seed, question in enumerate(questions)
    ]  # fmt: skip
    found = []
    for engine in ("packed", "static"):
        model = MODELS.get("smollm2")("", ModelOptions(device="cpu", dtype="float32", engine=engine))
        found.append({each.key: each for each in model.answer(asked)})
        model.close()
    assert found[0] == found[1]
    assert all(each.text for each in found[0].values())
