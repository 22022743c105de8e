"""The loss on held-out rows is transformers' own; it survives kills, chooses the export, and disturbs nothing."""

import json
import os
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from xlingual.errors import ModelError
from xlingual.serial import from_json, to_json
from xlingual.training import checkpoints
from xlingual.training.held_out import held_out_loss
from xlingual.training.parallel import World
from xlingual.training.settings import TrainingJob, TrainSettings
from xlingual.tune.hold_out.records import (
    EvaluatedCheckpoint,
    ExportedWeights,
    HeldOutProgress,
    HoldOut,
    HoldOutUnit,
)
from xlingual.tune.recipe_records import Tuning
from xlingual.tune.records import EncodedRows, MixPlan, TuneRecord

from .conftest import MakeRun, TrainingRun, largest_difference, make_plan, make_rows
from .test_exactness import FAMILIES, _model, _ours, _padded

STEPS = 8
EVALUATED = [3, 6, 8]
"""Steps with a checkpoint: every third and the last."""


def _rows() -> EncodedRows:
    """Rows of the lower half of the vocabulary: the more is learnt of them, the less likely are those held out."""
    rows = make_rows()
    return replace(rows, tokens=(rows.tokens % 60 + 3).astype(np.int32))


def _held_out() -> EncodedRows:
    rows = make_rows(40, seed=19)
    return replace(rows, tokens=(rows.tokens % 60 + 64).astype(np.int32), draws=np.ones(40, dtype=np.int64))


def _plan(
    export: ExportedWeights | None = None, kind: Tuning = Tuning.FULL, rate: float = 2e-4, dropout: float = 0.1
) -> MixPlan:
    plan = make_plan(_rows(), steps=STEPS, kind=kind)
    recipe = plan.recipe
    wanted = HoldOut(unit=HoldOutUnit.ROWS, value=20.0)
    recipe = replace(
        recipe,
        sources=tuple(replace(use, hold_out=wanted) for use in recipe.sources),
        schedule=replace(recipe.schedule, learning_rate=rate),
        method=replace(recipe.method, dropout=dropout),
        export=export,
    )
    return replace(plan, recipe=recipe)


def _evaluations(run: TrainingRun) -> dict[int, object]:
    return {int(each["step"]): each["held_out"] for each in run.steps() if "held_out" in each}


def _losses(run: TrainingRun) -> list[float]:
    return [each["loss"] for each in _evaluations(run).values()]  # type: ignore[index]  # a line of JSON


def _record(run: TrainingRun) -> TuneRecord:
    path = run.folder / "tiny" / "provenance.json"
    return from_json(TuneRecord, json.loads(path.read_text(encoding="utf-8")))


def _exported(run: TrainingRun) -> EvaluatedCheckpoint:
    exported = _record(run).exported
    assert exported is not None
    return exported.checkpoint


@pytest.mark.parametrize("family", FAMILIES)
def test_the_loss_is_that_of_a_padded_batch_of_transformers(family: str, tmp_path: Path) -> None:
    rows = replace(make_rows(12, seed=5), draws=np.ones(12, dtype=np.int64))
    rows = replace(rows, tokens=(rows.tokens % 93 + 3).astype(np.int32))
    oracle, model = _model(FAMILIES[family](), "eager"), _ours(FAMILIES[family]())
    plan = _plan()
    for length in (64, 4096):
        settings = TrainSettings(pack_length=length)
        job = TrainingJob(
            plan=plan,
            rows=rows,
            weights=tmp_path,
            tokenizer=tmp_path,
            folder=tmp_path,
            settings=settings,
            held_out=rows,
        )
        world = World(rank=0, size=1, device=torch.device("cpu"), dtype=torch.float32)
        found = held_out_loss(job, model.train(), rows, world)
        assert model.training
        for place, name in enumerate(("first", "second")):
            expected = _reference(oracle, rows, (rows.sources == place).nonzero()[0].tolist())
            assert found.by_source[name].loss == pytest.approx(expected, abs=2e-6)
            assert found.by_language[("en", "zh")[place]] == found.by_source[name]
        assert found.loss == pytest.approx(_reference(oracle, rows, list(range(12))), abs=2e-6)
        assert found.supervised == int(rows.supervised.sum())


def _reference(oracle: torch.nn.Module, rows: EncodedRows, chosen: list[int]) -> float:
    padded = {name: each[chosen] for name, each in _padded(rows).items()}
    with torch.no_grad():
        return float(oracle.eval()(**padded, use_cache=False).loss)


