"""Trainings on 1, 2 and 4 ranks, real processes, have the same losses, gradient norms and weights."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from xlingual.tune.recipe_records import Method, Norm, Tuning
from xlingual.tune.records import MixPlan

from .conftest import MakeRun, TrainingRun, column, largest_difference, make_llama, make_plan, make_rows

STEPS = 4


def _plan(kind: Tuning = Tuning.FULL, norm: Norm = Norm.TOKEN, dropout: float = 0.0) -> MixPlan:
    plan = make_plan(make_rows(), steps=STEPS, norm=norm, kind=kind)
    method: Method = replace(plan.recipe.method, dropout=dropout)
    return replace(plan, recipe=replace(plan.recipe, method=method))


def _expect_same(one: TrainingRun, other: TrainingRun) -> None:
    """Pitfall 6: AdamW hides a gradient that is averaged instead of summed; its norm does not."""
    first, second = one.steps(), other.steps()
    assert len(first) == len(second) == STEPS
    assert column(first, "loss") == pytest.approx(column(second, "loss"), rel=1e-5)
    assert column(first, "gradient_norm") == pytest.approx(column(second, "gradient_norm"), rel=1e-5)


@pytest.mark.slow
def test_world_sizes_train_the_same_weights(make_run: MakeRun) -> None:
    runs = {ranks: make_run(f"on{ranks}", _plan()) for ranks in (1, 2, 4)}
    for ranks, each in runs.items():
        each.run(ranks)
    for ranks in (2, 4):
        _expect_same(runs[1], runs[ranks])
        assert largest_difference(runs[1].weights(), runs[ranks].weights()) < 5e-6
    before = load_file(runs[1].base / "model.safetensors")
    assert largest_difference(before, runs[1].weights()) > 1e-4  # the weights have changed


def test_tied_weights_and_normalisation_by_rows_on_two_ranks(make_run: MakeRun, tmp_path: Path) -> None:
    base = make_llama(tmp_path / "tied", tied=True)
    runs = [make_run(f"tied{ranks}", _plan(norm=Norm.ROW), base=base) for ranks in (1, 2)]
    for ranks, each in enumerate(runs, start=1):
        each.run(ranks)
    _expect_same(*runs)
    assert "lm_head.weight" not in runs[1].weights()
    assert largest_difference(runs[0].weights(), runs[1].weights()) < 5e-6


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Tuning.LORA, Tuning.DORA])
def test_adapters_on_two_ranks(make_run: MakeRun, kind: Tuning) -> None:
    runs = [make_run(f"{kind.value}{ranks}", _plan(kind)) for ranks in (1, 2)]
    for ranks, each in enumerate(runs, start=1):
        each.run(ranks, merge=True)
    _expect_same(*runs)
    adapters = [load_file(each.folder / "tiny-adapter" / "adapter_model.safetensors") for each in runs]
    assert largest_difference(*adapters) < 5e-6
    assert all(each.dtype == torch.float32 for each in adapters[1].values())
    assert len(adapters[0]) == 3 * 2 * (2 + (kind is Tuning.DORA))  # layers x targets x parts
    merged, base = runs[1].weights(), load_file(runs[1].base / "model.safetensors")
    changed = {name for name in base if not torch.equal(base[name], merged[name])}
    assert {name.split(".")[-2] for name in changed} == {"q_proj", "down_proj"}


@pytest.mark.parametrize("kind", [Tuning.FULL, Tuning.LORA])
def test_trained_weights_stay_float32_in_half_precision(make_run: MakeRun, kind: Tuning) -> None:
    """Pitfall 8: trained weights, gradient reduction and optimizer stay in float32."""
    exact, half = make_run("exact", _plan(kind)), make_run("half", _plan(kind))
    exact.run(1)
    half.run(2, dtype="bfloat16")
    losses = column(exact.steps(), "loss")
    assert column(half.steps(), "loss") == pytest.approx(losses, rel=5e-3)
    assert column(half.steps(), "loss") != losses
    name = "tiny/model.safetensors" if kind is Tuning.FULL else "tiny-adapter/adapter_model.safetensors"
    weights = load_file(half.folder / name)
    assert all(each.dtype == torch.float32 for each in weights.values())
    assert any(not torch.equal(each, each.bfloat16().float()) for each in weights.values())


def test_pack_length_and_activation_checkpointing_do_not_change_the_training(make_run: MakeRun) -> None:
    plain, other = make_run("plain", _plan()), make_run("other", _plan())
    plain.run(1)
    other.run(2, pack_length=150, activation_checkpointing=True, log_every=3)
    _expect_same(plain, other)
