"""Plugins by name: one file is a plugin, a name is taken once, what is broken is named."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).resolve().parents[1] / "README.md"
TASK = README.read_text(encoding="utf-8").partition("```python\n")[2].partition("```")[0]
"""The README's own example."""
LINES = """\
{"id": "fr", "question": "What is the capital of France?", "answers": ["Paris"]}
{"id": "bo", "question": "What is the capital of Bolivia?", "answers": ["Sucre", "La Paz"]}
"""


def _xlingual(plugins: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "xlingual", *arguments],
        env={"XLINGUAL_PLUGINS": str(plugins), "PATH": "", "PYTHONPATH": os.environ.get("PYTHONPATH", "")},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def _write(folder: Path, name: str, text: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")


def test_a_task_is_one_file_of_at_most_40_lines(tmp_path: Path) -> None:
    assert TASK.count("\n") <= 40
    _write(tmp_path / "tasks", "capitals.py", TASK)
    listed = _xlingual(tmp_path, "tasks")
    assert listed.returncode == 0
    assert "| capitals | 2 | capitals/* | xlingual.plugins.tasks.capitals |" in listed.stdout
    data = tmp_path / "my-data"
    for language in ("en", "vi"):
        _write(data / "capitals", f"{language}.test.jsonl", LINES)
    words = ("--data", str(data), "-o", str(tmp_path / "runs"))
    finished = _xlingual(tmp_path, "eval", "-m", "oracle", "-t", "capitals", *words)
    assert finished.returncode == 0, finished.stderr
    assert "| oracle | capitals/vi | 2 | 100.0 |" in finished.stdout


def test_a_broken_plugin_is_named_and_the_rest_go_on(tmp_path: Path) -> None:
    _write(tmp_path / "tasks", "broken.py", "import no_such_package\n")
    listed = _xlingual(tmp_path, "tasks")
    assert listed.returncode == 1
    assert "broken.py:1: ModuleNotFoundError: No module named 'no_such_package' |" in listed.stdout
    assert "| xquad | 12 |" in listed.stdout
    assert _xlingual(tmp_path, "tasks", "xquad").returncode == 0


@pytest.mark.parametrize(
    ("file", "text", "error"),
    [
        ("xquad.py", TASK, "the plugin 'xquad' is in"),
        ("other.py", TASK, "the plugin file 'other' registers no task family of that name"),
    ],
)
def test_names_are_taken_once_and_are_file_names(file: str, text: str, error: str, tmp_path: Path) -> None:
    _write(tmp_path / "tasks", file, text)
    finished = _xlingual(tmp_path, "tasks", file.removesuffix(".py"))
    assert finished.returncode == 2
    assert error in finished.stderr


def test_a_plugin_folder_without_plugins_is_an_error(tmp_path: Path) -> None:
    finished = _xlingual(tmp_path, "tasks")
    assert finished.returncode == 2
    assert f"put task files into {tmp_path / 'tasks'}" in finished.stderr


def test_a_model_is_one_file_too(tmp_path: Path) -> None:
    model = (
        "from dataclasses import replace\n"
        "from xlingual import ModelOptions, Model, open_model, register_model\n\n\n"
        '@register_model("mine")\n'
        "def open_mine(name: str, options: ModelOptions) -> Model:\n"
        '    """Mine: the oracle under another name."""\n'
        '    return open_model("oracle", options)\n'
    )
    _write(tmp_path / "models", "mine.py", model)
    assert "| mine | Mine: the oracle under another name. |" in _xlingual(tmp_path, "models").stdout
    arguments = ("eval", "-m", "mine", "-t", "xquad/en", "--data", "sample", "-o", str(tmp_path / "runs"))
    assert _xlingual(tmp_path, *arguments).returncode == 0
