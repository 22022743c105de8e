"""Kills at every bad moment: what is resumed ends with the weights of what was never stopped."""

import os
import signal
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from xlingual.errors import DataError
from xlingual.training import checkpoints
from xlingual.tune.records import MixPlan, Tuning

from .conftest import Bench, MakeBench, column, largest_difference, make_plan, make_rows

STEPS = 8


def _plan(kind: Tuning = Tuning.FULL) -> MixPlan:
    """Dropout is in play for adapters: what it drops follows from the number of the step."""
    return make_plan(make_rows(), steps=STEPS, kind=kind)


def _expect_one_line_a_step(bench: Bench) -> None:
    assert column(bench.steps(), "step") == list(range(1, STEPS + 1))


def test_a_kill_during_a_step_loses_nothing(bench: MakeBench) -> None:
    never, killed = bench("never", _plan()), bench("killed", _plan())
    never.run(1)
    assert killed.wait(killed.start(1, hit=[0, 6, signal.SIGKILL])) == [-signal.SIGKILL]
    assert len(killed.steps()) == 5
    assert killed.checkpoints() == ["step-00000003"]
    killed.run(1)
    _expect_one_line_a_step(killed)
    assert largest_difference(never.weights(), killed.weights()) == 0.0


def test_a_kill_during_a_checkpoint_loses_nothing(bench: MakeBench) -> None:
    never, killed = bench("whole", _plan()), bench("torn", _plan())
    never.run(2)
    pids = killed.start(2, die_in_save=6)
    assert killed.wait(pids[:1]) == [-signal.SIGKILL]
    os.kill(pids[1], signal.SIGKILL)  # as torchrun does when a rank is gone
    killed.wait(pids[1:])
    assert killed.checkpoints() == ["step-00000003"]
    assert [path.name for path in (killed.folder / "checkpoints").glob(".saving-*")] == [".saving-00000006"]
    killed.run(2)
    _expect_one_line_a_step(killed)
    assert killed.checkpoints() == ["step-00000006", "step-00000008"]  # the newest two; nothing half-written is left
    assert not list((killed.folder / "checkpoints").glob(".saving-*"))
    assert largest_difference(never.weights(), killed.weights()) == 0.0


def test_a_signal_stores_and_more_ranks_go_on(bench: MakeBench) -> None:
    """Pitfall 10: the only state of the order is the number of the step. The rate is ten times that of a recipe."""
    never, stopped = bench("one", _plan()), bench("two-then-four", _plan())
    expected = never.run(2)
    # One rank is told in its second step; all of them end that step, store it and stop.
    assert stopped.wait(stopped.start(2, hit=[1, 2, signal.SIGTERM])) == [143, 143]
    assert stopped.checkpoints() == ["step-00000002"]
    assert len(stopped.steps()) == 2
    found = stopped.run(4)
    _expect_one_line_a_step(stopped)
    for name in ("loss", "gradient_norm"):
        assert column(found, name) == pytest.approx(column(expected, name), rel=1e-6, abs=0.0)
    assert largest_difference(never.weights(), stopped.weights()) < 1e-6
    assert largest_difference(load_file(never.base / "model.safetensors"), never.weights()) > 5e-4  # they have learnt


def test_an_adapter_with_dropout_resumes(bench: MakeBench) -> None:
    never, stopped = bench("adapter", _plan(Tuning.LORA)), bench("adapter-stopped", _plan(Tuning.LORA))
    expected = never.run(1, merge=True)
    assert stopped.wait(stopped.start(1, hit=[0, 5, signal.SIGKILL])) == [-signal.SIGKILL]
    assert column(stopped.run(1, merge=True), "loss") == column(expected, "loss")
    assert largest_difference(never.weights(), stopped.weights()) == 0.0


def test_a_damaged_checkpoint_is_passed_over(bench: MakeBench) -> None:
    place = bench("damaged", _plan())
    place.run(1)
    newest = place.folder / "checkpoints" / "step-00000008"
    shards = sorted(newest.glob("*.distcp"))
    with shards[0].open("r+b") as file:
        file.truncate(shards[0].stat().st_size - 1)
    found = checkpoints.find(place.folder, "damaged".ljust(64, "0"))
    assert found.folder is not None
    assert found.folder.name == "step-00000006"
    assert "cut off" in found.notes[0]
    (newest / checkpoints.MARKER).unlink()
    assert "not complete" in checkpoints.find(place.folder, "damaged".ljust(64, "0")).notes[0]
    with pytest.raises(DataError, match="checkpoint of plan damaged"):
        checkpoints.find(place.folder, "2" * 64)
    weights = place.weights()
    place.run(1)  # from step 6 on
    assert largest_difference(weights, place.weights()) == 0.0


def test_a_finished_training_goes_through_its_end_again(bench: MakeBench) -> None:
    """Killed between the last checkpoint and the model: nothing is trained, the model is written."""
    place = bench("end", _plan())
    place.run(1)
    weights = place.weights()
    (place.folder / "tiny" / "model.safetensors").unlink()
    place.run(1)
    _expect_one_line_a_step(place)
    assert largest_difference(weights, place.weights()) == 0.0


def test_a_loss_that_is_no_number_stops_and_keeps_the_checkpoints(bench: MakeBench) -> None:
    plan = _plan()
    schedule = replace(plan.recipe.schedule, learning_rate=1e20, clip=1e30)
    place = bench("wild", replace(plan, recipe=replace(plan.recipe, schedule=schedule)))
    assert place.wait(place.start(1, checkpoint_every=1)) != [0]
    steps = place.steps()
    assert all(torch.isfinite(torch.tensor(column(steps, "loss"))))
    assert len(place.checkpoints()) == min(len(steps), 2)
