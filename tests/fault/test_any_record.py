"""Records of a run whose values are of another kind: no command ends as a bug, and none invents a score."""

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xlingual.cli import run_command

from .commands import Stock
from .strategies import damaged, mistyped

ALLOWED = (0, 1, 2, 3, 5)
COMMANDS = {
    "board": ("board", "RUNS"),
    "verify": ("verify", "RUNS", "--data", "sample"),
    "compare": ("compare", "FIRST", "SECOND"),
    "score": ("score", "FIRST", "--data", "sample"),
    "view": ("view", "RUNS"),
    "analyze content": ("analyze", "content", "FIRST"),
    "report": ("report", "RUNS", "--write", "page"),
    "resume": ("eval", "-m", "echo", "-t", "xquad/en", "--data", "sample", "-o", "RUNS", "--progress", "none"),
}
FILES = ("results.json", "samples.jsonl", "run.json", "journal.jsonl")


def _put_through(stock: Stock, folder: Path, name: str, file: str, content: bytes) -> int:
    """Give a command runs of which one file holds `content`; return its exit code."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(stock.folder / "runs", folder / "runs")
    places = {"RUNS": "runs", "FIRST": stock.runs[1], "SECOND": stock.runs[0], "page": "page"}
    (folder / stock.runs[1] / file).write_bytes(content)
    return run_command([str(folder / places[word]) if word in places else word for word in COMMANDS[name]])


def _expect_order(code: int, error: str, content: bytes) -> None:
    assert code in ALLOWED, f"{error}\n{content[:3000]!r}"
    assert "Traceback" not in error
    assert "this is a bug" not in error


@pytest.mark.slow
@pytest.mark.parametrize("file", ["results.json", "run.json"])
@pytest.mark.parametrize("name", COMMANDS)
def test_no_value_of_a_record_is_a_bug(
    name: str, file: str, stock: Stock, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = json.loads((stock.folder / stock.runs[1] / file).read_text(encoding="utf-8"))

    @settings(max_examples=12, deadline=None, derandomize=True)
    @given(mistyped(seed))
    def put_through(text: str) -> None:
        code = _put_through(stock, tmp_path / "trial", name, file, text.encode())
        _expect_order(code, capsys.readouterr().err, text.encode())

    put_through()


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("name", COMMANDS)
def test_no_damage_of_a_record_is_a_bug(
    name: str, file: str, stock: Stock, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = (stock.folder / stock.runs[1] / file).read_bytes()

    @settings(max_examples=6, deadline=None, derandomize=True)
    @given(st.one_of(damaged([seed]), st.sampled_from([b"", b"\x00" * 64, seed[: len(seed) // 2]])))
    def put_through(content: bytes) -> None:
        code = _put_through(stock, tmp_path / "trial", name, file, content)
        _expect_order(code, capsys.readouterr().err, content)

    put_through()
