"""`xlingual xllama`: the whole pipeline on a small base; killed at every stage and resumed, it has the same results."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from xlingual.cli import run_command
from xlingual.cli.make import xllama_arguments
from xlingual.cli.tune.trainer import Trainer
from xlingual.cli.xllama import XllamaOptions, folder_name
from xlingual.pipeline import SCALES
from xlingual.tune.recipe import find_recipe, recipe_names, shipped_recipe

from ..judging.runs import Judge, ids, read_one
from ..small_base import make_small_base

STAGES = 15
"""For one language: check, evaluate 5 models, tune 4 of them, measure, fit, split, analyze, report."""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_small_base(tmp_path_factory.mktemp("bases") / "small")


def _words(base: Path, out: Path) -> list[str]:
    words = ["xllama", "--base", str(base), "--langs", "tr", "--out", str(out), "--limit", "4"]
    return [*words, "--progress", "none", "--processes", "1"]


def _folder(out: Path) -> Path:
    [folder] = out.iterdir()
    return folder


def _scores(folder: Path) -> dict[str, object]:
    """Return the estimates of every evaluation by model and task."""
    found = {}
    for path in folder.glob("runs/*/*/results*.json"):
        record = json.loads(path.read_text(encoding="utf-8"))
        found[f"{record['model']['name']} {record['protocol']['task']}"] = record["estimates"]
    return found


@pytest.mark.slow
def test_the_pipeline_runs_once_and_is_free_afterwards(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(_words(base, tmp_path)) == 0
    first = capsys.readouterr()
    folder = _folder(tmp_path)
    page = (folder / "report.html").read_text(encoding="utf-8")
    models = ["small", "alpaca-en-mini", "x-llama-tr-mini", "m-llama-mini", "m-llama-mini-allocated"]
    parts = ("Gains over alpaca-en-mini", "The scaling law", "The budget", "Representation space", "Content of answers")
    for word in (*models, *parts, "How it was made"):
        assert word in page
    pictures = page.index("Representation space</h2>")
    assert page[:pictures].count("<img ") == 3
    assert page[pictures:].count("<img ") > len(models)
    assert "Judges</h2>" not in page
    assert sorted(_scores(folder)) == sorted(
        f"{model} {task}" for model in models for task in ("xquad/en", "xquad/tr", "flores101/en-tr")
    )
    commands = (folder / "commands.txt").read_text(encoding="utf-8").splitlines()
    assert all(f"\n{command}\n" in first.err for command in commands[:-1])
    scores = _scores(folder)
    assert run_command(_words(base, tmp_path)) == 0
    again = capsys.readouterr().err
    assert "training " not in again
    assert "4 points, 0 to measure" in again
    assert _scores(folder) == scores
    _check_judged(base, tmp_path, scores)


def _check_judged(base: Path, out: Path, scores: dict[str, object]) -> None:
    """Once a judge was asked, the same command puts what it said on the page, and nothing else changes."""
    folder = _folder(out)
    [run] = (folder / "runs").glob("small-*/xquad-en-*")
    judge = Judge(base.parent, dict.fromkeys(ids(read_one(run)), "VERDICT: CORRECT"), name="teacher")
    assert judge.run(str(run), "--kind", "correctness") == 0
    law = (folder / "fit.json").read_bytes()
    assert run_command(_words(base, out)) == 0
    page = (folder / "report.html").read_text(encoding="utf-8")
    judged = page.index("Judges</h2>")
    assert page.index("Content of answers</h2>") < judged
    assert "scripted-teacher" in page[judged:]
    assert {name: each for name, each in _scores(folder).items() if "judge_" not in name} == scores
    assert (folder / "fit.json").read_bytes() == law


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_pipeline_killed_at_every_stage_has_the_same_results(base: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "xlingual", *_words(base, tmp_path / "killed")]
    for stage in range(1, STAGES + 2):
        with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
            assert process.stderr is not None
            begun = 0
            for line in process.stderr:
                begun += line.startswith(b"== ")
                if begun == stage:
                    os.kill(process.pid, signal.SIGKILL)
                    break
            process.communicate()
        if process.returncode == 0:
            break
    else:
        pytest.fail("there are more stages than the test knows")
    assert stage == STAGES + 1, "the last one was not killed"
    assert run_command(_words(base, tmp_path / "whole")) == 0
    killed, whole = _folder(tmp_path / "killed"), _folder(tmp_path / "whole")
    assert _scores(killed) == _scores(whole)
    assert (killed / "sweep" / "points.csv").read_bytes() == (whole / "sweep" / "points.csv").read_bytes()
    for name in ("fit.json", "split.json", "m-llama-mini-allocated.toml"):
        assert (killed / name).read_bytes() == (whole / name).read_bytes()


def test_what_is_set_goes_into_every_recipe(base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What a recipe would refuse is refused before the first stage; what they differ in is refused anyway."""
    for word, what in (
        ("schedule.epoch=1", "unknown key 'epoch'"),
        ("sources.alpaca.use=5 rows", "the recipes of the pipeline differ in it"),
        ("name=mine", "the recipes of the pipeline differ in it"),
    ):
        assert run_command([*_words(base, tmp_path), "--set", word]) == 2
        assert f"--set {word.partition('=')[0]}: {what}" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    trainer = Trainer(
        out=tmp_path, base=None, data=None, offline=False, progress="none", processes=1, overrides=("a.b=1", "c=2")
    )
    assert trainer.words("m-llama")[-6:] == ["--set", "a.b=1", "--set", "c=2", "--", "m-llama"]
    (tmp_path / "plan.json").touch()
    assert "--set" not in trainer.words(tmp_path)  # a stored plan holds it
    plain, changed = (_options(overrides) for overrides in ((), ("length=200",)))
    assert folder_name(plain) == "xllama-mini"
    assert folder_name(changed) != folder_name(plain)


