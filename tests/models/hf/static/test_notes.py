"""Static batches that are halved say so, in generation and in scoring, once for each change."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from xlingual.plugin import ModelOptions
from xlingual.records import Choice, Request
from xlingual.registry import MODELS

MakeRequest = Callable[..., Request]
WORDS = [f"the fox {letter}" for letter in "abcdefgh"]


def part(name: str) -> Any:  # noqa: ANN401 - a module of the plugin, which is none of the public names
    return importlib.import_module(f"xlingual.plugins.models.hf.{name}")


@pytest.fixture(params=["generation", "scoring"])
def requests(request: pytest.FixtureRequest, text_request: MakeRequest) -> list[Request]:
    """Eight prompts, or eight questions with a choice, so that eight texts go through the model."""
    if request.param == "generation":
        return [text_request(word, max_new_tokens=1) for word in WORDS]
    choices = (Choice(text=" jumps"),)
    return [Request(key=each.key, form=each.form, messages=each.messages, stop=(), max_new_tokens=0, choices=choices)
            for each in map(text_request, WORDS)]  # fmt: skip


def ask(
    tiny_llama: Path, requests: list[Request], fails: Callable[[torch.Tensor], None]
) -> tuple[list[str], dict[str, str]]:
    """Answer in static batches of eight; return the notes, and the kinds of failures by key."""
    model: Any = MODELS.get("hf")(str(tiny_llama), ModelOptions(device="cpu", engine="static", batch_size=8))
    model.loaded = part("checkpoint.loading").load(model.description, model.options)
    model.loaded.model.get_input_embeddings().register_forward_pre_hook(lambda _module, args: fails(args[0]))
    notes: list[str] = []
    model.on_note(notes.append)
    found = list(model.answer(requests))
    assert len(found) == len(requests)
    return notes, {each.key: each.failure.kind for each in found if each.failure is not None}


def test_short_memory_is_said_with_every_lower_limit(tiny_llama: Path, requests: list[Request]) -> None:
    def full_beyond_two(ids: torch.Tensor) -> None:
        if len(ids) > 2:
            raise torch.OutOfMemoryError("the memory holds two rows")

    notes, failures = ask(tiny_llama, requests, full_beyond_two)
    said = "out of memory: {} prompts are answered together from now on, not {}"
    assert notes == [said.format(4, 8), said.format(2, 4)]
    assert failures == {}


def test_another_error_is_said_once_though_it_takes_three_halvings(tiny_llama: Path, requests: list[Request]) -> None:
    [end] = part("checkpoint.description").describe(str(tiny_llama), ModelOptions()).tokenizer.encode("d")

    def refuse_d(ids: torch.Tensor) -> None:
        if (ids == end).any():
            raise IndexError("index out of range in self\nand a second line")

    notes, failures = ask(tiny_llama, requests, refuse_d)
    reason = "IndexError: index out of range in self"
    assert notes == [f"a batch of 8 failed ({reason}); it is halved until what fails is alone"]
    assert failures == {"the fox d": "IndexError"}