@pytest.mark.slow
def test_every_checkpoint_is_evaluated_and_the_best_one_is_exported(make_run: MakeRun) -> None:
    run = make_run("rises", _plan(rate=5e-3), rows=_rows(), held_out=_held_out())
    run.run(1, keep=1)
    losses = _losses(run)
    assert list(_evaluations(run)) == EVALUATED
    assert losses == sorted(losses), "it rises"
    assert run.checkpoints() == ["step-00000003", "step-00000008"], "the best one stays beside the newest"
    record = _record(run)
    assert record.exported is not None
    assert (record.steps, record.exported.chosen) == (8, ExportedWeights.BEST)
    assert (_exported(run).step, _exported(run).loss) == (3, losses[0])
    short = make_run("short", replace(_plan(rate=5e-3), steps=STEPS), rows=_rows(), held_out=_held_out())
    assert short.wait(short.start(1, signal_in_step=[0, 4, signal.SIGKILL])) == [-signal.SIGKILL]
    assert largest_difference(run.weights(), _weights_of(short, 3)) == 0.0


def _weights_of(run: TrainingRun, step: int) -> dict[str, torch.Tensor]:
    """The weights of a checkpoint, exported: a training whose last step it is."""
    plan = from_json(MixPlan, json.loads((run.folder / "plan.json").read_text(encoding="utf-8")))
    recipe = replace(plan.recipe, export=ExportedWeights.LAST)
    (run.folder / "plan.json").write_text(
        json.dumps(to_json(replace(plan, recipe=recipe, steps=step))), encoding="utf-8"
    )
    assert run.checkpoints() == [f"step-{step:08d}"]
    run.run(1)
    return run.weights()


@pytest.mark.slow
def test_the_last_step_is_exported_where_the_recipe_says_so(make_run: MakeRun) -> None:
    """And an evaluated training learns, to the bit, what one without held-out rows learns; adapters' dropout too."""
    for kind in (Tuning.FULL, Tuning.LORA):
        plan = _plan(ExportedWeights.LAST, kind, rate=5e-3)
        evaluated = make_run(f"last-{kind.value}", plan, rows=_rows(), held_out=_held_out())
        sources = tuple(replace(use, hold_out=None) for use in plan.recipe.sources)
        plain = make_run(
            f"plain-{kind.value}",
            replace(plan, recipe=replace(plan.recipe, sources=sources, export=None)),
            rows=_rows(),
        )
        evaluated.run(1, merge=True)
        plain.run(1, merge=True)
        assert _exported(evaluated).step == 8
        assert _record(plain).exported is None
        assert largest_difference(plain.weights(), evaluated.weights()) == 0.0
        assert "held_out" not in (plain.folder / "steps.jsonl").read_text(encoding="utf-8")


@pytest.mark.slow
def test_one_and_two_ranks_have_the_same_losses(make_run: MakeRun) -> None:
    runs = [make_run(f"on{ranks}", _plan(rate=5e-3), rows=_rows(), held_out=_held_out()) for ranks in (1, 2)]
    for ranks, each in enumerate(runs, start=1):
        each.run(ranks)
    assert _losses(runs[1]) == pytest.approx(_losses(runs[0]), abs=2e-5)
    assert [_exported(each).step for each in runs] == [3, 3]
    assert largest_difference(runs[0].weights(), runs[1].weights()) < 5e-6


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [1, 2])
def test_a_kill_in_the_middle_of_an_evaluation(make_run: MakeRun, ranks: int) -> None:
    never, killed = (
        make_run(name, _plan(rate=5e-3), rows=_rows(), held_out=_held_out()) for name in ("never", "killed")
    )
    never.run(ranks)
    pids = killed.start(ranks, die_in_evaluation=2)
    assert killed.wait(pids[:1]) == [-signal.SIGKILL]
    for pid in pids[1:]:
        os.kill(pid, signal.SIGKILL)
    killed.wait(pids[1:])
    assert killed.checkpoints() == ["step-00000003"]
    assert list(_evaluations(killed)) == [3]
    killed.run(ranks)
    assert _evaluations(killed) == _evaluations(never)
    assert _exported(killed) == _exported(never)
    assert largest_difference(never.weights(), killed.weights()) == 0.0


@pytest.mark.slow
def test_a_signal_between_checkpoints_adds_no_candidate(make_run: MakeRun) -> None:
    never, stopped = (
        make_run(name, _plan(rate=5e-3), rows=_rows(), held_out=_held_out()) for name in ("whole", "stopped")
    )
    never.run(1, keep=1)
    assert stopped.wait(stopped.start(1, keep=1, signal_in_step=[0, 5, signal.SIGTERM])) == [143]
    assert stopped.checkpoints() == ["step-00000003", "step-00000005"]
    stopped.run(1, keep=1)
    assert _evaluations(stopped) == _evaluations(never)
    assert stopped.checkpoints() == never.checkpoints() == ["step-00000003", "step-00000008"]
    assert largest_difference(never.weights(), stopped.weights()) == 0.0


