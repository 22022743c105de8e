"""A request is tokenized once, from planning to the process that answers it, and with the same result each time."""

import importlib
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from xlingual.errors import ModelError
from xlingual.plugin import ModelOptions
from xlingual.records import Choice, Failure, Form, Request
from xlingual.registry import MODELS

MakeRequest = Callable[..., Request]
LOG = "TOKENIZED_LOG"


def part(name: str) -> Any:  # noqa: ANN401 - a module of the plugin, which is none of the public names
    return importlib.import_module(f"xlingual.plugins.models.hf.{name}")


def opened(folder: Path, device: str = "cpu") -> Any:  # noqa: ANN401 - of the plugin
    return MODELS.get("hf")(str(folder), ModelOptions(device=device))


def watch(log: Path) -> None:
    """Keep a line for every text that any tokenizer of this process is given."""
    call = PreTrainedTokenizerFast.__call__

    def watched(self: object, text: Sequence[str], **named: object) -> object:
        with log.open("a", encoding="utf-8") as stream:
            stream.writelines(f"{each!r}\n" for each in text)
        return call(self, text, **named)

    PreTrainedTokenizerFast.__call__ = watched


def run_watched_worker(setup: Any, pipe: Any) -> None:  # noqa: ANN401 - of the plugin
    watch(Path(os.environ[LOG]))
    part("devices.workers").run_worker(setup, pipe)


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Names the file with what tokenizers are given, in this process and in those of devices."""
    path = tmp_path / "tokenized"
    monkeypatch.setenv(LOG, str(path))
    monkeypatch.setattr(PreTrainedTokenizerFast, "__call__", PreTrainedTokenizerFast.__call__)
    monkeypatch.setattr(part("devices.workers"), "run_worker", run_watched_worker)
    return path


@pytest.fixture
def mixed(text_request: MakeRequest) -> list[Request]:
    """Texts, chats and choices; one asked twice under another key, as a plan does it; a whole text; one without any."""
    texts = [text_request(f"the fox {number}", max_new_tokens=2) for number in range(4)]
    chats = [text_request(f"Where {number}?", form=Form.CHAT, max_new_tokens=2) for number in range(2)]
    choices = tuple(Choice(text=text) for text in (" jumps", " over the dog"))
    scored = [replace(text_request(f"a dog {number}", max_new_tokens=0), choices=choices) for number in range(3)]
    whole = replace(text_request("whole", max_new_tokens=0), messages=(), choices=(Choice(text="Warszawa is"),))
    return [*texts, replace(texts[0], key="again"), *chats, *scored, whole, text_request("")]


def answers(model: Any, requests: Sequence[Request]) -> dict[str, object]:  # noqa: ANN401 - of the plugin
    found: dict[str, object] = {}
    for each in model.answer(requests):
        likelihoods = [pytest.approx(one.logarithm, abs=1e-4) for one in each.likelihoods or ()]
        found[each.key] = (each.text, each.failure, each.finish, each.prompt_tokens, likelihoods)
    assert len(found) == len(requests)
    return found


@pytest.mark.parametrize("device", ["cpu", "cpu,cpu"])
def test_no_text_is_tokenized_twice(tiny_llama: Path, mixed: list[Request], log: Path, device: str) -> None:
    expected = answers(opened(tiny_llama), mixed)
    model = opened(tiny_llama, device)
    watch(log)
    counts = model.count_tokens(mixed)
    assert model.count_tokens(mixed) == counts
    found = answers(model, mixed)
    model.close()
    assert found == expected
    probes = importlib.import_module("xlingual.plugins.models.hf.checkpoint.tokenizer_files").PROBES
    lines = Counter(log.read_text(encoding="utf-8").splitlines())
    assert lines.pop("'a'") <= 4, "what a tokenizer puts around a text is found with a text of one letter"
    twice = [text for text, times in lines.items() if times > 1]
    assert set(twice) <= {repr(each) for each in probes}, "each process compares the tokenizer with its file"
    assert "'the fox 3'" in lines
    assert "'a dog 1 jumps'" in lines


def test_the_cache_is_bounded_and_what_it_evicts_is_tokenized_again(
    tiny_llama: Path, text_request: MakeRequest
) -> None:
    model = opened(tiny_llama)
    module = part("tokens.cache")
    requests = [text_request(f"the fox {number}", max_new_tokens=1) for number in range(20)]
    expected = answers(model, requests)
    cache = model.tokens = module.TokenCache(model.description.tokenizer_context, max_bytes=8 * module.ARRAY_BYTES)
    model.count_tokens(requests)
    assert 0 < len(cache.entries) < 8
    assert cache.size <= cache.max_bytes
    assert answers(model, requests) == expected
    assert (cache.entries, cache.size) == ({}, 0)
    model.count_tokens(requests)
    model.close()
    assert (cache.entries, cache.size) == ({}, 0)


def test_failures_are_cached_too_and_none_of_all_is_still_an_error(tiny_llama: Path, text_request: MakeRequest) -> None:
    model = opened(tiny_llama)
    empty, good = text_request(""), text_request("the fox", max_new_tokens=1)
    assert model.count_tokens([empty, good]) == [0, 5]
    with pytest.raises(ModelError, match="none of 1 requests: empty prompt"):
        list(model.answer([empty]))
    model.count_tokens([empty, good])
    found = {each.key: each.failure for each in model.answer([empty, good])}
    assert found == {"": Failure(kind="empty prompt", message="the prompt has no token to continue from"),
                     "the fox": None}  # fmt: skip


def test_what_a_failure_says_and_choices_without_windows_count_too(tiny_llama: Path) -> None:
    module = part("tokens.cache")
    cache = module.TokenCache(opened(tiny_llama).description.tokenizer_context, max_bytes=10 * module.ARRAY_BYTES)
    for number in range(100):
        cache._add(bytes([1, number]), Failure(kind="chat template", message="no " * 200))
        assert len(cache.entries) <= 3
    for number in range(100):
        cache._add(bytes([2, number]), module._Choices((), 0))
    assert len(cache.entries) <= 10


def test_requests_that_differ_in_any_part_are_told_apart(tiny_llama: Path, text_request: MakeRequest) -> None:
    plain = text_request("a", max_new_tokens=0)
    variants = [
        plain,
        replace(plain, form=Form.CHAT),
        replace(plain, messages=(*plain.messages, *plain.messages)),
        replace(plain, choices=(Choice(text=" b"),)),
        replace(plain, choices=(Choice(text=" b"), Choice(text=" the lazy dog"))),
        replace(plain, choices=(Choice(text="the quick brown fox", before=" b"),)),
    ]
    model = opened(tiny_llama)
    alone = [opened(tiny_llama).count_tokens([each])[0] for each in variants]
    assert model.count_tokens(variants) == alone == model.count_tokens(variants)
    assert len(model.tokens.entries) == len(variants)


def test_whole_texts_are_scored_on_two_devices(tiny_llama: Path, text_request: MakeRequest) -> None:
    """Nothing stands before them, which is no prompt that cannot be rendered."""
    requests = [
        replace(text_request(text, max_new_tokens=0), messages=(), choices=(Choice(text=text),))
        for text in ("Warszawa is the capital", "the lazy dog")
    ]
    expected = answers(opened(tiny_llama), requests)
    model = opened(tiny_llama, "cpu,cpu")
    assert answers(model, requests) == expected
    model.close()
