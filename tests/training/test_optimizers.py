"""Optimizers: the same weights with the state offloaded, 8-bit states that resume to the bit, and what is refused.

Where bitsandbytes is not installed, a stand-in with its interface takes its place.
"""

import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from xlingual.cli import run_command
from xlingual.errors import DataError, EnvironmentFault, UsageError
from xlingual.training.optimizers import make_optimizers
from xlingual.tune.recipe_records import Tuning
from xlingual.tune.records import MixPlan
from xlingual.tune.schedule_records import OptimizerName

from .conftest import (
    MakeRun,
    TrainingRun,
    column,
    largest_difference,
    make_llama,
    make_plan,
    make_rows,
    tune_run,
)
from .worker import STAND_IN

STEPS = 8


@pytest.fixture(scope="session")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base whose embeddings, and half of them, have more than the 4,096 weights from which on moments have 8 bits."""
    return make_llama(tmp_path_factory.mktemp("bases") / "wide", vocabulary=300)


def _plan(optimizer: OptimizerName | None, kind: Tuning = Tuning.FULL) -> MixPlan:
    plan = make_plan(make_rows(), steps=STEPS, kind=kind)
    schedule = replace(plan.recipe.schedule, optimizer=optimizer)
    return replace(plan, recipe=replace(plan.recipe, schedule=schedule))


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("kind", [Tuning.FULL, Tuning.LORA])
def test_an_offloaded_state_trains_the_same_weights(kind: Tuning, ranks: int, make_run: MakeRun) -> None:
    plain, offloaded = make_run("plain", _plan(None, kind)), make_run("offloaded", _plan(None, kind))
    expected = plain.run(ranks, merge=True)
    found = offloaded.run(ranks, merge=True, cpu_offload=True)
    assert column(found, "loss") == column(expected, "loss")
    assert largest_difference(plain.weights(), offloaded.weights()) == 0.0


@pytest.mark.slow
@pytest.mark.parametrize("first", [True, False])
def test_a_resume_may_offload_or_not(first: bool, make_run: MakeRun) -> None:
    plain, changed = make_run("plain", _plan(None)), make_run("changed", _plan(None))
    plain.run(2)
    changed.run(2, max_steps=4, cpu_offload=first)
    changed.run(2, cpu_offload=not first)
    assert largest_difference(plain.weights(), changed.weights()) == 0.0
    changed = make_run("other-size", _plan(None))
    changed.run(2, max_steps=4, cpu_offload=first)
    changed.run(1, cpu_offload=not first)
    assert largest_difference(plain.weights(), changed.weights()) < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Tuning.FULL, Tuning.LORA])
@pytest.mark.parametrize("ranks", [1, 2])
def test_8_bits_resume_to_the_bit(ranks: int, kind: Tuning, make_run: MakeRun, wide: Path) -> None:
    runs = [make_run(name, _plan(OptimizerName.ADAMW_8BIT, kind), base=wide) for name in ("never", "stopped")]
    never, stopped = runs
    expected = never.run(ranks, merge=True, stand_in=True)
    assert stopped.wait(stopped.start(ranks, merge=True, stand_in=True, signal_in_step=[0, 5, 15])) == [143] * ranks
    states = sorted(each.name for each in (stopped.folder / "checkpoints" / "step-00000005").glob("optimizer-*"))
    assert states == [f"optimizer-{rank:05d}-of-{ranks:05d}.pt" for rank in range(ranks)]
    found = stopped.run(ranks, merge=True, stand_in=True)
    for name in ("loss", "gradient_norm"):
        assert column(found, name) == column(expected, name)
    assert largest_difference(never.weights(), stopped.weights()) == 0.0
    plain = make_run("plain", _plan(None, kind), base=wide)
    exact = plain.run(ranks, merge=True)
    assert column(found, "loss") == pytest.approx(column(exact, "loss"), rel=0.02)
    assert 0.0 < largest_difference(plain.weights(), never.weights()) < 2e-3
    if ranks == 2:
        _expect_refused_by_another_size(make_run("three", _plan(OptimizerName.ADAMW_8BIT, kind), base=wide))


def _expect_refused_by_another_size(run: TrainingRun) -> None:
    run.run(2, max_steps=3, stand_in=True)
    assert run.wait(run.start(1, stand_in=True)) == [DataError.exit_code]
    assert len(run.checkpoints()) == 1


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The stand-in, where the package is not installed."""
    if find_spec("bitsandbytes") is None:
        monkeypatch.syspath_prepend(str(STAND_IN))
        yield
        for name in [each for each in sys.modules if each.partition(".")[0] == "bitsandbytes"]:
            del sys.modules[name]
    else:
        yield


