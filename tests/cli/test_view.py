"""`xlingual view` as users meet it: where the page goes, what is said, how it fails."""

import re
import webbrowser
from pathlib import Path

import pytest

from xlingual.cli import run_command

from ..view.runs import put_runs, read_page


def _run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = run_command(arguments)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_page_lies_beside_the_runs_and_its_path_is_said(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_runs(tmp_path / "runs")
    monkeypatch.chdir(tmp_path)
    code, said, complaints = _run(capsys, "view")
    assert (code, complaints) == (0, "")
    assert re.fullmatch(r"view: runs/view\.html \(models: 4, tasks: 3, texts of 72 of 72 samples, \d\.\d MB\)\n", said)
    assert len(read_page(tmp_path / "runs" / "view.html").index["runs"]) == 12
    first = (tmp_path / "runs" / "view.html").read_bytes()
    assert _run(capsys, "view", "runs")[0] == 0
    assert (tmp_path / "runs" / "view.html").read_bytes() == first, "a page is no run"


def test_options_reach_the_page(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    root, target = put_runs(tmp_path / "runs"), tmp_path / "new" / "page.html"
    code, said, _ = _run(capsys, "view", str(root), "-o", str(target), "--texts", "0", "--no-golds", "--open")
    assert code == 0
    assert "texts of 0 of 72 samples" in said
    assert opened == [target.as_uri()]
    assert read_page(target).index["golds"] is False


@pytest.mark.parametrize(
    ("arguments", "code", "error", "hint"),
    [
        (["no-such"], 2, "no such folder", "xlingual eval --out"),
        (["empty"], 3, "no run can be read", "xlingual eval --out DIR"),
        (["broken"], 3, "no run can be read: broken/results.json:1", "xlingual eval --out DIR"),
        (["runs", "-o", "empty"], 2, "is a folder", "empty/view.html"),
        (["runs", "-o", "file/page.html"], 5, "file/page.html: File exists", "choose another --out"),
        (["runs", "--texts", "-1"], 2, "-1", "xlingual view --help"),
    ],
)
def test_errors_say_where_and_what_to_do(
    arguments: list[str], code: int, error: str, hint: str, capsys: pytest.CaptureFixture[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    put_runs(tmp_path / "runs")
    for name in ("empty", "broken"):
        (tmp_path / name).mkdir()
    (tmp_path / "broken" / "results.json").write_text("{", encoding="utf-8")
    (tmp_path / "file").write_text("", encoding="utf-8")
    found, _, complaints = _run(capsys, "view", *arguments)
    assert found == code, complaints
    assert error in complaints
    assert hint in complaints


def test_a_run_without_samples_is_said_and_shown(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    root = put_runs(tmp_path / "runs")
    (root / "echo-1" / "xquad-hi" / "samples.jsonl").unlink()
    code, _, complaints = _run(capsys, "view", str(root))
    assert code == 0
    assert complaints == "runs/echo-1/xquad-hi/results.json: there are no samples\n"
