"""TOML files as families among others: found by name, in every folder of tasks, and harmless where they are broken."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from xlingual import plugins
from xlingual.cli import run_command
from xlingual.registry import TASKS
from xlingual.selection import select_tasks

from .conftest import ROWS, TEXT


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of plugins of the user's."""
    monkeypatch.setattr(plugins, "__path__", [*plugins.__path__, str(tmp_path)])
    (tmp_path / "tasks").mkdir()
    (tmp_path / "rivers").mkdir()
    for name, text in ROWS.items():
        (tmp_path / "rivers" / f"{name}.jsonl").write_text(text, encoding="utf-8")
    yield tmp_path
    for name in ("rivers", "big_rivers"):
        TASKS._items.pop(name, None)


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = run_command(words)
    captured = capsys.readouterr()
    return code, captured.out + captured.err


def test_a_file_is_a_family(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "tasks" / "big-rivers.toml").write_text(TEXT, encoding="utf-8")
    assert [task.spec.name for task in select_tasks(["big_rivers"], [])] == ["big_rivers/en", "big_rivers/de"]
    assert [task.spec.name for task in select_tasks(["big-rivers/d*"], [])] == ["big_rivers/de"]
    assert [task.spec.name for task in select_tasks(["big-rivers"], ["de"])] == ["big_rivers/de"]
    code, shown = run(capsys, "tasks")
    assert (code, "| big_rivers | 2 |" in shown) == (0, True)
    assert TASKS.origin("big_rivers") == "xlingual.plugins.tasks.big_rivers"
    assert TASKS.get("big_rivers").tasks.__doc__ == "Rivers: which sea they flow into"
    out = str(folder / "runs")
    code, shown = run(capsys, "eval", "-m", "oracle", "-t", "big_rivers", "--data", str(folder), "-o", out)
    assert code == 0, shown
    assert "| oracle | big_rivers/en | 2 | 100.0" in shown
    words = ("-t", "big_rivers/en", "--data", str(folder), "-o", out, "--shots", "1", "--dry-run")
    code, shown = run(capsys, "eval", "-m", "oracle", *words)
    assert "River: Nile\nSea: Mediterranean\n\n" in shown


def test_a_broken_file_harms_no_other(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "tasks" / "rivers.toml"
    path.write_text(TEXT.replace("prompt =", "promt ="), encoding="utf-8")
    code, shown = run(capsys, "tasks")
    assert code == 1
    assert f"{path}:8: unknown key 'promt'" in " ".join(shown.split())
    assert "| xquad | 12 |" in shown
    code, shown = run(capsys, "tasks", "rivers")
    assert (code, f"error: {path}:8: unknown key 'promt'" in shown, "did you mean prompt" in shown) == (3, True, True)
    path.write_text("description = ", encoding="utf-8")
    code, shown = run(capsys, "eval", "-m", "oracle", "-t", "rivers", "-o", str(folder / "runs"))
    assert (code, f"error: {path}:1" in shown, "bug" in shown) == (3, True, False)


@pytest.mark.parametrize("other", ["rivers.py", "../more/tasks/rivers.toml"])
def test_a_name_is_taken_once(
    other: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "tasks" / "rivers.toml").write_text(TEXT, encoding="utf-8")
    second = folder / "tasks" / other
    second.parent.mkdir(parents=True, exist_ok=True)
    second.write_text(TEXT if other.endswith("toml") else "", encoding="utf-8")
    monkeypatch.setattr(plugins, "__path__", [*plugins.__path__, str(folder / "more")])
    code, shown = run(capsys, "tasks", "rivers")
    assert code == 2
    assert "'rivers' is in" in shown
    assert str(folder / "tasks") in shown
    assert run(capsys, "tasks", "xquad")[0] == 0
    assert run(capsys, "tasks")[0] == 1
