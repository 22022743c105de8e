"""Rotary angles that depend on the longest text of a forward pass: no answer depends on the texts beside it."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
)

from xlingual.plugin import ModelOptions
from xlingual.records import Choice, Form, Message, Request, Role
from xlingual.registry import MODELS

ORIGINAL = 48
SIZE: dict[str, Any] = {
    "vocab_size": 320, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "initializer_range": 0.6, "bos_token_id": None, "eos_token_id": None, "pad_token_id": 0,
}  # fmt: skip
LONG = {
    "rope_type": "longrope", "rope_theta": 1e4, "factor": 8.0, "original_max_position_embeddings": ORIGINAL,
    "short_factor": [1.0, 1.1, 1.2, 1.3], "long_factor": [3.0, 4.0, 5.0, 6.0],
}  # fmt: skip
DYNAMIC = {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 4.0}
"""Beyond `max_position_embeddings`, which answers reach that begin before it."""
COUNTS = (3, 20, 26, 27, 40, 44, 44, 47)
"""Words of the prompts: with 9 more tokens some stay below ORIGINAL, some go beyond it, some begin beyond it."""
NEW = 9


def part(name: str) -> Any:  # noqa: ANN401 - a module of the plugin, which is none of the public names
    return importlib.import_module(f"xlingual.plugins.models.hf.{name}")


@pytest.fixture(params=["longrope", "dynamic"])
def folder(request: pytest.FixtureRequest, tiny_llama: Path, tmp_path: Path) -> Path:
    torch.manual_seed(5)
    model: Any
    if request.param == "longrope":
        model = Phi3ForCausalLM(
            Phi3Config(
                **SIZE, max_position_embeddings=256, original_max_position_embeddings=ORIGINAL, rope_parameters=LONG
            )
        )
    else:
        model = LlamaForCausalLM(LlamaConfig(**SIZE, max_position_embeddings=ORIGINAL, rope_parameters=DYNAMIC))
    model.eval().save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny_llama).save_pretrained(tmp_path)
    return tmp_path


def texts(folder: Path) -> list[str]:
    """Return prompts of about COUNTS tokens, which the context of the model holds, and beyond it for longrope."""
    counts = COUNTS if "dynamic" in (folder / "config.json").read_text(encoding="utf-8") else (*COUNTS, 60, 90, 91)
    return [f"{chr(97 + index)}" + "x" * (count - 1) for index, count in enumerate(counts)]


def alone(folder: Path, text: str) -> str:
    """Return the answer of `generate` of a model that has answered nothing before."""
    model: Any = AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    ids = torch.tensor([tokenizer(text)["input_ids"]])
    settings = GenerationConfig(do_sample=False, max_new_tokens=NEW, eos_token_id=2, pad_token_id=0)
    found = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), generation_config=settings)
    return str(tokenizer.decode(found[0, ids.shape[1] :], skip_special_tokens=True))


@pytest.mark.parametrize("engine", ["packed", "static", "paged"])
def test_a_prompt_is_answered_as_by_itself(folder: Path, text_request: Callable[..., Request], engine: str) -> None:
    opened: Any = MODELS.get("hf")(str(folder), ModelOptions(device="cpu", engine=engine))
    asked = texts(folder)
    found = {each.key: each.text for each in opened.answer([text_request(each, max_new_tokens=NEW) for each in asked])}
    opened.close()
    assert found == {each: alone(folder, each) for each in asked}


@pytest.mark.slow
def test_a_choice_is_scored_as_by_itself(folder: Path) -> None:
    opened: Any = MODELS.get("hf")(str(folder), ModelOptions(device="cpu"))
    requests = [
        Request(key=each, form=Form.TEXT, messages=(Message(role=Role.USER, text=each),), stop=(), max_new_tokens=0,
                choices=(Choice(text=" fox"), Choice(text=" dog")))
        for each in texts(folder)
    ]  # fmt: skip
    together = {each.key: [one.logarithm for one in each.likelihoods] for each in opened.answer(requests)}
    for request in requests:
        opened.close()
        [response] = opened.answer([request])
        assert [one.logarithm for one in response.likelihoods] == pytest.approx(together[request.key], abs=1e-4)


@pytest.mark.parametrize(
    ("tokens", "new", "key"), [(40, 8, (-1,)), (41, 8, (41,)), (48, 1, (48,)), (49, 8, (-2,)), (900, 8, (-2,))]
)
def test_who_shares_a_batch(tokens: int, new: int, key: tuple[int, ...]) -> None:
    lengths = part("rope_lengths")
    config = Phi3Config(**SIZE, original_max_position_embeddings=ORIGINAL, rope_parameters=LONG)
    assert lengths.batch_key(config, tokens, new) == key
    assert lengths.batch_key(LlamaConfig(**SIZE), tokens, new) == ()


def test_the_fingerprint_of_the_paged_engine_says_from_where_on_static_batches_answer() -> None:
    arithmetic = part("checkpoint.description")._arithmetic
    config = Phi3Config(**SIZE, original_max_position_embeddings=ORIGINAL, rope_parameters=LONG)
    found = arithmetic("bfloat16", ModelOptions(engine="paged"), config)
    assert (found["engine"], found["static_beyond"]) == ("paged", ORIGINAL)
