"""Tables on a terminal: nothing is cut off, at any width."""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from xlingual.cli.display import split_columns


@pytest.mark.parametrize(
    ("widths", "room", "parts"),
    [
        ([10, 10, 5, 5, 5], 80, [[0, 1, 2, 3, 4]]),
        ([10, 10, 5, 5, 5], 30, [[0, 1, 2, 3], [0, 1, 4]]),
        ([10, 10, 50, 5], 30, [[0, 1, 2], [0, 1, 3]]),
        ([10, 10], 30, [[0, 1]]),
        ([10], 30, [[0]]),
    ],
)
def test_wide_tables_come_in_parts(widths: list[int], room: int, parts: list[list[int]]) -> None:
    assert split_columns(widths, room) == parts


def _on_terminal(width: int, *arguments: str) -> str:
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "xlingual", *arguments],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env={**os.environ, "COLUMNS": str(width), "TERM": "xterm", "NO_COLOR": "1"},
    )
    os.close(follower)
    output = b""
    while True:
        try:
            piece = os.read(leader, 65536)
        except OSError:
            break
        if not piece:
            break
        output += piece
    assert process.wait(timeout=60) == 0
    os.close(leader)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", output.decode("utf-8"))


@pytest.mark.parametrize("width", [80, 200])
def test_a_run_on_a_terminal(width: int, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    shown = _on_terminal(width, "eval", "-m", "oracle", "-t", "xquad/en,xquad/zh", "--data", "sample", "-o", out)
    assert "48/48" in shown
    assert "…" not in shown
    assert all(
        word in shown for word in ("oracle", "xquad/zh", "containment [95%]", "source_copy", "100.0 [74.1, 100.0]")
    )
