"""The fused forward: both kinds of linear kernels, and a model whose modules compute the same with fused weights."""

import importlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import pytest
import torch
from safetensors.torch import load_file, save_file

from xlingual.plugin import ModelOptions
from xlingual.records import Request
from xlingual.registry import MODELS

IDS = torch.tensor([[5, 60, 7, 80, 9, 100, 11, 12, 13, 14, 15]])


def part(name: str) -> ModuleType:
    return importlib.import_module(f"xlingual.plugins.models.hf.{name}")


def test_the_modules_compute_the_same_after_their_weights_were_fused(tiny_llama: Path, prepacked: bool) -> None:
    opened: Any = MODELS.get("hf")(str(tiny_llama), ModelOptions(device="cpu"))
    engine = part("checkpoint.loading").load(opened.description, opened.options)
    with torch.inference_mode():
        before = engine.model(input_ids=IDS).logits
    tied = engine.model.get_input_embeddings().weight is engine.model.get_output_embeddings().weight
    ready = part("packed.verification").verify(engine, 100)
    linear = part("packed.linear")
    assert isinstance(ready.fused.layers[0].qkv, linear.PrepackedLinear if prepacked else linear.DenseLinear)
    with torch.inference_mode():
        assert torch.allclose(engine.model(input_ids=IDS).logits, before, atol=1e-5)
    assert (engine.model.get_input_embeddings().weight is engine.model.get_output_embeddings().weight) == tied
    assert part("packed.verification").verify(ready, 100) is ready


@pytest.mark.parametrize("tokens", [1, 2, 7, 8, 9, 16, 31, 32, 33, 65])
@pytest.mark.parametrize("bias", [True, False])
def test_kernels_with_any_number_of_tokens(tokens: int, bias: bool) -> None:
    linear = part("packed.linear")
    torch.manual_seed(1)
    inputs, weight = torch.randn(tokens, 24), torch.randn(40, 24)
    added = torch.randn(40) if bias else None
    expected = inputs.double() @ weight.double().t() + (added.double() if added is not None else 0.0)
    for kernel in (
        linear.DenseLinear(weight, added),
        linear.prepack(weight, added),
        linear.PrepackedLinear(weight, added),
    ):
        with torch.inference_mode():
            # In both memory layouts: a dense kernel returns some of its outputs transposed.
            for given in (inputs, inputs.t().contiguous().t()):
                assert torch.allclose(kernel(given).double(), expected, atol=1e-5)


def test_mapped_pages_are_released_and_values_stay(tmp_path: Path) -> None:
    memory = part("packed.memory")
    values = torch.arange(300_000, dtype=torch.float32)
    save_file({"a": values, "b": -values}, tmp_path / "x.safetensors")
    loaded = load_file(tmp_path / "x.safetensors")
    files = memory.mapped_safetensors()
    for each in loaded.values():
        memory.release_mapped_pages(each, files)
    # Memory of our own is never touched.
    own = values.clone()
    memory.release_mapped_pages(own, files)
    assert torch.equal(loaded["a"], values)
    assert torch.equal(loaded["b"], -values)
    assert torch.equal(own, values)


def test_lazy_zeros_take_memory_only_where_they_are_written_to() -> None:
    memory, process = part("packed.memory"), psutil.Process()
    before = process.memory_info().rss
    zeros = memory.lazy_zeros((64, 1024, 1024), torch.float32)  # 256 MiB
    assert (zeros.shape, zeros.dtype) == ((64, 1024, 1024), torch.float32)
    assert process.memory_info().rss - before < 64 * 2**20
    zeros[:16] = 1.0  # 64 MiB
    assert 48 * 2**20 < process.memory_info().rss - before < 128 * 2**20
    assert float(zeros[:16].sum()) == 16 * 2**20
    assert float(zeros[40].abs().max()) == 0.0
    assert memory.lazy_zeros((0, 3), torch.bfloat16).shape == (0, 3)


def test_both_kernels_answer_alike(tiny_llama: Path, text_request: Callable[..., Request], prepacked: bool) -> None:
    requests = [text_request(f"the quick brown fox {number}", max_new_tokens=12) for number in range(6)]
    fused: Any = MODELS.get("hf")(str(tiny_llama), ModelOptions(device="cpu"))
    plain: Any = MODELS.get("hf")(str(tiny_llama), ModelOptions(device="cpu", engine="static"))
    found = {each.key: each for each in fused.answer(requests)}
    assert fused.loaded.fused is not None
    assert {each.key: each for each in plain.answer(requests)} == found
    # Static batches, by modules whose weights were fused.
    fused.options = replace(fused.options, engine="static")
    assert {each.key: each for each in fused.answer(requests)} == found