@pytest.mark.slow
def test_a_kill_before_the_export_exports_the_best_on_resume(make_run: MakeRun) -> None:
    run = make_run("end", _plan(rate=5e-3), rows=_rows(), held_out=_held_out())
    run.run(1)
    weights, exported = run.weights(), _exported(run)
    shutil.rmtree(run.folder / "tiny")
    run.run(2)
    assert largest_difference(weights, run.weights()) == 0.0
    assert _exported(run) == exported


@pytest.mark.slow
def test_a_best_checkpoint_that_is_gone_is_trained_to_again(make_run: MakeRun) -> None:
    run = make_run("gone", _plan(rate=5e-3), rows=_rows(), held_out=_held_out())
    run.run(1)
    weights = run.weights()
    shutil.rmtree(run.folder / "checkpoints" / "step-00000003")
    found = checkpoints.find_latest(run.folder, "gone".ljust(64, "0"), needs_best=True)
    assert found.folder is None
    assert "the best checkpoint before it is step-00000003, and it is not complete" in found.notes[0]
    assert checkpoints.find_latest(run.folder, "gone".ljust(64, "0")).folder is not None
    run.run(1)
    assert largest_difference(weights, run.weights()) == 0.0
    assert list(_evaluations(run)) == EVALUATED


def test_an_adapter_is_that_of_the_best_step(make_run: MakeRun) -> None:
    run = make_run("adapter", _plan(kind=Tuning.LORA, rate=0.1), rows=_rows(), held_out=_held_out())
    run.run(1, merge=True)
    losses = _losses(run)
    best = EVALUATED[losses.index(min(losses))]
    assert best != 8
    assert _exported(run).step == best
    base = load_file(run.base / "model.safetensors")
    assert largest_difference(base, run.weights()) > 1e-4


def test_of_equal_losses_the_first_is_the_best() -> None:
    def checkpoint(step: int, loss: float) -> EvaluatedCheckpoint:
        return EvaluatedCheckpoint(step=step, loss=loss, by_source={}, by_language={})

    progress = HeldOutProgress()
    assert progress.exported(ExportedWeights.BEST) is None
    for step, loss in ((3, 2.0), (6, 1.5), (9, 1.5), (12, 1.75)):
        progress = progress.after(checkpoint(step, loss))
    assert progress.exported(ExportedWeights.BEST) == checkpoint(6, 1.5)
    assert progress.exported(ExportedWeights.LAST) == checkpoint(12, 1.75)


def test_a_loss_that_is_not_finite_stops(tmp_path: Path) -> None:
    model = _ours(FAMILIES["llama"]())
    torch.nn.init.constant_(model.lm.lm_head.weight, float("nan"))  # type: ignore[union-attr, arg-type]  # of transformers
    rows = _held_out()
    rows = replace(rows, tokens=(rows.tokens % 93 + 3).astype(np.int32))
    job = TrainingJob(
        plan=_plan(), rows=rows, weights=tmp_path, tokenizer=tmp_path, folder=tmp_path, settings=TrainSettings()
    )
    world = World(rank=0, size=1, device=torch.device("cpu"), dtype=torch.float32)
    with pytest.raises(ModelError, match="the loss on held-out rows is nan"):
        held_out_loss(job, model, rows, world)


@pytest.mark.slow
def test_one_and_two_ranks_say_the_same_samples(make_run: MakeRun, byte_base: Path) -> None:
    plan = _plan(rate=5e-3)
    pairs = tuple(replace(use, direction=("en", use.language)) for use in plan.recipe.sources)
    plan = replace(plan, recipe=replace(plan.recipe, sources=pairs))
    found = []
    for ranks in (1, 2):
        run = make_run(f"samples{ranks}", plan, rows=_rows(), held_out=_held_out(), base=byte_base)
        run.run(ranks, samples=3)
        found.append((run.folder / "samples.jsonl").read_text(encoding="utf-8"))
    assert found[0] == found[1]
    lines = [json.loads(line) for line in found[0].splitlines()]
    assert [each["step"] for each in lines] == [step for step in EVALUATED for _ in range(3)]
    assert [each["source"] for each in lines[:3]] == ["first", "second", "first"]
