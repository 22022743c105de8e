"""A mix with all of it on, on 1, 2 and 4 ranks, killed twice and resumed: weights, optimizer state and losses.

On: conversations, an Alpaca file and filtered bitext, held-out rows, new tokens, a WSD schedule, activation
checkpointing and samples; in full tuning, and with an adapter that has dropout.
"""

import json
import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.distributed.checkpoint.format_utils import dcp_to_torch_save

from xlingual.plugin import DataSource
from xlingual.training.vocabulary import extend_base
from xlingual.tune.prepare import Prepared, open_base, plan_mix
from xlingual.tune.recipe import find_recipe
from xlingual.tune.recipe_records import Tuning

from .conftest import MakeRun, TrainingRun, column, largest_difference
from .test_chat_rows import _recipe, chat_base  # noqa: F401 - a fixture

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SETTINGS = {"pack_length": 256, "activation_checkpointing": True, "samples": 2, "checkpoint_every": 2, "merge": True}
COMMON = (
    "sources.chats.hold_out=2 rows", "sources.alpaca.hold_out=1 rows", "sources.mined.hold_out=2 rows",
    "schedule.lr_scheduler=wsd", "schedule.decay_ratio=0.4", "schedule.warmup=0.1", "schedule.epochs=3",
    "vocabulary.train=5",
)  # fmt: skip
METHODS = {
    Tuning.FULL: ("method.kind=full",),
    Tuning.LORA: ("method.kind=lora", "method.rank=4", "method.alpha=8.0"),
}


def _prepare(folder: Path, base: Path, kind: Tuning, *, dropout: float) -> tuple[Prepared, Path]:
    """Plan the mix for `base` with new tokens; return that base, too."""
    dropouts = (f"method.dropout={dropout}",) if kind is Tuning.LORA else ()
    recipe = find_recipe(str(_recipe(folder, base)), (*COMMON, *METHODS[kind], *dropouts))
    assert recipe.vocabulary is not None
    data_source = DataSource(folder=folder, sample=False, offline=True)
    model = open_base(recipe.base, offline=True)
    extended = extend_base(recipe.vocabulary, model, plan_mix(recipe, model, data_source), data_source)
    recipe = replace(recipe, base=str(extended))
    return plan_mix(recipe, open_base(str(extended), offline=True), data_source), extended


def _kill_all(run: TrainingRun, pids: list[int]) -> None:
    """Kill every rank at once, as a machine that loses power does."""
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    assert set(run.wait(pids)) <= {-signal.SIGKILL, 0}


def _kill_in_step(run: TrainingRun, ranks: int, step: int, rank: int) -> None:
    """Kill `rank` between the backward pass of `step` and the optimizer, then the others."""
    pids = run.start(ranks, **SETTINGS, signal_in_step=[rank, step, signal.SIGKILL])
    assert run.wait([pids[rank]]) == [-signal.SIGKILL]
    others = [pid for pid in pids if pid != pids[rank]]
    for pid in others:
        os.kill(pid, signal.SIGKILL)
    run.wait(others)
    assert len(run.steps()) == step - 1


def _kill_after_lines(run: TrainingRun, ranks: int, lines: int) -> None:
    """Kill all ranks at whatever moment comes after `lines` steps are logged."""
    pids = run.start(ranks, **SETTINGS)
    end = time.monotonic() + 120
    while len(run.steps()) < lines and time.monotonic() < end:
        time.sleep(0.01)
    _kill_all(run, pids)


def _optimizer_state(run: TrainingRun, scratch: Path) -> dict[str, torch.Tensor]:
    """Return all tensors of the newest checkpoint, of the weights and of the optimizer, whole."""
    newest = run.folder / "checkpoints" / run.checkpoints()[-1]
    dcp_to_torch_save(newest, scratch)
    found: dict[str, torch.Tensor] = {}

    def walk(prefix: str, value: Any) -> None:  # noqa: ANN401 - nested
        if isinstance(value, dict):
            for name, each in value.items():
                walk(f"{prefix}/{name}", each)
        elif isinstance(value, torch.Tensor):
            found[prefix] = value

    walk("", torch.load(scratch, weights_only=True))
    assert any("exp_avg_sq" in name for name in found)
    return found


