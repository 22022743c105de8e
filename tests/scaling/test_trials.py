"""`xlingual scale sweep` on a small base and the packaged sample: what it checks first, measures, keeps, resumes."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from xlingual.cli import run_command
from xlingual.cli.progress import SilentRunObserver
from xlingual.errors import UsageError, XlingualError
from xlingual.planning import RunSettings
from xlingual.plugin import DataSource, ModelOptions
from xlingual.scaling.points import Point, read_points
from xlingual.scaling.sweep import read_sweep, sweep_points
from xlingual.scaling.trials import Trials

from ..small_base import make_small_base

SWEEP = """\
recipe = "x-llama-mini"
source = "translation"
metric = "chrf++"
languages = ["tr"]
sizes = [8, 20]
seeds = [0, 1]
limit = 4
max_new_tokens = 8
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_small_base(tmp_path_factory.mktemp("bases") / "small")


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    path = tmp_path / "law.toml"
    path.write_text(SWEEP, encoding="utf-8")
    return path


def _words(sweep: Path, base: Path, out: Path, *more: str) -> list[str]:
    words = ["scale", "sweep", str(sweep), "--base", str(base), "--data", "sample", "--out", str(out)]
    return [*words, "--progress", "plain", "--processes", "1", *more]


def _trials(sweep: Path, base: Path, out: Path) -> Trials:
    return Trials(
        spec=read_sweep(sweep),
        base=str(base),
        settings=RunSettings(data_source=DataSource(folder=None, sample=True, offline=True), out=out),
        options=ModelOptions(),
        train=lambda folder: folder,
        observer=SilentRunObserver(),
    )


def _scores(points: tuple[Point, ...]) -> list[Point]:
    return sorted(points, key=lambda each: str(each.place))


def test_a_limit_that_fills_the_window_is_refused_before_any_training(sweep: Path, base: Path, tmp_path: Path) -> None:
    trials = _trials(sweep, base, tmp_path)
    trials.settings = replace(trials.settings, max_new_tokens=2048)
    with pytest.raises(UsageError, match="2048 new tokens leave no room for a prompt in a window of 2048"):
        trials.check(sweep_points(trials.spec, trials.origin()))


@pytest.mark.slow
def test_a_plan_of_a_point_says_what_the_command_line_has_set(
    sweep: Path, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trials = _trials(sweep, base, tmp_path)
    trials.spec = read_sweep(sweep, ("schedule.epochs=1",))
    [plan, *_] = trials.check(sweep_points(trials.spec, trials.origin()))
    assert (plan.overrides, plan.recipe.schedule.epochs) == (("schedule.epochs=1",), 1.0)
    assert run_command(_words(sweep, base, tmp_path / "out", "--dry-run", "--set", "schedule.epochs=1")) == 0
    assert run_command(_words(sweep, base, tmp_path / "out", "--dry-run", "--set", "schedule.epoch=1")) == 2
    assert "--set schedule.epoch: unknown key 'epoch'" in capsys.readouterr().err


@pytest.mark.slow
def test_a_sweep_that_is_killed_measures_what_one_that_is_not_does(
    sweep: Path, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "killed" / "law" / "points.csv"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "xlingual", *_words(sweep, base, tmp_path / "killed")]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 50
        while not table.exists() and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    killed = read_points(table)
    assert 1 <= len(killed) < 4
    assert run_command(_words(sweep, base, tmp_path / "killed")) == 0
    assert f"4 points, {4 - len(killed)} to measure" in capsys.readouterr().err
    assert run_command(_words(sweep, base, tmp_path / "whole")) == 0
    assert "| tr | 20 | " in capsys.readouterr().out
    whole = read_points(tmp_path / "whole" / "law" / "points.csv")
    assert _scores(read_points(table)) == _scores(whole)
    assert [(each.pairs, each.seed) for each in whole] == [(8, 0), (8, 1), (20, 0), (20, 1)]
    assert all(each.tokens is not None for each in whole)
    # Four sentences are too few clusters for an interval.
    assert {(each.low, each.high) for each in whole} == {(None, None)}
    kept = {path.name for path in (tmp_path / "whole").rglob("*") if path.is_file()}
    assert {"plan.json", "provenance.json", "adapter_model.safetensors", "journal.jsonl"} <= kept
    assert "model.safetensors" not in kept


def test_a_smaller_size_is_the_beginning_of_a_larger_one_and_seeds_differ(
    sweep: Path, base: Path, tmp_path: Path
) -> None:
    trials = _trials(sweep, base, tmp_path / "out")
    points = sweep_points(trials.spec, trials.origin())
    rows = {(each.pairs, each.seed): _translations(trials, each) for each in points}
    assert {key: len(value) for key, value in rows.items()} == {(8, 0): 8, (8, 1): 8, (20, 0): 20, (20, 1): 20}
    for seed in (0, 1):
        assert rows[8, seed] < rows[20, seed]
    assert rows[20, 0] != rows[20, 1]


def _translations(trials: Trials, point: object) -> set[bytes]:
    prepared = trials._prepare(point)  # type: ignore[arg-type]  # the points come as they are
    encoded = prepared.rows
    place = [use.name for use in prepared.plan.recipe.sources].index("translation")
    return {
        np.asarray(encoded.tokens[encoded.offsets[row] : encoded.offsets[row + 1]]).tobytes()
        for row in range(len(encoded))
        if encoded.sources[row] == place
    }


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ('"chrf++"', '"chrf"', "flores101/en-tr has no metric 'chrf'"),
        ('"translation"', '"translations"', "the recipe x-llama-tr-mini has no source 'translations'"),
        ('"translation"', '"alpaca-tr"', "the source 'alpaca-tr' does not translate from or to tr"),
        ('["tr"]', '["de"]', "the recipe is not for de"),
        ("[8, 20]", "[8, 61]", "61 rows are asked for, and it has 60"),
    ],
)
def test_what_would_fail_after_hours_fails_before_the_first_training(
    sweep: Path, base: Path, tmp_path: Path, old: str, new: str, what: str
) -> None:
    sweep.write_text(SWEEP.replace(old, new), encoding="utf-8")
    trials = _trials(sweep, base, tmp_path / "out")
    with pytest.raises(XlingualError) as caught:
        trials.check(sweep_points(trials.spec, trials.origin()))
    assert what in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_dry_run_lists_the_points_and_writes_nothing(
    sweep: Path, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(_words(sweep, base, tmp_path / "out", "--dry-run")) == 0
    assert "| tr | 20 | 1 | 100 | " in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_several_processes_train_a_point_together(sweep: Path, base: Path, tmp_path: Path) -> None:
    sweep.write_text(SWEEP.replace("[8, 20]", "[8]").replace("[0, 1]", "[0]"), encoding="utf-8")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    tables = []
    for processes in (1, 2):
        out = tmp_path / str(processes)
        words = [*_words(sweep, base, out), "--processes", str(processes)]
        subprocess.run([sys.executable, "-m", "xlingual", *words], env=environment, check=True)
        [path] = out.glob("law/*/provenance.json")
        record = json.loads(path.read_text(encoding="utf-8"))
        assert record["world_size"] == processes
        tables.append((record["plan"]["id"], record["loss"], read_points(out / "law" / "points.csv")))
    (one_plan, one_loss, [one]), (two_plan, two_loss, [two]) = tables
    assert one_plan == two_plan
    assert two_loss == pytest.approx(one_loss, rel=1e-5)
    assert two == one
