"""`xlingual tune`: what plan and preview print, machine output, errors, and what `make tune` passes on."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from xlingual import plugins
from xlingual.cli import run_command
from xlingual.cli.make import tune_arguments
from xlingual.cli.tune.run import COMMAND, run_options
from xlingual.registry import MODELS

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = ROOT / "tests" / "tune" / "plugins"
"""Holds the model `letters`, whose tokens are characters."""
HOSTILE = ["x-llama-zh", 'x"; touch hacked; "', "a$b", "$(touch hacked)", "`touch hacked`", "it's", "--help", "x|y"]


@dataclass(frozen=True)
class Finished:
    """What a command left."""

    returncode: int
    stdout: str
    stderr: str


Xlingual = Callable[..., Finished]


@pytest.fixture
def xlingual(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Xlingual]:
    """Run the command line in this process, with the plugins of the tests."""
    monkeypatch.setattr(plugins, "__path__", [*plugins.__path__, str(PLUGINS)])
    monkeypatch.setenv("XLINGUAL_CACHE", str(tmp_path / "cache"))

    def run(*arguments: str) -> Finished:
        code = run_command(arguments)
        captured = capsys.readouterr()
        return Finished(code, captured.out, captured.err)

    yield run
    MODELS._items.pop("letters", None)  # other tests know the shipped models only
    sys.modules.pop("xlingual.plugins.models.letters", None)


SMALL = ("letters-zh", "--data", "sample")


def test_a_plan_is_shown_and_stored(xlingual: Xlingual, tmp_path: Path) -> None:
    shown = xlingual("tune", "plan", *SMALL, "--out", str(tmp_path / "runs"))
    assert shown.returncode == 0, shown.stderr
    assert "| alpaca-en | en | 60 | 60 | 1.00 |" in shown.stdout
    assert "| translation | zh | 60 | 60 | 1.00 |" in shown.stdout
    assert "steps: 18 in 2 epochs, each 16 rows" in shown.stdout
    assert "xquad (sample): 560 texts in en, zh and 5 more languages: nothing found" in shown.stdout
    assert "cost on H100: not estimated" in shown.stdout
    assert "audit: rows of each source" in shown.stdout
    assert "lose their end token" not in shown.stdout
    assert "alpaca-zh: encoding 20 rows" in shown.stderr
    [folder] = (tmp_path / "runs").iterdir()
    plan = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    assert folder.name == f"letters-zh-{plan['id'][:8]}"
    assert [each["audit"]["rows"] for each in plan["sources"]] == [60, 20, 60]
    assert plan["sources"][2]["audit"]["alignment"]["wrong"] == 0
    assert f"stored in {folder}" in shown.stdout
    assert len(list((folder / "rows").glob("*.npy"))) == 5
    again = xlingual("tune", "plan", str(folder))
    assert again.stdout == shown.stdout
    assert "encoding" not in again.stderr
    assert "⟦" in xlingual("tune", "preview", str(folder)).stdout


def test_packs_are_counted_for_the_gpus_that_are_named(xlingual: Xlingual, tmp_path: Path) -> None:
    def plan(*more: str) -> dict[str, Any]:
        document: dict[str, dict[str, Any]] = json.loads(xlingual("tune", "plan", *more, "--json").stdout)
        return document["plan"]

    alone, two = plan(*SMALL), plan(*SMALL, "--gpu", "2xA100", "--pack-length", "4000")
    assert "ranks" not in alone
    assert (two["ranks"], two["pack_length"], two["packs"] % 2) == (2, 4000, 0)
    assert two["fill"] == pytest.approx(two["tokens"] / (two["packs"] * 4000))
    assert two["id"] == alone["id"]
    assert plan(*SMALL, "--gpu", "H100")["pack_length"] == max(
        8192, alone["pack_length"]
    )  # as tune run has it on a GPU
    shown = xlingual("tune", "plan", *SMALL, "--gpu", "2xA100", "--pack-length", "4000").stdout
    line = next(line for line in shown.splitlines() if line.startswith("packs: "))
    assert f", {two['packs'] // 2:,} on each of 2 ranks, {100 * two['wait_share']:.1f}% waiting" in line
    assert xlingual("tune", "plan", *SMALL, "--out", str(tmp_path / "runs")).returncode == 0
    [folder] = (tmp_path / "runs").iterdir()
    assert plan(str(folder), "--gpu", "2xA100", "--pack-length", "4000") == two
    assert plan(str(folder)) == alone


def test_a_stored_plan_is_of_its_base(xlingual: Xlingual, tmp_path: Path) -> None:
    assert xlingual("tune", "plan", *SMALL, "--out", str(tmp_path / "runs")).returncode == 0
    [folder] = (tmp_path / "runs").iterdir()
    path = folder / "plan.json"
    path.write_text(path.read_text(encoding="utf-8").replace("0" * 64, "1" * 64), encoding="utf-8")
    changed = xlingual("tune", "preview", str(folder))
    assert changed.returncode == 3
    assert "rows, recipe or base are not those of the plan's id" in changed.stderr


def test_recipes_are_listed(xlingual: Xlingual) -> None:
    listed = xlingual("tune", "recipes")
    assert listed.returncode == 0
    assert "| x-llama-zh | hf:huggyllama/llama-7b | full | alpaca-en, alpaca-zh, translation |" in listed.stdout
    document = json.loads(xlingual("tune", "recipes", "--json").stdout)
    assert {"m-llama-mini", "letters-ar"} <= {recipe["name"] for recipe in document["recipes"]}


def test_nothing_is_written_unless_asked_for(
    xlingual: Xlingual, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shown = xlingual("tune", "plan", *SMALL, "--json")
    document = json.loads(shown.stdout)
    assert document["plan"]["rows"] == 140
    assert document["cost"] is document["folder"] is None
    assert list(tmp_path.iterdir()) == []


def test_a_preview_marks_what_is_learnt(xlingual: Xlingual) -> None:
    shown = xlingual("tune", "preview", *SMALL, "-n", "2", "--source", "translation")
    assert shown.returncode == 0, shown.stderr
    blocks = shown.stdout.split("--- translation: ")[1:]
    assert len(blocks) == 2
    for block in blocks:
        assert "### Response:⟦" in block
        assert block.rstrip().endswith("<end>⟧")
    document = json.loads(xlingual("tune", "preview", *SMALL, "-n", "5", "--json").stdout)
    assert len(document["rows"]) == 5
    row = document["rows"][0]
    assert row["supervised"] == len(row["answer"].removesuffix("<end>")) + 1


@pytest.mark.parametrize(
    ("arguments", "code", "error", "hint"),
    [
        (["plan"], 2, "Missing argument 'RECIPE|FOLDER'", "xlingual tune plan --help"),
        (["plan", "x-lama-zh"], 2, "no such recipe: 'x-lama-zh'", "did you mean x-llama-zh"),
        (["plan", "x-llama-zh-mini", "--gpu", "H10"], 2, "no such GPU: 'H10'", "did you mean"),
        (["plan", "letters-zh", "--base", "echo", "--data", "sample"], 3, "echo: cannot be tuned", "hf:org/name"),
        (["plan", "letters-zh"], 2, "say where the training data are", "--data DIR"),
        (
            ["plan", "x-llama-zh", "--base", "letters", "--data", "sample"],
            3,
            "the packaged sample has no such",
            "--data",
        ),
        (
            ["preview", *SMALL, "--source", "translations"],
            2,
            "no such source: 'translations'",
            "translation?",
        ),
        (["preview", *SMALL, "-n", "0"], 2, "0 is not in the range", "xlingual tune preview --help"),
        (["plam"], 2, "No such command 'plam'", "xlingual tune --help"),
    ],
)
def test_errors(arguments: list[str], code: int, error: str, hint: str, xlingual: Xlingual) -> None:
    finished = xlingual("tune", *arguments)
    assert finished.returncode == code
    lines = [line for line in finished.stderr.splitlines() if line.startswith(("error: ", "hint: "))]
    assert error in lines[0]
    assert hint in lines[1]
    assert finished.stdout == ""


def test_options_read_by_other_commands_change_no_help(xlingual: Xlingual, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(COMMAND, "_help_option", None)  # as in a new process
    assert run_options(["--merge", "x-llama-zh"]).merge
    assert "-h, --help" in xlingual("tune", "run", "-h").stdout


def test_make_tune() -> None:
    begun = ["tune", "run", "--merge"]
    assert tune_arguments({}) == [*begun, "--out", "runs", "--data", "sample", "--", "x-llama-zh-mini"]
    words = {"RECIPE": "x-llama-zh", "BASE": "hf:a/b", "DATA": "d", "OUT": "o", "ARGS": "--fresh --x 'y z'"}
    arguments = tune_arguments({f"XLINGUAL_MAKE_{name}": value for name, value in words.items()})
    chosen = ["--out", "o", "--base", "hf:a/b", "--data", "d", "--fresh", "--x", "y z"]
    expected = [*begun, *chosen, "--", "x-llama-zh"]
    assert arguments == expected
    assert "--data" not in tune_arguments({"XLINGUAL_MAKE_RECIPE": "x-llama-zh"})


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize("name", HOSTILE)
def test_make_passes_names_whole(name: str, tmp_path: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    recipe = "\t@$(BIN)/python -m xlingual.cli.make tune\n"
    assert recipe in makefile
    probe = makefile.replace(recipe, "\t@printenv XLINGUAL_MAKE_RECIPE XLINGUAL_MAKE_BASE\n")
    (tmp_path / "Makefile").write_text(probe.replace("tune: $(STAMP)", "tune:"), encoding="utf-8")
    outside = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS", "XLINGUAL"))}
    environment = {**outside, "RECIPE": name, "BASE": name}
    finished = subprocess.run(
        ["make", "tune"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert finished.stdout == f"{name}\n{name}\n"
    assert [each.name for each in tmp_path.iterdir()] == ["Makefile"]


SOURCE = '''\
"""Words of a list with their lengths."""

from xlingual import DataSource, Example, Examples, Prompt
from xlingual.data import locate_text, read_lines
from xlingual.records import Corpus
from xlingual.registry import register_source


def ask(_corpus: Corpus, example: Example, _number: int) -> Prompt:
    """Ask for the length of a word."""
    return Prompt(instruction="How long is this word?", before="", passage="", after=example.fields["word"])


@register_source("words", ask=ask)
def read(corpus: Corpus, place: DataSource) -> Examples:
    """Read one word a line."""
    file = locate_text(corpus.path, place)
    rows = [
        Example(id=word, language=corpus.language, group=word, cluster=word, fields={"word": word},
                targets=(str(len(word)),))
        for word in read_lines(file)
    ]
    return Examples(rows=tuple(rows), files=(file,))
'''
RECIPE = """\
name = "words"
description = "lengths of words"
base = "letters"
template = "raw"
length = 100

[sources.english]
reader = "words"
path = "words.{code}"
language = "en"

[schedule]
epochs = 1
tokens_per_step = 80
learning_rate = 1e-3
"""


def test_a_reader_and_a_recipe_of_ones_own(tmp_path: Path) -> None:
    """A reader is one short file in `tasks/sources`, a recipe one in `models/recipes`, of a folder of plugins."""
    files = {
        "tasks/sources/words.py": SOURCE,
        "models/recipes/words.toml": RECIPE.format(code="en"),
        "models/letters.py": (PLUGINS / "models" / "letters.py").read_text(encoding="utf-8"),
        "data/words.en": "one\nthree\nfive\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    command = ["tune", "preview", "words", "--data", str(tmp_path / "data"), "-n", "9"]
    shown = subprocess.run(
        [sys.executable, "-m", "xlingual", *command],
        env={"XLINGUAL_PLUGINS": str(tmp_path), "XLINGUAL_CACHE": str(tmp_path / "cache"), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert shown.returncode == 0, shown.stderr
    for word, length in (("one", 3), ("three", 5), ("five", 4)):
        assert f"How long is this word?\n\n{word}\n⟦{length}<end>⟧" in shown.stdout
