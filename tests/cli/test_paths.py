"""Paths that lead nowhere end as wrong words or are left out, and none as a bug."""

import json
import os
import shutil
from pathlib import Path

import pytest

from xlingual.cli import run_command

EVAL = ("eval", "-m", "echo", "-t", "xquad/zh", "--data", "sample", "--limit", "2", "--progress", "none")
COMMANDS = (
    (*EVAL, "-o", "WORD"),
    ("eval", "-m", "hf:WORD", *EVAL[3:]),
    (*EVAL[:5], "--data", "WORD"),
    (*EVAL, "--price", "WORD"),
    ("score", "WORD", "--task", "xquad/zh", "--data", "sample"),
    ("verify", "WORD"),
    ("board", "WORD"),
    ("board", "runs", "--board", "WORD.toml"),
    ("view", "WORD"),
    ("compare", "WORD", "WORD"),
    ("judge", "WORD", "--judge", "echo", "--kind", "correctness"),
    ("analyze", "content", "WORD"),
    ("tune", "run", "WORD.toml"),
    ("tune", "card", "WORD"),
    ("scale", "fit", "WORD"),
    ("scale", "sweep", "WORD"),
    ("report", "WORD"),
    ("track", "upload", "WORD"),
    ("tasks", "--check", "WORD"),
)


@pytest.mark.parametrize("word", ["~nobody-of-this-name/x", "loop", "loop/x", "x" * 300, "file/x"])
@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_path_that_leads_nowhere_is_no_bug(
    words: tuple[str, ...],
    word: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XLINGUAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    Path("loop").symlink_to("loop")
    Path("loop.toml").symlink_to("loop.toml")
    Path("file").write_text("x")
    Path("runs").mkdir()
    code = run_command([each.replace("WORD", word) for each in words])
    error = capsys.readouterr().err
    assert code in (2, 3, 5), error
    assert error.count("error: ") == 1


@pytest.mark.parametrize("name", ["results.json", "judge.json", "content.json", "space-x.json"])
def test_a_link_to_itself_among_runs_is_left_out(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for model in ("echo", "oracle"):
        assert run_command(["eval", "-m", model, "-t", "xquad/zh", "--data", "sample", "-o", "runs"]) == 0
    [broken] = [path.parent for path in tmp_path.rglob("results.json") if "echo" in str(path)]
    (broken / name).unlink(missing_ok=True)
    (broken / name).symlink_to(name)
    shutil.copytree("runs", "other", symlinks=True)
    capsys.readouterr()
    assert run_command(["board", "runs", "--board", "sample", "--json"]) == 0
    board = json.loads(capsys.readouterr().out)
    assert any(each["where"].endswith(name) for each in board["left_out"]) is (name == "results.json")
    for words in (
        ["view", "runs"],
        ["report", "runs", "--baseline", "oracle", "--board", "sample"],
        ["verify", "runs"],
    ):
        code = run_command(words)
        assert code in (0, 2, 3, 5), os.linesep.join(capsys.readouterr())
