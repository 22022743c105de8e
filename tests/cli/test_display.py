"""Tables on a terminal: nothing is cut off, at any width."""

import html
import os
import re
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from rich.cells import cell_len

from xlingual.cli import printable
from xlingual.cli.display import show_table, split_columns

from ..board.hostile import HOSTILE
from .terminal import on_terminal


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


@pytest.mark.parametrize("width", [80, 200])
def test_a_run_on_a_terminal_with_everything(width: int, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    run = ("eval", "-m", "oracle", "-t", "xquad/en,xquad/zh", "--data", "sample", "-o", out, "--all")
    shown = on_terminal(width, "xlingual", *run)
    assert shown.code == 0
    assert "48/48" in shown.text
    assert "…" not in shown.text
    assert all(
        word in shown.text for word in ("oracle", "xquad/zh", "containment [95%]", "source_copy", "100.0 [74.1, 100.0]")
    )


def _print_table(words: list[str]) -> str:
    rows = [[word, word, "1.0"] for word in words]
    return f"from xlingual.cli.display import show_table; show_table({words[0]!r}, ['model', 'task', 'x'], {rows!r})"


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_breaks_a_table_on_a_terminal(name: str, tmp_path: Path) -> None:
    (tmp_path / "table_script.py").write_text(_print_table([name[:300], "plain"]), encoding="utf-8")
    shown = on_terminal(80, "table_script", PYTHONPATH=f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    assert shown.code == 0, shown.text
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]", shown.text)
    framed = [line for line in shown.lines if line.startswith(("│", "┃", "└", "┡", "┏"))]
    assert len({cell_len(line) for line in framed}) == 1, "all lines end at the same place"
    assert max(map(cell_len, shown.lines)) <= 80


def test_wide_and_right_to_left_names_are_aligned_and_stay_in_their_cells(tmp_path: Path) -> None:
    names = ["plain", "中文模型", "نموذج عربي", "हिन्दी", "ไทย"]
    (tmp_path / "table_script.py").write_text(_print_table(names), encoding="utf-8")
    shown = on_terminal(80, "table_script", PYTHONPATH=f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    framed = [line for line in shown.lines if line.startswith("│")]
    assert len(framed) == len(names)
    assert {cell_len(line) for line in framed} == {cell_len(framed[0])}
    assert "\u200eنموذج عربي\u200e" in shown.text, "else a terminal moves the number before the name"
    assert "\u200e" not in framed[0]


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_breaks_a_table_in_a_pipe(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    show_table(name, ["model", name, "x"], [[name, "a", "1.0"], ["plain", "b", "2.0"]])
    lines = capsys.readouterr().out.splitlines()[3:]
    assert len(lines) == 4
    assert {len(re.split(r"(?<!\\)\|", line)) for line in lines} == {5}


@pytest.mark.parametrize("name", ["x| 100 |", "x\\| 100 |", "a\\\\|b"])
def test_a_reader_of_markdown_sees_the_name(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    show_table("t", ["model", "task"], [[name, "a"]])
    page = MarkdownIt().enable("table").render(capsys.readouterr().out)
    cells = [html.unescape(cell) for cell in re.findall("<td>(.*?)</td>", page)]
    assert cells[1] == "a"
    assert cells[0].replace("\\", "") == name.replace("\\", "")
    assert "\\" in cells[0] or "\\" not in name, "the backslash is there"


def test_messages_cannot_turn_a_line_around() -> None:
    assert printable("a\u202eb\u2066c\ud800\u2028\x1b[2J\n") == "a�b�c���[2J\n"
    assert printable("می\u200cخواهم") == "می\u200cخواهم", "Persian needs its joiners"
