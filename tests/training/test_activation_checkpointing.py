"""Activation checkpointing trains the same weights to the bit, and keeps one tensor of a layer."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import Gemma3TextConfig, LlamaConfig, PreTrainedConfig, Qwen3Config

from xlingual.decoder.loading import auto_class
from xlingual.training import attention
from xlingual.training.attention import NAME
from xlingual.training.batches import build_batch, loss_normalizer
from xlingual.training.loss import ModelWithLoss
from xlingual.training.parallel import wrap_layers
from xlingual.tune.recipe_records import Norm, Tuning

from .conftest import VOCABULARY, MakeRun, column, largest_difference, make_plan, make_rows

SHAPE = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4, "head_dim": 8,
    "num_key_value_heads": 2, "max_position_embeddings": 256, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
    "initializer_range": 0.15,
}  # fmt: skip
FAMILIES: dict[str, Callable[[int], PreTrainedConfig]] = {
    "llama": lambda layers: LlamaConfig(**SHAPE, num_hidden_layers=layers),
    "gemma3": lambda layers: Gemma3TextConfig(
        **SHAPE, num_hidden_layers=layers, sliding_window=6, query_pre_attn_scalar=8
    ),
    "qwen3": lambda layers: Qwen3Config(**SHAPE, num_hidden_layers=layers),
}


def _base(folder: Path, config: PreTrainedConfig) -> Path:
    torch.manual_seed(2)
    auto_class(config).from_config(config).save_pretrained(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("family", FAMILIES)
def test_losses_and_weights_are_the_same_to_the_bit(family: str, ranks: int, make_run: MakeRun, tmp_path: Path) -> None:
    base, plan = _base(tmp_path / "base", FAMILIES[family](2)), make_plan(make_rows(), steps=4)
    plain, checkpointed = make_run("plain", plan, base=base), make_run("checkpointed", plan, base=base)
    expected, found = plain.run(ranks), checkpointed.run(ranks, activation_checkpointing=True)
    for name in ("loss", "gradient_norm"):
        assert column(found, name) == column(expected, name)
    assert largest_difference(plain.weights(), checkpointed.weights()) == 0.0
    assert largest_difference(load_file(base / "model.safetensors"), plain.weights()) > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_adapter_with_dropout(dtype: str, make_run: MakeRun) -> None:
    plan = make_plan(make_rows(), steps=4, kind=Tuning.LORA)
    assert plan.recipe.method.dropout > 0
    plain, checkpointed = make_run("plain", plan), make_run("checkpointed", plan)
    expected = plain.run(1, merge=True, dtype=dtype)
    found = checkpointed.run(1, merge=True, dtype=dtype, activation_checkpointing=True)
    assert column(found, "loss") == column(expected, "loss")
    assert largest_difference(plain.weights(), checkpointed.weights()) == 0.0


@pytest.mark.slow
def test_it_can_be_changed_on_a_resume(make_run: MakeRun) -> None:
    plan = make_plan(make_rows(), steps=6)
    plain, changed = make_run("plain", plan), make_run("changed", plan)
    plain.run(1)
    changed.run(1, max_steps=3, activation_checkpointing=True)
    changed.run(1)
    assert largest_difference(plain.weights(), changed.weights()) == 0.0


def _saved_bytes(family: str, layers: int, *, checkpointed: bool) -> tuple[int, int]:
    """Return the bytes that the forward pass of a pack keeps for the backward pass, and the tokens of the pack."""
    torch.manual_seed(2)
    config = FAMILIES[family](layers)
    attention.register()
    model = ModelWithLoss(auto_class(config).from_config(config)).train()
    model.language_model.set_attn_implementation(NAME)
    wrap_layers(model, compiled=False, checkpointed=checkpointed)
    rows = make_rows(6)
    batch = build_batch(rows, range(6), loss_normalizer([1] * 6, Norm.TOKEN, 2), torch.device("cpu"))
    weights = {each.untyped_storage().data_ptr() for each in model.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage  # and is not freed: no other gets its address
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        losses = model(batch)
    torch.autograd.backward((losses * batch.loss_weights).sum())
    return sum(each.nbytes() for each in kept.values()), batch.input_ids.numel()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_layer_keeps_its_input_alone(family: str) -> None:
    """What `tune plan` prices: bytes x width for each token and layer; float32 here."""
    few, tokens = _saved_bytes(family, 2, checkpointed=True)
    many, _ = _saved_bytes(family, 6, checkpointed=True)
    assert many - few == 4 * tokens * 32 * 4
    plain_few, _ = _saved_bytes(family, 2, checkpointed=False)
    plain_many, _ = _saved_bytes(family, 6, checkpointed=False)
    assert plain_many - plain_few > 10 * (many - few)


def test_the_schedule_of_a_plan_is_kept(make_run: MakeRun) -> None:
    plan = make_plan(make_rows(), steps=4)
    schedule = replace(plan.recipe.schedule, learning_rate=1e-3)
    run = make_run("rates", replace(plan, recipe=replace(plan.recipe, schedule=schedule)))
    assert column(run.run(1, max_steps=2), "learning_rate") == pytest.approx([1e-3, 0.8535533906e-3])
