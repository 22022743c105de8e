"""The packs that a plan counts for a number of ranks are those that a training on these ranks makes."""

import json
from dataclasses import replace
from typing import Any

import pytest

from xlingual.serial import from_json
from xlingual.tune.order import steps_of_epoch
from xlingual.tune.packing import PackCounts, pack
from xlingual.tune.plan import PackLayout, identify, repack
from xlingual.tune.records import EncodedRows, MixPlan

from .conftest import MakeRun, TrainingRun, make_plan, make_rows

MIXES: dict[str, tuple[EncodedRows, dict[str, Any], int]] = {
    "rows a step": (make_rows(40, seed=1), {"rows_per_step": 11}, 90),
    "tokens a step": (make_rows(30, seed=2), {"rows_per_step": None, "tokens_per_step": 260}, 64),
    "short packs": (make_rows(30, seed=3), {"rows_per_step": 13}, 40),
    "one row a step": (make_rows(5, seed=4), {"rows_per_step": 1}, 64),
}
"""Random rows of at most 39 tokens, the size of a step, and a pack length in tokens."""


def _planned(name: str, ranks: int) -> tuple[MixPlan, EncodedRows]:
    """Return a plan of exactly one epoch."""
    rows, step_size, pack_length = MIXES[name]
    plan = make_plan(rows)
    schedule = replace(plan.recipe.schedule, **step_size)
    steps = len(steps_of_epoch(rows, schedule, plan.recipe.seed, 0))
    plan = replace(plan, recipe=replace(plan.recipe, length=39, schedule=schedule), steps=steps, pack_length=1)
    return repack(plan, rows, PackLayout(pack_length=pack_length, ranks=ranks)), rows


def _logged(run: TrainingRun) -> PackCounts:
    """Return what the log lines of a run say of its packs, added up."""
    lines = (run.folder / "packs.jsonl").read_text(encoding="utf-8").splitlines()
    return sum((from_json(PackCounts, json.loads(line)) for line in lines), start=PackCounts())


@pytest.mark.parametrize("ranks", [1, 2, 3])
@pytest.mark.parametrize("mix", MIXES)
def test_a_plan_counts_the_packs_of_its_training(mix: str, ranks: int, make_run: MakeRun) -> None:
    plan, rows = _planned(mix, ranks)
    run = make_run("run", plan, rows)
    run.run(ranks, pack_length=plan.pack_length, log_every=3)
    logged = _logged(run)
    assert (plan.packs, plan.fill) == (logged.packs, logged.fill(plan.pack_length))
    assert (plan.pad_share or 0.0, plan.wait_share or 0.0) == (logged.pad_share, logged.wait_share)
    computed = [json.loads((run.folder / f"batches-{rank}.json").read_text(encoding="utf-8")) for rank in range(ranks)]
    assert [len(sizes) for sizes in computed] == [plan.packs // ranks] * ranks == [logged.micro_batches] * ranks
    assert sum(map(sum, computed)) == logged.tokens + logged.padding
    assert plan.fill == int((rows.lengths * rows.draws).sum()) / (plan.packs * plan.pack_length)
    waiting = sum(max(sizes) * ranks - sum(sizes) for sizes in zip(*computed, strict=True))
    assert waiting == pytest.approx(logged.idle, abs=ranks * logged.padding)  # the padding of empty packs is no waiting


@pytest.mark.parametrize("mix", MIXES)
def test_one_process_has_the_packs_of_best_fit(mix: str) -> None:
    """So that figures in plans of one process stay what they were."""
    plan, rows = _planned(mix, 1)
    steps = steps_of_epoch(rows, plan.recipe.schedule, plan.recipe.seed, 0)
    assert plan.packs == sum(len(pack(rows.lengths[step].tolist(), plan.pack_length)) for step in steps)
    assert (plan.ranks, plan.pad_share, plan.wait_share) == (None, None, None)


def test_another_layout_is_the_same_training() -> None:
    plan, rows = _planned("rows a step", 1)
    other = repack(plan, rows, PackLayout(ranks=3, on_gpu=True))
    assert (other.ranks, other.pack_length) == (3, 8192)
    assert other.packs == 3 * plan.steps  # all rows of a step fit into a micro-batch
    assert 0.0 < other.fill < plan.fill
    assert (other.id, other.steps, other.tokens) == (plan.id, plan.steps, plan.tokens)
    assert identify(other.recipe, other.base, rows) == identify(plan.recipe, plan.base, rows)
    assert repack(other, rows, PackLayout(pack_length=plan.pack_length)) == plan
