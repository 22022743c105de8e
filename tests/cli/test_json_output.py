"""`--json` prints one JSON document on standard output, and nothing else: every command that has it."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from xlingual.cli import COMMAND

from .test_config_files import SWEEP

RUNS = "eval -m oracle -m echo -t xquad/en --data sample -o runs --progress none"
COMMANDS = {
    "eval": "eval -m echo -t xquad/en --data sample -o other",
    "compare": "compare ORACLE ECHO",
    "score": "score RUN --data sample",
    "verify": "verify runs",
    "board": "board runs --board sample",
    "metrics": "metrics",
    "models": "models",
    "tasks": "tasks",
    "doctor": "doctor",
    "judge": "judge ECHO --judge echo --kind correctness -t xquad/en",
    "analyze content": "analyze content ORACLE ECHO",
    "tune recipes": "tune recipes",
    "tune plan": "tune plan x-llama-zh-mini --data sample --set schedule.epochs=1",
    "tune preview": "tune preview x-llama-zh-mini --data sample",
    "scale similarity": "scale similarity --by typology -l zh,vi",
    "scale sweep": "scale sweep sweep.toml --data sample --dry-run",
}
ELSEWHERE = {
    "tune run": "tests/training/test_tune_run.py",
    "analyze space": "tests/cli/test_analyze_space.py",
    "scale fit": "tests/cli/test_scale.py",
    "scale allocate": "tests/cli/test_scale.py",
}
"""They need a model or a fit; tests of these files read what they print as one document."""
SLOW = ("tune plan", "tune preview", "scale sweep")
"""Commands that read a mix twice: some seven seconds each."""


def _with_json(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[str]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from _with_json(found, (*path, name))
    elif any("--json" in each.opts for each in command.params):
        yield " ".join(path)


def test_every_command_with_the_option_is_tried() -> None:
    assert sorted(_with_json(COMMAND)) == sorted([*COMMANDS, *ELSEWHERE])
    root = Path(__file__).parents[2]
    assert all("--json" in (root / file).read_text(encoding="utf-8") for file in ELSEWHERE.values())


def _run(words: str, place: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "xlingual", *words.split()]
    return subprocess.run(command, cwd=place, check=False, capture_output=True, text=True)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("json")
    (folder / "sweep.toml").write_text(SWEEP, encoding="utf-8")
    assert _run(RUNS, folder).returncode == 0
    return folder


@pytest.mark.parametrize(
    "name", [pytest.param(each, marks=pytest.mark.slow) if each in SLOW else each for each in COMMANDS]
)
def test_standard_output_is_one_document_and_empty_after_an_error(name: str, place: Path) -> None:
    oracle, echo = (next(place.glob(f"runs/{each}-*")) for each in ("oracle", "echo"))
    words = COMMANDS[name].replace("ORACLE", str(oracle)).replace("ECHO", str(echo))
    finished = _run(f"{words.replace('RUN', str(next(oracle.glob('*/'))))} --json", place)
    if finished.stdout:
        assert finished.returncode == 0, finished.stderr
        assert isinstance(json.loads(finished.stdout), dict)
    else:  # a package, or a part of the packaged sample, that this command needs and that is not here
        assert name in ("scale similarity", "scale sweep"), finished.stderr
        assert json.loads(finished.stderr.splitlines()[-1])["error"]["exit_code"] in (3, 5)
