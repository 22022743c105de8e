"""A model's tokens and files, as tuning takes them."""

import importlib
from collections.abc import Callable
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from xlingual.errors import ModelError
from xlingual.plugin import Model, ModelOptions, Trainable
from xlingual.records import Form, Request
from xlingual.registry import MODELS

MakeRequest = Callable[..., Request]


@pytest.fixture
def model(tiny_llama: Path) -> Model:
    return MODELS.get("hf")(str(tiny_llama), ModelOptions(device="cpu"))


def test_prompts_are_those_of_the_answers(model: Model, text_request: MakeRequest) -> None:
    assert isinstance(model, Trainable)
    requests = [text_request("The fox"), text_request("Where?", form=Form.CHAT)]
    ids = model.prompt_ids(requests)
    assert [len(each) for each in ids if isinstance(each, tuple)] == model.count_tokens(requests)
    assert isinstance(ids[1], tuple)
    assert model.text_of(ids[1]) == "<|user|>Where?</s><|assistant|>"


def test_answers_are_encoded_apart_and_end(model: Model, tiny_llama: Path) -> None:
    assert isinstance(model, Trainable)
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    texts = ["北京。", "the lazy dog", ""]
    expected = [(*tokenizer.encode(text, add_special_tokens=False), tokenizer.eos_token_id) for text in texts]
    assert model.answer_ids(texts) == expected


def test_the_files_load(model: Model) -> None:
    assert isinstance(model, Trainable)
    loaded = AutoModelForCausalLM.from_pretrained(model.weights())
    assert loaded.config.vocab_size == len(AutoTokenizer.from_pretrained(model.tokenizer_files()))


def test_an_answer_needs_an_end(tiny_llama: Path) -> None:
    encode_answers = importlib.import_module("xlingual.plugins.models.hf.tokens.rendering").encode_answers
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    tokenizer.eos_token = None
    assert encode_answers(tokenizer, ["a"], (4,))[0][-1] == 4
    with pytest.raises(ModelError, match="no end token"):
        encode_answers(tokenizer, ["a"], ())


def test_echo_is_not_trainable() -> None:
    assert not isinstance(MODELS.get("echo")("", ModelOptions()), Trainable)
