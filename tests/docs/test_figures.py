"""Tables and numbers of docs/analysis.md and docs/content.md are those of the records in docs/figures/."""

from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from xlingual.analysis.space.comparison import find_curve

from .scripts import load_script

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script("make_figures")


def _page(name: str) -> str:
    return " ".join((DOCS / name).read_text(encoding="utf-8").split())


def _numbered_rows(name: str, heads: tuple[str, ...]) -> list[str]:
    """Return the rows of the tables whose heads begin so."""
    rows, inside = [], False
    for line in (DOCS / name).read_text(encoding="utf-8").splitlines():
        inside = line.startswith(heads) or (inside and line.startswith("|"))
        if inside and not line.startswith((*heads, "| ---")):
            rows.append(line)
    return rows


def test_the_tables_of_the_space_are_the_records(script: ModuleType) -> None:
    heads = ("| SmolLM2, layer |", "| Gemma, layer |")
    assert _numbered_rows("analysis.md", heads) == list(script.space_rows(script.read_space_figures()))


def test_the_numbers_of_the_prose_are_the_records(script: ModuleType) -> None:
    page = _page("analysis.md")
    assert [each for each in script.space_facts(script.read_space_figures()) if each not in page] == []


def test_what_the_page_says_without_numbers(script: ModuleType) -> None:
    figures = script.read_space_figures()
    base, tuned, other = figures.records
    peaks = [{each.measure: each for each in record.peaks} for record in figures.records]
    assert peaks[0]["retrieval_margin"].stability == 1.0
    assert (peaks[0]["cka"].layer, peaks[0]["cosine_gap"].layer) == (0, 0)
    for record in (base, other):
        probe = find_curve(record.curves, "probe", "mean")
        assert probe is not None
        assert min(probe.values) > 0.99
    language = find_curve(base.curves, "language_share_scaled", "mean")
    assert language is not None
    assert min(language.values) > 0.5
    certain = {each.measure: each.certain for each in figures.comparison.curves}
    assert not any(certain["retrieval_margin"])
    assert any(certain["language_share_scaled"])
    assert (base.data, base.files) == (tuned.data, tuned.files) == (other.data, other.files)
    for layer in (11, 12, 13):
        own, english, _, _ = script.lens_shares(other, 1, layer)
        assert english > 2 * own
        assert script.lens_shares(other, 10, layer)[0] < 0.1
    assert max(script.lens_shares(other, 10, layer)[0] for layer in range(1, 14)) < 0.1
    assert other.lens is not None
    overlap = {each.shuffled: each.values for each in other.lens.overlap}
    ahead = [100 * (overlap[False][layer] - overlap[True][layer]) for layer in (10, 11, 12, 13)]
    assert {round(each) for each in ahead} == {4, 5}


def test_the_table_of_a_real_run_is_its_record(script: ModuleType) -> None:
    analysis = script.read_content_figures()
    assert _numbered_rows("content.md", ("| | en-zh |",)) == list(script.content_rows(analysis))
    page = _page("content.md")
    assert [each for each in script.content_facts(analysis) if each not in page] == []
    assert {found.value for each in analysis.records for found in each.estimates if found.metric == "refusal"} == {0.0}


def test_a_figure_that_changes_is_seen(script: ModuleType) -> None:
    figures = script.read_space_figures()
    curves = tuple(
        replace(each, values=tuple(value + 0.01 for value in each.values)) if each.measure == "probe" else each
        for each in figures.records[0].curves
    )
    same = replace(figures, records=(replace(figures.records[0], curves=curves), *figures.records[1:]))
    assert list(script.space_rows(same)) == list(script.space_rows(figures))
    moved = tuple(replace(each, values=tuple(value + 0.01 for value in each.values)) for each in curves)
    other = replace(figures, records=(replace(figures.records[0], curves=moved), *figures.records[1:]))
    page = _page("analysis.md")
    assert [each for each in script.space_rows(other) if each not in page]
    assert [each for each in script.space_facts(other) if each not in page]


def test_the_records_hold_no_text_of_a_benchmark_and_no_path(script: ModuleType) -> None:
    assert not any(each.examples for each in script.read_content_figures().records)
    for record in script.read_space_figures().records:
        assert not any(points for each in record.projections for points in each.points.values())
    for path in (script.SPACE, script.CONTENT):
        text = path.read_text(encoding="utf-8")
        assert text.isascii()
        assert "/tmp" not in text
        assert "/work" not in text
