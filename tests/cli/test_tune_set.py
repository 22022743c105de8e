"""`--set` of tune plan, preview and run: the id is that of a file with the value, and the record says what was set."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from xlingual import plugins
from xlingual.cli import run_command
from xlingual.registry import MODELS

PLUGINS = Path(__file__).resolve().parents[1] / "tune" / "plugins"
"""Holds the model `letters`, whose tokens are characters."""

ROWS = [{"instruction": f"say {n}", "input": "", "output": f"it is {n}"} for n in range(24)]
RECIPE = """\
name = "mine"
description = "x"
base = "smollm2"
template = "alpaca"
length = 400
seed = 4

[sources.rows]
reader = "alpaca"
path = "rows.json"
language = "en"
use = "20 rows"

[schedule]
epochs = 2
rows_per_step = 8
learning_rate = 1e-3
"""
SETTINGS = ("schedule.learning_rate=1e-4", "sources.rows.use=10 rows", "seed=9")
CHANGED = RECIPE.replace("1e-3", "1e-4").replace("20 rows", "10 rows").replace("seed = 4", "seed = 9")
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def letters_plugin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setattr(plugins, "__path__", [*plugins.__path__, str(PLUGINS)])
    monkeypatch.setenv("XLINGUAL_CACHE", str(tmp_path / "cache"))
    yield
    MODELS._items.pop("letters", None)  # other tests know the shipped models only
    sys.modules.pop("xlingual.plugins.models.letters", None)


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], letters_plugin: None) -> Run:
    """Run a command of `xlingual tune` on the recipe of a folder."""
    (tmp_path / "rows.json").write_text(json.dumps(ROWS), encoding="utf-8")
    for folder, text in (("plain", RECIPE), ("changed", CHANGED)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.toml").write_text(text.replace("smollm2", "letters"), encoding="utf-8")

    def call(command: str, recipe: str, *more: str) -> tuple[int, str, str]:
        code = run_command(["tune", command, str(tmp_path / recipe), "--data", str(tmp_path), "--offline", *more])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def _set(*overrides: str) -> list[str]:
    return [word for override in overrides for word in ("--set", override)]


def test_the_id_is_that_of_a_file_and_the_record_says_so(run: Run, tmp_path: Path) -> None:
    def plan(recipe: str, *more: str) -> dict[str, object]:
        code, said, _ = run("plan", recipe, "--json", "--out", str(tmp_path / "out"), *more)
        assert code == 0
        document = json.loads(said)["plan"]
        assert isinstance(document, dict)
        return document

    changed, plain = plan("changed/mine.toml"), plan("plain/mine.toml")
    overridden = plan("plain/mine.toml", *_set(*SETTINGS))
    assert overridden["id"] == changed["id"] != plain["id"]
    assert overridden["recipe"] == changed["recipe"]
    assert overridden["rows"] == 10
    assert overridden["overrides"] == list(SETTINGS)
    assert "overrides" not in changed
    [folder] = (tmp_path / "out").glob(f"mine-{str(changed['id'])[:8]}")
    stored = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    assert stored["overrides"] == list(SETTINGS)
    code, _, said = run("plan", str(folder), *_set("seed=3"))
    assert code == 2
    assert "error: --set: a stored plan is trained as it is" in said


def test_a_stored_plan_is_not_what_another_contamination_would_be(run: Run, tmp_path: Path) -> None:
    sample = Path(__file__).resolve().parents[2] / "tasks" / "sample"
    text = json.loads((sample / "xquad" / "xquad.en.json").read_text(encoding="utf-8"))
    passage = text["data"][0]["paragraphs"][0]["context"]
    rows = [*ROWS, {"instruction": "Sum up.", "input": passage, "output": "A text."}]
    (tmp_path / "rows.json").write_text(json.dumps(rows), encoding="utf-8")
    code, said, _ = run(
        "plan", "plain/mine.toml", "--out", str(tmp_path / "out"), "--contamination", "report", "--json"
    )
    assert code == 0
    folder = json.loads(said)["folder"]
    for command in ("plan", "preview", "run"):
        for mode in ("refuse", "drop"):
            code, _, said = run(command, folder, "--contamination", mode)
            assert code == 2
            assert f"error: --contamination: the stored plan was made with report, and {mode} would be another" in said
    assert run("plan", folder)[0] == run("plan", folder, "--contamination", "report")[0] == 0


def test_a_preview_and_errors(run: Run) -> None:
    code, said, _ = run("preview", "plain/mine.toml", "-n", "100", *_set("sources.rows.use=3 rows"))
    assert code == 0
    assert said.count("--- rows:") == 3
    for command in ("plan", "preview", "run"):
        code, _, said = run(command, "plain/mine.toml", *_set("schedule.learning_rte=1e-4"))
        assert code == 2
        assert "error: --set schedule.learning_rte: unknown key 'learning_rte'" in said
        assert "hint: did you mean learning_rate or min_learning_rate?" in said
        code, _, said = run(command, "plain/mine.toml", *_set("base=smolm2"))
        assert code == 2
        assert "error: --set base: " in said
