"""`xlingual report`: what it refuses, and a page of nothing but what there is."""

import json
from pathlib import Path

import pytest

from xlingual.cli import run_command

SPLIT = {"schema": 1, "metric": "chrf++", "goal": "mean", "budget": "many"}


@pytest.mark.parametrize(
    ("option", "content", "code", "what"),
    [
        ("--fit", "[]", 3, "is not a fit of schema 1"),
        ("--allocation", '{"schema": 9}', 3, "is not a split of schema 1"),
        ("--allocation", json.dumps(SPLIT), 3, "split.json: "),
        ("--allocation", "{", 3, "not JSON"),
        ("--commands", None, 2, "cannot be read"),
        ("--tuned", None, 2, "no such folder"),
    ],
)
def test_what_is_no_part_of_an_experiment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, content: str | None, code: int, what: str
) -> None:
    path, runs, page = tmp_path / "split.json", tmp_path / "runs", tmp_path / "page.html"
    runs.mkdir()
    if content is not None:
        path.write_text(content, encoding="utf-8")
    assert run_command(["report", str(runs), option, str(path), "--write", str(page)]) == code
    assert what in capsys.readouterr().err
    assert not page.exists()


def test_a_page_of_runs_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["eval", "--model", "oracle", "--tasks", "xquad/zh", "--data", "sample", "--out", str(tmp_path / "runs")]
    assert run_command([*words, "--progress", "none"]) == 0
    page = tmp_path / "page.html"
    words = ["report", str(tmp_path / "runs"), "--board", "sample", "--title", "One & only", "--write", str(page)]
    assert run_command(words) == 0
    assert f"report: {page}" in capsys.readouterr().out
    text = page.read_text(encoding="utf-8")
    assert "<h1>One &amp; only</h1>" in text
    assert "100.0 [74.1, 100.0]" in text
    assert "On the packaged sample" in text
    for absent in ("What was trained", "Gains over", "The scaling law", "The budget", "How it was made"):
        assert absent not in text
