"""One, two and four real processes train the same thing: losses, gradient norms and weights."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from xlingual.tune.records import Method, MixPlan, Norm, Tuning

from .conftest import Bench, MakeBench, column, largest_difference, make_llama, make_plan, make_rows

STEPS = 4


def _plan(kind: Tuning = Tuning.FULL, norm: Norm = Norm.TOKEN, dropout: float = 0.0) -> MixPlan:
    plan = make_plan(make_rows(), steps=STEPS, norm=norm, kind=kind)
    method: Method = replace(plan.recipe.method, dropout=dropout)
    return replace(plan, recipe=replace(plan.recipe, method=method))


def _expect_same(one: Bench, other: Bench) -> None:
    """Pitfall 6: AdamW hides a gradient that is averaged instead of summed; its norm does not."""
    first, second = one.steps(), other.steps()
    assert len(first) == len(second) == STEPS
    assert column(first, "loss") == pytest.approx(column(second, "loss"), rel=1e-5)
    assert column(first, "gradient_norm") == pytest.approx(column(second, "gradient_norm"), rel=1e-5)


def test_ranks_agree(bench: MakeBench) -> None:
    benches = {ranks: bench(f"on{ranks}", _plan()) for ranks in (1, 2, 4)}
    for ranks, each in benches.items():
        each.run(ranks)
    for ranks in (2, 4):
        _expect_same(benches[1], benches[ranks])
        assert largest_difference(benches[1].weights(), benches[ranks].weights()) < 5e-6
    before = load_file(benches[1].base / "model.safetensors")
    assert largest_difference(before, benches[1].weights()) > 1e-4  # they have learnt something


def test_tied_weights_and_the_norm_by_rows_agree(bench: MakeBench, tmp_path: Path) -> None:
    base = make_llama(tmp_path / "tied", tied=True)
    benches = [bench(f"tied{ranks}", _plan(norm=Norm.ROW), base=base) for ranks in (1, 2)]
    for ranks, each in enumerate(benches, start=1):
        each.run(ranks)
    _expect_same(*benches)
    assert "lm_head.weight" not in benches[1].weights()
    assert largest_difference(benches[0].weights(), benches[1].weights()) < 5e-6


@pytest.mark.parametrize("kind", [Tuning.LORA, Tuning.DORA])
def test_adapters_agree(bench: MakeBench, kind: Tuning) -> None:
    benches = [bench(f"{kind.value}{ranks}", _plan(kind)) for ranks in (1, 2)]
    for ranks, each in enumerate(benches, start=1):
        each.run(ranks, merge=True)
    _expect_same(*benches)
    adapters = [load_file(each.folder / "tiny-adapter" / "adapter_model.safetensors") for each in benches]
    assert largest_difference(*adapters) < 5e-6
    assert all(each.dtype == torch.float32 for each in adapters[1].values())
    assert len(adapters[0]) == 3 * 2 * (2 + (kind is Tuning.DORA))  # layers x targets x parts
    merged, base = benches[1].weights(), load_file(benches[1].base / "model.safetensors")
    changed = {name for name in base if not torch.equal(base[name], merged[name])}
    assert {name.split(".")[-2] for name in changed} == {"q_proj", "down_proj"}


@pytest.mark.parametrize("kind", [Tuning.FULL, Tuning.LORA])
def test_half_precision_computes_only(bench: MakeBench, kind: Tuning) -> None:
    """Pitfall 8: what is trained, its gradients' sums and its optimizer stay in float32."""
    exact, half = bench("exact", _plan(kind)), bench("half", _plan(kind))
    exact.run(1)
    half.run(2, dtype="bfloat16")
    losses = column(exact.steps(), "loss")
    assert column(half.steps(), "loss") == pytest.approx(losses, rel=5e-3)
    assert column(half.steps(), "loss") != losses
    name = "tiny/model.safetensors" if kind is Tuning.FULL else "tiny-adapter/adapter_model.safetensors"
    weights = load_file(half.folder / name)
    assert all(each.dtype == torch.float32 for each in weights.values())
    assert any(not torch.equal(each, each.bfloat16().float()) for each in weights.values())


def test_packs_and_activation_checkpointing_change_nothing(bench: MakeBench) -> None:
    plain, other = bench("plain", _plan()), bench("other", _plan())
    plain.run(1)
    other.run(2, pack_length=150, activation_checkpointing=True, log_every=3)
    _expect_same(plain, other)
