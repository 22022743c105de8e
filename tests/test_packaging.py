"""The wheel: it exposes `xlingual` and nothing else, and carries the plugins and the sample."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from xlingual.view.document import BODY, SCRIPTS, STYLE

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    return next(folder.glob("*.whl"))


def test_the_wheel_exposes_xlingual_only(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.split("/")[0] for name in archive.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"xlingual"}


def test_the_wheel_carries_plugins_and_sample(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    for each in (
        "tasks/xquad.py",
        "tasks/sample/xquad/xquad.zh.json",
        "tasks/sample/flores101/devtest/zho_simpl.devtest",
        "tasks/sample/mlqa/MLQA_V1/test/test-context-ar-question-hi.json",
        "models/hf/__init__.py",
        "models/smollm2.py",
        "leaderboards/paper.toml",
        "tasks/sources/alpaca.py",
        "tasks/sample/tune/alpaca.zh.jsonl",
        "models/recipes/x-llama.toml",
    ):
        assert f"xlingual/plugins/{each}" in names
    for each in (*SCRIPTS, STYLE, BODY):
        assert f"xlingual/view/page/{each}" in names


def test_the_wheel_runs_away_from_the_checkout(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from xlingual.__main__ import main\n"
        "sys.argv[1:] = 'eval -m oracle -t xquad/zh --data sample -o runs --json'.split()\n"
        "main()"
    )
    finished = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "site")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert '"value": 100.0' in finished.stdout


@pytest.mark.parametrize("name", ["tasks", "models", "leaderboards", "tests"])
def test_the_folders_are_not_importable_by_themselves(name: str, tmp_path: Path) -> None:
    program = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({name!r}) is not None)"
    assert subprocess.run([sys.executable, "-P", "-c", program], cwd=tmp_path, check=False).returncode == 0