def _options(overrides: tuple[str, ...]) -> XllamaOptions:
    return XllamaOptions(
        scale="mini", overrides=overrides, base=None, langs=None, data=None, offline=False, out="runs", limit=None,
        processes="1", device=None, progress="none",
    )  # fmt: skip


def test_words_become_options() -> None:
    words = {"SCALE": "paper", "BASE": "a b", "LANGS": "zh", "DATA": "d", "OUT": "o", "ARGS": "--processes 4"}
    arguments = xllama_arguments({f"XLINGUAL_MAKE_{name}": value for name, value in words.items()})
    expected = "xllama --scale paper --base|a b|--langs zh --data d --out o --processes 4"
    assert arguments == [word for part in expected.split("|") for word in ([part] if part == "a b" else part.split())]
    assert xllama_arguments({}) == ["xllama"]


@pytest.mark.parametrize("name", SCALES)
def test_every_scale_has_its_recipes(name: str) -> None:
    scale = SCALES[name]
    names = recipe_names()
    wanted = ["alpaca-en", "m-llama", *(f"x-llama-{code}" for code in scale.languages)]
    assert [each for each in wanted if f"{each}{scale.suffix}" not in names] == []
    law = shipped_recipe(scale.law)
    assert law is not None
    assert [code for code in scale.languages if find_recipe(f"{law}:{code}").name not in names] == []


@pytest.mark.parametrize("name", SCALES)
def test_the_budget_leaves_something_to_choose(name: str) -> None:
    scale = SCALES[name]
    takes_all = find_recipe(f"m-llama{scale.suffix}").budget is None
    assert 0.0 < scale.budget <= 1.0
    assert not takes_all or scale.budget < 1.0


def test_a_stage_that_fails_ends_the_pipeline_with_its_code(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*_words(base, tmp_path), "--limit", "0"]
    assert run_command(words) == 2
    error = capsys.readouterr().err
    assert "error: --limit: '0' is not a number of examples" in error
    assert "stopped; the same command again goes on where it stopped" in error
    assert not (_folder(tmp_path) / "models").exists()


def test_a_language_without_a_recipe_is_refused_before_anything_is_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["xllama", "--langs", "de", "--out", str(tmp_path)]) == 2
    assert "no such recipe: 'x-llama-de-mini'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
