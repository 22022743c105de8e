"""The page of an experiment: text of strangers stays text, nothing is fetched, gains in the paper's form."""

import re
from dataclasses import replace

import pytest

from xlingual.board.rows import BoardRow, BoardTable, Cell, CellState, Column, Gain
from xlingual.records import Protocol
from xlingual.report import Page, Section, render_page
from xlingual.report.sections import own_language_gain
from xlingual.scaling.plots import Picture

PROTOCOL = Protocol(
    task="xquad/zh",
    task_version="1",
    split="test",
    data="0" * 64,
    n=10,
    limit=None,
    prompts="0" * 64,
    template="native",
    shots=0,
    seed=None,
    max_new_tokens=32,
    stop=None,
    on_overflow="truncate",
)
EMPTY = Cell(
    task="", state=CellState.MISSING, value=None, low=None, high=None, n=0, expected=10, limit=None, reason=None
)


def _column(code: str) -> Column:
    return Column(
        task=f"xquad/{code}", variant=code, language=code, signature="s", protocol=PROTOCOL, origins=("local",)
    )


def _row(model: str, *values: float | None) -> BoardRow:
    cells = tuple(EMPTY if value is None else replace(EMPTY, state=CellState.COMPLETE, value=value) for value in values)
    return BoardRow(model=model, fingerprint=model, cells=cells, average=None, rank=None, gain=None)


def _table(*rows: BoardRow) -> BoardTable:
    columns = tuple(map(_column, ("en", "tr", "vi", "zh")))
    return BoardTable(
        family="xquad", metric="containment", higher_is_better=True, baseline="alpaca", columns=columns, rows=rows
    )


TAUGHT = {"x-tr": "tr", "x-vi": "vi", "x-zh": "zh"}


@pytest.mark.parametrize(
    ("alpaca", "tr", "vi", "zh", "gain", "columns"),
    [
        ((50.0, 10.0, 20.0, 40.0), 15.0, 20.0, 30.0, (50.0 + 0.0 - 25.0) / 3, ("tr", "vi", "zh")),
        ((50.0, 0.0, 20.0, 40.0), 15.0, 30.0, 30.0, (50.0 - 25.0) / 2, ("vi", "zh")),
        ((50.0, 10.0, None, 40.0), 15.0, 30.0, None, 50.0, ("tr",)),
        ((50.0, 0.0, 0.0, 0.0), 15.0, 30.0, 1.0, None, ()),
    ],
)
def test_each_x_model_counts_in_its_own_language_only(
    alpaca: tuple[float | None, ...],
    tr: float | None,
    vi: float | None,
    zh: float | None,
    gain: float | None,
    columns: tuple[str, ...],
) -> None:
    table = _table(
        _row("alpaca", *alpaca),
        _row("x-tr", 90.0, tr, 90.0, 90.0),
        _row("x-vi", 90.0, 90.0, vi, 90.0),
        _row("x-zh", 90.0, 90.0, 90.0, zh),
    )
    found = own_language_gain(table, TAUGHT)
    assert found.value == (None if gain is None else pytest.approx(gain))
    assert found.columns == tuple(f"xquad/{code}" for code in columns)


def test_a_table_without_the_baseline_has_no_gain() -> None:
    expected = Gain(value=None, columns=(), reason="no column to compare")
    assert own_language_gain(_table(_row("x-tr", 1.0, 2.0, 3.0, 4.0)), TAUGHT) == expected


def test_a_page_is_whole_and_its_text_is_text() -> None:
    picture = Picture(title='scores "of" <all>', svg=b"<svg/>", png=b"")
    hostile = "<script>alert(1)</script> ![x](http://evil.example/x.png) [y](javascript:alert(1))"
    page = Page(
        title="<b>models</b>",
        introduction=hostile,
        sections=(Section(heading="A & B", parts=("| a | b |\n| --- | --- |\n| 1 | <i>2</i> |", picture)),),
    )
    text = render_page(page)
    assert render_page(page) == text
    assert "<script" not in text
    assert "<b>" not in text
    assert "<i>" not in text
    assert "javascript:" not in re.sub(r"<p>.*?</p>", "", text)
    assert '<h2 id="part-1">A &amp; B</h2>' in text
    assert "<td>1</td>" in text
    assert 'alt="scores &quot;of&quot; &lt;all&gt;" src="data:image/svg+xml;base64,PHN2Zy8+"' in text
    assert re.findall(r'src="(?!data:)([^"]*)"', text) == [], "the page fetches nothing"
    assert re.findall(r'href="(?!#|https?:)([^"]*)"', text) == []
