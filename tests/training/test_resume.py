"""A training that is killed, at any moment, and resumed ends with the weights of one that was not."""

import os
import signal
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from xlingual.errors import DataError
from xlingual.training import checkpoints
from xlingual.tune.recipe_records import Tuning
from xlingual.tune.records import MixPlan

from .conftest import MakeRun, TrainingRun, column, largest_difference, make_plan, make_rows

STEPS = 8


def _plan(kind: Tuning = Tuning.FULL) -> MixPlan:
    """Adapters have dropout, whose seed follows from the number of the step."""
    return make_plan(make_rows(), steps=STEPS, kind=kind)


def _expect_every_step_once(run: TrainingRun) -> None:
    assert column(run.steps(), "step") == list(range(1, STEPS + 1))


def test_a_kill_during_a_step(make_run: MakeRun) -> None:
    never, killed = make_run("never", _plan()), make_run("killed", _plan())
    never.run(1)
    assert killed.wait(killed.start(1, signal_in_step=[0, 6, signal.SIGKILL])) == [-signal.SIGKILL]
    assert len(killed.steps()) == 5
    assert killed.checkpoints() == ["step-00000003"]
    killed.run(1)
    _expect_every_step_once(killed)
    assert largest_difference(never.weights(), killed.weights()) == 0.0


@pytest.mark.slow
def test_a_kill_during_a_checkpoint(make_run: MakeRun) -> None:
    never, killed = make_run("whole", _plan()), make_run("torn", _plan())
    never.run(2)
    pids = killed.start(2, die_in_save=6)
    assert killed.wait(pids[:1]) == [-signal.SIGKILL]
    os.kill(pids[1], signal.SIGKILL)  # as torchrun does when a rank is gone
    killed.wait(pids[1:])
    assert killed.checkpoints() == ["step-00000003"]
    assert [path.name for path in (killed.folder / "checkpoints").glob(".saving-*")] == [".saving-00000006"]
    killed.run(2)
    _expect_every_step_once(killed)
    assert killed.checkpoints() == ["step-00000006", "step-00000008"]  # the newest two; nothing half-written is left
    assert not list((killed.folder / "checkpoints").glob(".saving-*"))
    assert largest_difference(never.weights(), killed.weights()) == 0.0


@pytest.mark.slow
def test_a_signal_writes_a_checkpoint_that_more_ranks_resume(make_run: MakeRun) -> None:
    """Pitfall 10: the number of the step is the only state of the order. The rate is ten times that of a recipe."""
    never, stopped = make_run("one", _plan()), make_run("two-then-four", _plan())
    expected = never.run(2)
    # One rank receives the signal in its second step; all ranks finish the step, write a checkpoint and stop.
    assert stopped.wait(stopped.start(2, signal_in_step=[1, 2, signal.SIGTERM])) == [143, 143]
    assert stopped.checkpoints() == ["step-00000002"]
    assert len(stopped.steps()) == 2
    found = stopped.run(4)
    _expect_every_step_once(stopped)
    for name in ("loss", "gradient_norm"):
        assert column(found, name) == pytest.approx(column(expected, name), rel=1e-6, abs=0.0)
    assert largest_difference(never.weights(), stopped.weights()) < 1e-6
    assert largest_difference(load_file(never.base / "model.safetensors"), never.weights()) > 5e-4


def test_an_adapter_with_dropout_resumes(make_run: MakeRun) -> None:
    never, stopped = make_run("adapter", _plan(Tuning.LORA)), make_run("adapter-stopped", _plan(Tuning.LORA))
    expected = never.run(1, merge=True)
    assert stopped.wait(stopped.start(1, signal_in_step=[0, 5, signal.SIGKILL])) == [-signal.SIGKILL]
    assert column(stopped.run(1, merge=True), "loss") == column(expected, "loss")
    assert largest_difference(never.weights(), stopped.weights()) == 0.0


def test_a_damaged_checkpoint_is_passed_over(make_run: MakeRun) -> None:
    run = make_run("damaged", _plan())
    run.run(1)
    newest = run.folder / "checkpoints" / "step-00000008"
    shards = sorted(newest.glob("*.distcp"))
    with shards[0].open("r+b") as file:
        file.truncate(shards[0].stat().st_size - 1)
    found = checkpoints.find_latest(run.folder, "damaged".ljust(64, "0"))
    assert found.folder is not None
    assert found.folder.name == "step-00000006"
    assert "cut off" in found.notes[0]
    (newest / checkpoints.MARKER).unlink()
    assert "not complete" in checkpoints.find_latest(run.folder, "damaged".ljust(64, "0")).notes[0]
    with pytest.raises(DataError, match="checkpoint of plan damaged"):
        checkpoints.find_latest(run.folder, "2" * 64)
    weights = run.weights()
    run.run(1)  # from step 6 on
    assert largest_difference(weights, run.weights()) == 0.0


def test_a_model_that_was_not_exported_is_exported_on_resume(make_run: MakeRun) -> None:
    """Killed between the last checkpoint and the export: no step is run, the model is exported."""
    run = make_run("end", _plan())
    run.run(1)
    weights = run.weights()
    (run.folder / "tiny" / "model.safetensors").unlink()
    run.run(1)
    _expect_every_step_once(run)
    assert largest_difference(weights, run.weights()) == 0.0


def test_a_loss_that_is_not_finite_stops_and_keeps_the_checkpoints(make_run: MakeRun) -> None:
    plan = _plan()
    schedule = replace(plan.recipe.schedule, learning_rate=1e20, clip=1e30)
    run = make_run("wild", replace(plan, recipe=replace(plan.recipe, schedule=schedule)))
    assert run.wait(run.start(1, checkpoint_every=1)) != [0]
    steps = run.steps()
    assert all(torch.isfinite(torch.tensor(column(steps, "loss"))))
    assert len(run.checkpoints()) == min(len(steps), 2)
