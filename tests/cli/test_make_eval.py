"""What `make eval` runs, and that no name is ever read by a shell."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from xlingual.cli import make
from xlingual.cli.make import eval_arguments

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = ["org/name", 'x"; touch hacked; "', "a$b", "$(touch hacked)", "`touch hacked`", "it's", "a b", "x|y"]


def test_nothing_set_is_the_demo() -> None:
    arguments = eval_arguments({})
    assert arguments[:3] == ["eval", "--model", "smollm2"]
    assert arguments[arguments.index("--data") + 1] == "sample"


def test_words_become_options() -> None:
    words = {"MODEL": "m", "TASKS": "xquad,flores101", "LANGS": "zh,ar", "LIMIT": "40", "DATA": "d", "ARGS": "--seed 3"}
    arguments = eval_arguments({f"XLINGUAL_MAKE_{name}": value for name, value in words.items()})
    expected = "eval --model m --out runs --tasks xquad,flores101 --langs zh,ar --limit 40 --data d --seed 3"
    assert arguments == expected.split()


def test_hints_name_the_command_that_make_stands_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["make.py", "eval"])
    monkeypatch.setenv("XLINGUAL_MAKE_MODEL", "echo")
    seen: list[list[str]] = []

    def note(_: list[str]) -> int:
        seen.append(sys.argv[1:])
        return 130

    monkeypatch.setattr(make, "run_command", note)
    assert make.main("eval") == 130
    assert seen == [["eval", "--model", "echo", "--out", "runs"]]


def test_the_demo_asks_the_controls_too_and_a_model_of_ones_own_stays_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[list[str]] = []

    def note(arguments: list[str]) -> int:
        seen.append(list(arguments))
        if "oracle" in arguments:
            click.echo("no room left", err=True)
            return 5
        click.echo("a table")
        return 0

    monkeypatch.setattr(sys, "argv", ["make.py", "eval"])
    monkeypatch.setattr(make, "run_command", note)
    assert make.main("eval") == 0
    asked = [each[each.index("--model") + 1] for each in seen if each[0] == "eval"]
    assert asked == ["smollm2", *make.DEMO_CONTROLS]
    plain = [each[3:] for each in seen if each[0] == "eval" and "passage" not in each]
    assert all(each == plain[0] for each in plain), "all have the questions of the demo"
    [passage] = [each for each in seen if "passage" in each]
    assert passage[3:] == [*plain[0], "--tasks", "xquad,mlqa"], "a sentence to translate has no passage"
    assert [each[0] for each in seen[-2:]] == ["board", "view"]
    out = capsys.readouterr()
    assert (out.out.count("a table"), "no room left" in out.err) == (3, True)
    seen.clear()
    monkeypatch.setenv("XLINGUAL_MAKE_MODEL", "echo")
    assert make.main("eval") == 0
    assert [each[0] for each in seen] == ["eval", "board", "view"]


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize("name", HOSTILE)
def test_make_passes_names_whole(name: str, tmp_path: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    recipe = "\t@$(BIN)/python -m xlingual.cli.make eval\n"
    assert recipe in makefile
    probe = makefile.replace(recipe, "\t@printenv XLINGUAL_MAKE_MODEL\n").replace("eval: $(STAMP)", "eval:")
    (tmp_path / "Makefile").write_text(probe, encoding="utf-8")
    outside = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS", "XLINGUAL"))}
    finished = subprocess.run(
        ["make", "eval"], cwd=tmp_path, env={**outside, "MODEL": name}, capture_output=True, text=True, check=True
    )
    assert finished.stdout == f"{name}\n"
    assert [each.name for each in tmp_path.iterdir()] == ["Makefile"]
