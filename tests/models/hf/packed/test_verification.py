"""Which models the packed engine takes, and that the others are answered all the same."""

import importlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from transformers import (
    AutoTokenizer,
    DogeConfig,
    DogeForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    Ministral3Config,
    Ministral3ForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from xlingual.plugin import ModelOptions
from xlingual.records import Request
from xlingual.registry import MODELS


def part(name: str) -> ModuleType:
    """Return a module of the plugin, which is none of the public names."""
    return importlib.import_module(f"xlingual.plugins.models.hf.{name}")


def test_a_model_is_verified_once(tiny_llama: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not with every task; but how long its texts may be is asked each time."""
    verification = part("packed.verification")
    checks: list[object] = []
    matches = verification._matches_reference

    def watched(engine: object, reference: object) -> object:
        checks.append(engine)
        return matches(engine, reference)

    monkeypatch.setattr(verification, "_matches_reference", watched)
    opened: Any = MODELS.get("hf")(str(tiny_llama), ModelOptions(device="cpu"))
    first = verification.verify(part("checkpoint.loading").load(opened.description, opened.options), 100)
    assert verification.verify(first, 200) is first
    assert len(checks) == 1
    monkeypatch.setattr(verification, "longest_packed_text", lambda _config: 200)
    assert verification.verify(first, 201) is None


def tiny(name: str) -> Any:  # noqa: ANN401 - of transformers
    """Return a random model of another architecture, on the vocabulary of the tiny Llama."""
    size: dict[str, Any] = {
        "vocab_size": 320, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "initializer_range": 0.6, "max_position_embeddings": 256,
        "bos_token_id": None, "eos_token_id": None, "pad_token_id": 0,
    }  # fmt: skip
    torch.manual_seed(5)
    if name == "gpt2":
        return GPT2LMHeadModel(GPT2Config(vocab_size=320, n_positions=256, n_embd=32, n_layer=2, n_head=4))
    if name.startswith("doge"):
        return DogeForCausalLM(DogeConfig(**size, keep_window_size=int(name.removeprefix("doge-"))))
    if name.startswith("chunks"):
        # transformers' KV cache drops what is older, whatever the architecture.
        return Qwen3ForCausalLM(
            Qwen3Config(**size, head_dim=16, attention_chunk_size=int(name.removeprefix("chunks-")))
        )
    if name == "qwen2":
        return Qwen2ForCausalLM(Qwen2Config(**size))
    if name == "qwen3":
        return Qwen3ForCausalLM(Qwen3Config(**size, head_dim=16))
    if name == "gemma2":
        return Gemma2ForCausalLM(Gemma2Config(**size, head_dim=8))
    if name.startswith("ministral3"):
        # Queries are scaled by their position, from the 17th or the 65th on.
        original = int(name.removeprefix("ministral3-"))
        yarn = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": original,
                "llama_4_scaling_beta": 0.5}  # fmt: skip
        return Ministral3ForCausalLM(Ministral3Config(**size, head_dim=8, rope_parameters=yarn))
    dynamic, default = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}, {"rope_theta": 1e4}
    if name.startswith("dynamic"):
        # Angles grow with texts that are longer than this.
        size["max_position_embeddings"] = int(name.removeprefix("dynamic-")) + 1
        return Qwen2ForCausalLM(Qwen2Config(**size, rope_parameters=dynamic))
    if name.startswith("gemma3"):
        # Rotary embeddings of their own for each type of layer.
        ropes = {"full_attention": dynamic if name == "gemma3-dynamic" else default, "sliding_attention": default}
        types = ["sliding_attention", "full_attention"]
        return Gemma3ForCausalLM(
            Gemma3TextConfig(**size, head_dim=8, layer_types=types, rope_parameters=ropes, sliding_window=255)
        )
    return MistralForCausalLM(MistralConfig(**size, sliding_window=int(name.removeprefix("mistral-"))))


@pytest.mark.parametrize(
    ("name", "supported"),
    [
        ("qwen2", True), ("qwen3", True), ("mistral-255", True), ("mistral-100", True), ("gemma2", True),
        ("dynamic-200", False), ("dynamic-400", True), ("gemma3", True), ("gemma3-dynamic", True), ("gpt2", True),
        ("ministral3-16", True), ("ministral3-64", True), ("doge-250", True), ("doge-32", False),
        ("chunks-250", True), ("chunks-32", False),
    ],
)  # fmt: skip
def test_every_architecture_is_answered_and_the_engine_takes_what_it_can(
    tiny_llama: Path, tmp_path: Path, text_request: Callable[..., Request], name: str, supported: bool | None
) -> None:
    tiny(name).eval().save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny_llama).save_pretrained(tmp_path)
    opened: Any = MODELS.get("hf")(str(tmp_path), ModelOptions(device="cpu"))
    engine = part("checkpoint.loading").load(opened.description, opened.options)
    found = part("packed.verification").verify(engine, 250)
    assert (found is not None) == supported or supported is None
    # Neither Qwen3's norms of queries and keys nor Ministral 3's scale are Llama's: transformers computes the layers.
    assert (found is not None and found.fused is not None) == (
        name in ("qwen2", "mistral-255", "mistral-100", "dynamic-400")
    )
    words = ["the lazy dog jumps over the quick brown fox " * 3 + each for each in ("now", "then", "here and there")]
    requests = [text_request(each, max_new_tokens=9) for each in words]
    packed = {response.key: response for response in opened.answer(requests)}
    opened.options = replace(opened.options, engine="static")
    assert {response.key: response for response in opened.answer(requests)} == packed
    assert all(response.failure is None for response in packed.values())
