"""Sizes of published models, and the arithmetic of the estimate by hand."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from xlingual.tune.cost import MemorySavers, Shape, estimate_cost, read_shape
from xlingual.tune.recipe import find_recipe
from xlingual.tune.recipe_records import Method, Tuning
from xlingual.tune.records import MixPlan
from xlingual.tune.schedule_records import OptimizerName, Quantization
from xlingual.tune.vocabulary import Vocabulary

from .conftest import DataFolder

LLAMA_7B = {
    "hidden_size": 4096, "num_hidden_layers": 32, "intermediate_size": 11008, "num_attention_heads": 32,
    "vocab_size": 32000, "tie_word_embeddings": False,
}  # fmt: skip
SMOLLM2_135M = {
    "hidden_size": 576, "num_hidden_layers": 30, "intermediate_size": 1536, "num_attention_heads": 9,
    "num_key_value_heads": 3, "vocab_size": 49152, "tie_word_embeddings": True,
}  # fmt: skip


def shape_of(folder: Path, config: Mapping[str, object]) -> Shape:
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    shape = read_shape(folder)
    assert shape is not None
    return shape


def test_published_sizes(tmp_path: Path) -> None:
    llama = shape_of(tmp_path, LLAMA_7B)
    assert llama.weights == 6_738_415_616  # as its model card has it
    assert llama.matrices == 6_607_077_376
    assert shape_of(tmp_path, SMOLLM2_135M).weights == 134_515_008
    assert shape_of(tmp_path, {"text_config": LLAMA_7B}) == llama


def test_other_shapes_are_not_guessed(tmp_path: Path) -> None:
    assert read_shape(tmp_path) is None
    (tmp_path / "config.json").write_text('{"n_embd": 768}', encoding="utf-8")
    assert read_shape(tmp_path) is None


@pytest.fixture
def plan(data_folder: DataFolder) -> MixPlan:
    data_folder.write("b.en", "One.\n")
    data_folder.write("b.zh", "一。\n")
    made = data_folder.plan(
        data_folder.recipe('[sources.b]\nreader = "parallel"\npath = "b.{language}"\ndirection = "en-zh"\n')
    )
    # x-LLaMA (zh): 1.0065 M rows of 155 tokens, three epochs.
    recipe = find_recipe("x-llama-zh")
    return replace(made.plan, recipe=recipe, rows=1_006_500, tokens=1_006_500 * 155, pack_length=8192)


def test_a_7b_model_on_8_a100(plan: MixPlan, tmp_path: Path) -> None:
    cost = estimate_cost(plan, shape_of(tmp_path, LLAMA_7B), "8xA100")
    operations = 6 * 6_607_077_376 + 12 * 32 * 4096 * 155 / 2
    assert operations == pytest.approx(39.76e9, rel=1e-3)
    assert cost.tokens_per_second == pytest.approx(8 * 312e12 * 0.5 / operations)
    assert cost.tokens_per_second / 8 == pytest.approx(3_923, abs=1)
    assert cost.hours == pytest.approx(4.14, abs=0.01)
    assert cost.memory == pytest.approx(16 * 6_738_415_616 / 8 + 34 * 4096 * 32 * 8192)
    assert cost.fits
    assert cost.gpus == "8 x A100"


def test_one_gpu_does_not_hold_all_states_but_an_adapter(plan: MixPlan, tmp_path: Path) -> None:
    shape = shape_of(tmp_path, LLAMA_7B)
    assert not estimate_cost(plan, shape, "h100").fits
    lora = Method(kind=Tuning.LORA, rank=8, alpha=16.0, dropout=0.0, targets=("all-linear",))
    adapter = estimate_cost(replace(plan, recipe=replace(plan.recipe, method=lora)), shape, "H100")
    assert adapter.fits
    assert adapter.memory == pytest.approx(2 * 6_738_415_616 + 16 * 8 * 2_498_560 + 34 * 4096 * 32 * 8192)
    assert adapter.tokens_per_second == pytest.approx(0.4 * 989e12 / (4 * 6_607_077_376 + 12 * 32 * 4096 * 155 / 3))


WEIGHTS, MATRICES, EMBEDDINGS = 6_738_415_616, 6_607_077_376, 32_000 * 4096
ATTENTION = 12 * 32 * 4096 * 155 / 2


def test_activation_checkpointing_trades_memory_for_work(plan: MixPlan, tmp_path: Path) -> None:
    shape = shape_of(tmp_path, LLAMA_7B)
    cost = estimate_cost(plan, shape, "8xA100", MemorySavers(activation_checkpointing=True))
    assert cost.memory == pytest.approx(16 * WEIGHTS / 8 + (2 * 32 + 34) * 4096 * 8192)
    operations = (
        6 * MATRICES + ATTENTION + 2 * (MATRICES - EMBEDDINGS) + ATTENTION / 3
    )  # the head is not computed again
    assert cost.tokens_per_second == pytest.approx(8 * 312e12 * 0.5 / operations)
    assert cost.host_memory is None


def test_offloaded_moments_are_in_the_memory_of_the_machine(plan: MixPlan, tmp_path: Path) -> None:
    shape = shape_of(tmp_path, LLAMA_7B)
    cost = estimate_cost(plan, shape, "8xA100", MemorySavers(cpu_offload=True))
    assert cost.memory == pytest.approx(8 * WEIGHTS / 8 + 34 * 4096 * 32 * 8192)
    assert cost.host_memory == pytest.approx(8 * WEIGHTS / 8)
    assert cost.tokens_per_second == estimate_cost(plan, shape, "8xA100").tokens_per_second


@pytest.mark.parametrize(
    ("name", "on_gpu", "on_host"), [("adamw-8bit", 10 * WEIGHTS, None), ("paged-adamw-8bit", 8 * WEIGHTS, 2 * WEIGHTS)]
)
def test_moments_of_8_bits(name: str, on_gpu: int, on_host: int | None, plan: MixPlan, tmp_path: Path) -> None:
    schedule = replace(plan.recipe.schedule, optimizer=OptimizerName(name))
    changed = replace(plan, recipe=replace(plan.recipe, schedule=schedule))
    cost = estimate_cost(changed, shape_of(tmp_path, LLAMA_7B), "H100")
    assert cost.memory == pytest.approx(on_gpu + 34 * 4096 * 32 * 8192)
    assert cost.host_memory == (None if on_host is None else pytest.approx(on_host))


def test_a_base_in_nf4(plan: MixPlan, tmp_path: Path) -> None:
    method = Method(
        kind=Tuning.LORA, rank=8, alpha=16.0, dropout=0.0, targets=("all-linear",), quantize=Quantization.NF4
    )
    cost = estimate_cost(
        replace(plan, recipe=replace(plan.recipe, method=method)), shape_of(tmp_path, LLAMA_7B), "A100"
    )
    blocks = MATRICES - EMBEDDINGS
    # 4 bits a weight, 8 bits for 64 weights, 32 bits for 256 of these.
    quantized = blocks * (4 + 8 / 64 + 32 / (64 * 256)) / 8
    frozen = quantized + 2 * (WEIGHTS - blocks)
    assert cost.memory == pytest.approx(frozen + 16 * 8 * 2_498_560 + 34 * 4096 * 32 * 8192, rel=1e-4)


def test_embeddings_beside_an_adapter_are_trained(plan: MixPlan, tmp_path: Path) -> None:
    method = Method(kind=Tuning.LORA, rank=8, alpha=16.0, dropout=0.0, targets=("all-linear",))
    recipe = replace(plan.recipe, method=method)
    shape = shape_of(tmp_path, LLAMA_7B)
    alone = estimate_cost(replace(plan, recipe=recipe), shape, "A100")
    recipe = replace(recipe, vocabulary=Vocabulary(tokens=None, train=100))
    cost = estimate_cost(replace(plan, recipe=recipe), shape, "A100")
    assert cost.memory - alone.memory == pytest.approx(
        2 * EMBEDDINGS * (16 - 2)
    )  # head and embeddings, no longer frozen
