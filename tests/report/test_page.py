"""The page of an experiment: text of strangers stays text, nothing is fetched, gains in the paper's form."""

import re
from dataclasses import replace

import pytest

from xlingual.board.rows import BoardRow, BoardTable, Cell, CellState, Column, Gain
from xlingual.records import Protocol
from xlingual.report import Page, Section, render_page
from xlingual.report.gains import _show_gain, own_language_gain
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
    ("alpaca", "tr", "vi", "zh", "shown", "columns"),
    [
        ((50.0, 10.0, 20.0, 40.0), 15.0, 20.0, 30.0, "-1.7; +8.3%", ("tr", "vi", "zh")),
        ((50.0, 0.0, 20.0, 40.0), 15.0, 30.0, 30.0, "+5.0", ("tr", "vi", "zh")),
        ((50.0, 4.9, 20.0, 40.0), 15.0, 30.0, 30.0, "+3.4", ("tr", "vi", "zh")),
        ((50.0, 0.1, 0.1, 0.1), 1.0, 1.0, 1.1, "+0.9", ("tr", "vi", "zh")),
        ((50.0, 10.0, None, 40.0), 15.0, 30.0, None, "+5.0; +50.0% (1 of 3)", ("tr",)),
        ((50.0, 0.0, 0.0, 0.0), 15.0, 30.0, 1.0, "+15.3", ("tr", "vi", "zh")),
        ((50.0, None, None, None), 15.0, 30.0, 1.0, "–", ()),
    ],
)
def test_each_x_model_counts_in_its_own_language_only(
    alpaca: tuple[float | None, ...],
    tr: float | None,
    vi: float | None,
    zh: float | None,
    shown: str,
    columns: tuple[str, ...],
) -> None:
    """Points first; a relative gain only where the baseline is clearly above zero in each of the languages."""
    table = _table(
        _row("alpaca", *alpaca),
        _row("x-tr", 90.0, tr, 90.0, 90.0),
        _row("x-vi", 90.0, 90.0, vi, 90.0),
        _row("x-zh", 90.0, 90.0, 90.0, zh),
    )
    found = own_language_gain(table, TAUGHT)
    assert _show_gain(found, table, 3) == shown
    assert found.columns == tuple(f"xquad/{code}" for code in columns)


def test_the_interval_of_the_own_languages_is_that_of_the_widest_case() -> None:
    """Errors of 3 and 4 points: 5 for the difference, and for the mean of three languages that err together."""
    table = _table(
        _row("alpaca", 50.0, 10.0, 20.0, 40.0), *(_row(f"x-{code}", 9, 15, 25, 45) for code in TAUGHT.values())
    )
    widths = {"alpaca": 3.0, "x-tr": 4.0, "x-vi": 4.0, "x-zh": 4.0}
    rows = tuple(
        replace(
            row,
            cells=tuple(
                replace(cell, low=cell.value - widths[row.model], high=cell.value + widths[row.model])
                for cell in row.cells
                if cell.value is not None
            ),
        )
        for row in table.rows
    )
    found = own_language_gain(replace(table, rows=rows), TAUGHT)
    assert (found.points, found.points_low, found.points_high) == pytest.approx((5.0, 0.0, 10.0))
    assert found.weak == (), "3 points around 10 are a g of 0.09"
    wide = replace(rows[0], cells=tuple(replace(cell, low=0.0, high=20.0) for cell in rows[0].cells))
    assert own_language_gain(replace(table, rows=(wide, *rows[1:])), TAUGHT).weak == ("xquad/tr", "xquad/vi")


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