def test_updates_are_those_of_adamw_up_to_8_bits(stand_in: None) -> None:
    torch.manual_seed(0)
    start, gradients = torch.randn(64, 128), [torch.randn(64, 128) for _ in range(5)]
    ends = {}
    for name in (None, OptimizerName.ADAMW_8BIT):
        weights, vector = torch.nn.Parameter(start.clone()), torch.nn.Parameter(torch.ones(128))
        schedule = replace(_plan(name).recipe.schedule, weight_decay=0.1)
        optimizers = make_optimizers([weights, vector], schedule, cpu_offload=False)
        for gradient in gradients:
            weights.grad, vector.grad = gradient.clone(), gradient[0].clone()
            optimizers.step(1e-2)
            assert weights.grad is None
        ends[name] = (weights.detach(), vector.detach())
    exact, rounded = ends[None], ends[OptimizerName.ADAMW_8BIT]
    assert torch.allclose(exact[1], rounded[1], atol=1e-6)  # small ones are kept in float32, and do not decay
    difference = (exact[0] - rounded[0]).abs()
    assert 0.0 < float(difference.mean()) < 2e-3
    assert float((exact[0] - start).abs().mean()) > 2e-2


def _options(name: str) -> list[str]:
    return ["--set", f"schedule.optimizer={name}"]


def test_without_the_package_exit_code_5_says_what_to_install(
    data_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    for words in (_options("adamw-8bit"), ["--set", "method={kind='lora', rank=4, quantize='nf4'}"]):
        assert run_command(tune_run(data_folder, "lora", *words)) == EnvironmentFault.exit_code == 5
        said = capsys.readouterr().err
        assert "bitsandbytes is not installed" in said
        assert "pip install 'xlingual[bnb]'" in said
        assert "encoding" not in said  # it is said first
    assert not (data_folder / "out").exists()


def test_what_the_device_cannot_is_exit_code_3(
    data_folder: Path, stand_in: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(tune_run(data_folder, "full", *_options("paged-adamw-8bit"))) == 3
    assert "is paged between a GPU and the machine, and this runs on cpu" in capsys.readouterr().err
    import bitsandbytes  # noqa: PLC0415

    def raising(*_: object) -> None:
        raise NotImplementedError("no kernel for cpu")

    monkeypatch.setattr(bitsandbytes.optim.AdamW8bit, "step", raising)
    assert run_command(tune_run(data_folder, "full", *_options("adamw-8bit"))) == 3
    said = capsys.readouterr().err
    assert "schedule.optimizer: bitsandbytes has no adamw-8bit for cpu: no kernel for cpu" in said
    assert "encoding" not in said


def test_8_bits_are_not_offloaded(data_folder: Path, stand_in: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(tune_run(data_folder, "full", *_options("adamw-8bit"), "--cpu-offload")) == UsageError.exit_code
    assert "--cpu-offload: the state of adamw-8bit is not offloaded" in capsys.readouterr().err


def test_a_plan_is_made_without_the_package(
    data_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """For a training on another machine."""
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    recipe = str(data_folder / "lora" / "mine.toml")
    words = ["--set", "method.quantize=nf4", "--set", "schedule.lr_scheduler=wsd", "--set", "schedule.decay_ratio=0.2"]
    words += [*_options("adamw-8bit"), "--activation-checkpointing", "--cpu-offload"]
    assert run_command(["tune", "plan", recipe, "--data", str(data_folder), "--offline", *words]) == 0
    said = capsys.readouterr().out
    assert "learning rate: 0.001, wsd, 10% of the steps warm up, the last 20% decay" in said
    assert "optimizer: adamw-8bit" in said
    assert "frozen weights: nf4" in said
