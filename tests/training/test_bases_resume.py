"""Bases on ranks, stopped and resumed: residual dropout, tied heads, adapters on the head, multimodal models."""

import json
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import GPT2Config, OPTConfig, PreTrainedConfig

from xlingual.decoder.loading import auto_class
from xlingual.training.adapters import quiet_peft
from xlingual.tune.recipe_records import Tuning
from xlingual.tune.records import MixPlan

from .conftest import VOCABULARY, MakeRun, column, largest_difference, make_llama, make_plan, make_rows
from .test_bases import GPT2, SHAPE, TRAINED

pytestmark = pytest.mark.slow

STEPS = 6


def _plan(kind: Tuning = Tuning.FULL, *targets: str) -> MixPlan:
    plan = make_plan(make_rows(), steps=STEPS, kind=kind)
    method = replace(plan.recipe.method, targets=targets or plan.recipe.method.targets)
    return replace(plan, recipe=replace(plan.recipe, method=method))


def _base(folder: Path, config: PreTrainedConfig) -> Path:
    torch.manual_seed(11)
    auto_class(config).from_config(config).save_pretrained(folder)
    return folder


DROPOUT: dict[str, Callable[[], PreTrainedConfig]] = {
    "opt": lambda: OPTConfig(**SHAPE, ffn_dim=48, word_embed_proj_dim=32, dropout=0.1),
    "opt, attention too": lambda: OPTConfig(
        **SHAPE, ffn_dim=48, word_embed_proj_dim=32, dropout=0.1, attention_dropout=0.1
    ),
    "gpt2, as it is by default": lambda: GPT2Config(**GPT2),
}


@pytest.mark.parametrize("family", DROPOUT)
@pytest.mark.parametrize("ranks", [1, 2])
def test_dropout_of_the_base_is_the_same_after_a_resume(
    family: str, ranks: int, make_run: MakeRun, tmp_path: Path
) -> None:
    base = _base(tmp_path / "base", DROPOUT[family]())
    never, killed = make_run("never", _plan(), base=base), make_run("killed", _plan(), base=base)
    never.run(ranks)
    pids = killed.start(ranks, signal_in_step=[ranks - 1, 5, signal.SIGTERM])
    assert set(killed.wait(pids)) == {128 + signal.SIGTERM}
    assert len(killed.steps()) == 5
    killed.run(ranks)
    assert column(never.steps(), "loss") == column(killed.steps(), "loss")
    assert largest_difference(never.weights(), killed.weights()) == 0.0
    first = column(never.steps(), "gradient_norm")[0]
    other = make_run("other", replace(_plan(), recipe=replace(_plan().recipe, seed=4)), base=base)
    assert column(other.run(ranks), "gradient_norm")[0] != first  # the seed draws the dropout


@pytest.mark.parametrize("family", ["bloom", "gemma3, with images", "mistral3, with images"])
def test_two_ranks_train_the_same_and_resume(family: str, make_run: MakeRun, tmp_path: Path) -> None:
    base = _base(tmp_path / "base", TRAINED[family]())
    runs = [make_run(f"on{ranks}", _plan(), base=base) for ranks in (1, 2)]
    runs[0].run(1)
    pids = runs[1].start(2, signal_in_step=[0, 3, signal.SIGTERM])
    assert set(runs[1].wait(pids)) == {128 + signal.SIGTERM}
    runs[1].run(2)
    for name in ("loss", "gradient_norm"):
        assert column(runs[0].steps(), name) == pytest.approx(column(runs[1].steps(), name), rel=1e-5)
    trained, before = runs[1].weights(), load_file(base / "model.safetensors")
    assert largest_difference(runs[0].weights(), trained) < 5e-5
    assert trained.keys() == before.keys()
    changed = {name for name in before if not torch.equal(before[name], trained[name])}
    assert changed
    others = {name for name in before if "vision" in name or "projector" in name}
    assert not changed & others
    assert bool(others) == ("images" in family)
    model = auto_class(TRAINED[family]()).from_pretrained(runs[1].folder / "tiny")
    assert model.get_input_embeddings().weight.shape[0] == 320


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("ranks", [1, 2])
def test_an_adapter_on_the_head_leaves_the_embeddings(
    tied: bool, ranks: int, make_run: MakeRun, tmp_path: Path
) -> None:
    base = make_llama(tmp_path / "base", tied=tied)
    plan = _plan(Tuning.LORA, "q_proj", "lm_head")
    never, killed = make_run("never", plan, base=base), make_run("killed", plan, base=base)
    never.run(ranks, merge=True)
    assert set(killed.wait(killed.start(ranks, signal_in_step=[0, 4, signal.SIGTERM]))) == {128 + signal.SIGTERM}
    killed.run(ranks, merge=True)
    assert largest_difference(never.weights(), killed.weights()) == 0.0
    merged, before = killed.weights(), load_file(base / "model.safetensors")
    embeddings = "model.embed_tokens.weight"
    assert torch.equal(merged[embeddings], before[embeddings])
    assert not torch.equal(merged["lm_head.weight"], before[embeddings if tied else "lm_head.weight"])
    config = json.loads((killed.folder / "tiny" / "config.json").read_text(encoding="utf-8"))
    assert config["tie_word_embeddings"] is False
    adapter = load_file(killed.folder / "tiny-adapter" / "adapter_model.safetensors")
    assert {name.split(".")[-3] for name in adapter} == {"q_proj", "lm_head"}
    model = auto_class(None).from_pretrained(killed.folder / "tiny")
    _expect_the_adapters_logits(base, killed.folder / "tiny-adapter", model)


def _expect_the_adapters_logits(base: Path, adapter: Path, merged: torch.nn.Module) -> None:
    """The merged model computes what base and adapter do."""
    peft = pytest.importorskip("peft")
    ids = torch.arange(3, VOCABULARY)[None]
    with torch.no_grad(), quiet_peft():
        alone = peft.PeftModel.from_pretrained(auto_class(None).from_pretrained(base), str(adapter)).eval()
        difference = (alone(input_ids=ids).logits - merged.eval()(input_ids=ids).logits).abs().max()
    assert float(difference) < 1e-5