def _held_out(run: TrainingRun) -> dict[int, Any]:
    lines: list[dict[str, Any]] = list(run.steps())
    return {each["step"]: each["held_out"] for each in lines if "held_out" in each}


def _expect_equal(never: TrainingRun, killed: TrainingRun, folder: Path, kills: str) -> None:
    """All that a training leaves is the same, to the bit; `kills` are said where it is not."""
    for name in ("step", "loss", "gradient_norm", "learning_rate"):
        assert column(killed.steps(), name) == column(never.steps(), name), kills
    assert _held_out(killed) == _held_out(never), kills
    assert killed.checkpoints() == never.checkpoints()
    samples = [(each.folder / "samples.jsonl").read_text(encoding="utf-8") for each in (never, killed)]
    assert samples[0] == samples[1]
    assert samples[0]
    assert largest_difference(never.weights(), killed.weights()) == 0.0, kills
    states = [_optimizer_state(each, folder / f"{each.folder.name}.pt") for each in (never, killed)]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(each, states[1][name]) for name, each in states[0].items()), kills


@pytest.mark.parametrize("ranks", [1, 2, 4])
@pytest.mark.parametrize("kind", METHODS)
def test_two_kills_change_no_bit(
    kind: Tuning,
    ranks: int,
    chat_base: Path,  # noqa: F811 - the fixture
    tmp_path: Path,
    make_run: MakeRun,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XLINGUAL_CACHE", str(tmp_path / "cache"))
    prepared, base = _prepare(tmp_path, chat_base, kind, dropout=0.1)
    plan, rows, held_out = prepared.plan, prepared.rows, prepared.held_out
    assert rows.learnt is not None
    assert held_out is not None
    draw = np.random.default_rng()  # any step must do; a failure says which it was
    step, rank = int(draw.integers(2, plan.steps)), int(draw.integers(ranks))
    later = int(draw.integers(step, plan.steps + 1))
    never, killed = (make_run(name, plan, rows, base, held_out) for name in ("never", "killed"))
    never.run(ranks, **SETTINGS)
    assert len(never.steps()) == plan.steps
    assert len(_held_out(never)) == (plan.steps + 1) // 2
    _kill_in_step(killed, ranks, step, rank)
    _kill_after_lines(killed, ranks, later)
    killed.run(ranks, **SETTINGS)
    _expect_equal(never, killed, tmp_path, f"rank {rank} in step {step}, all of them after {later} lines")
    embeddings = "model.embed_tokens.weight"
    before, after = load_file(base / "model.safetensors"), never.weights()
    assert not torch.equal(before[embeddings], after[embeddings])
    packs = [json.loads(line) for line in (never.folder / "packs.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(packs) == plan.steps


@pytest.mark.parametrize("kind", METHODS)
def test_world_sizes_agree(
    kind: Tuning,
    chat_base: Path,  # noqa: F811 - the fixture
    tmp_path: Path,
    make_run: MakeRun,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without dropout, which each pack draws for itself: losses and gradient norms to 1e-5, held-out losses to 2e-5."""
    monkeypatch.setenv("XLINGUAL_CACHE", str(tmp_path / "cache"))
    prepared, base = _prepare(tmp_path, chat_base, kind, dropout=0.0)
    runs = {ranks: make_run(f"on{ranks}", prepared.plan, prepared.rows, base, prepared.held_out) for ranks in (1, 2, 4)}
    for ranks, run in runs.items():
        run.run(ranks, **SETTINGS)
    one = runs.pop(1)
    for run in runs.values():
        for name in ("loss", "gradient_norm"):
            assert column(run.steps(), name) == pytest.approx(column(one.steps(), name), rel=1e-5)
        expected, found = _held_out(one), _held_out(run)
        assert list(found) == list(expected)
        for step, each in found.items():
            assert each["loss"] == pytest.approx(expected[step]["loss"], abs=2e-5)
            assert each["supervised"] == expected[step]["supervised"]
        assert largest_difference(one.weights(), run.weights()) < 5e-5
