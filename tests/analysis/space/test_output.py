"""Files, tables, pictures and pages of an analysis."""

import json
import re
import sys
import tracemalloc
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from xlingual.analysis.space import (
    ParallelText,
    SpaceRecord,
    SpaceSettings,
    analyze_space,
    compare_spaces,
    make_parallel,
    page,
    read_space,
    read_spaces,
    save_space,
    section,
    space_file,
)
from xlingual.analysis.space.plots import draw_curves, draw_lens, draw_maps
from xlingual.analysis.space.records import LayerCurve
from xlingual.analysis.space.tables import comparison_tables, lens_tables, peak_lines, space_tables
from xlingual.errors import DataError, ModelError, UsageError
from xlingual.plugin import LogitLens, ModelOptions, TextStates
from xlingual.records import ModelSpec, Request, Response
from xlingual.registry import MODELS
from xlingual.scaling.tables import TextTable

SPEC = ModelSpec(
    word="fake", backend="fake", name="fake", revision=None, fingerprint="0" * 64, dtype="float32", template="raw",
    context_length=None, parent=None,
)  # fmt: skip


@dataclass(frozen=True)
class FakeModel:
    """A model whose states are drawn from a text's own letters."""

    layers: int
    width: int = 8
    broken: bool = False
    spec: ModelSpec = SPEC

    def count_tokens(self, requests: Sequence[Request]) -> None: ...

    def answer(self, requests: Sequence[Request]) -> Iterator[Response]:
        yield from ()

    def close(self) -> None: ...

    def hidden_states(self, texts: Sequence[str], lens: LogitLens | None) -> Iterator[TextStates]:
        for text in texts:
            seed = sum(map(ord, text))
            states = np.random.default_rng(seed).normal(size=(self.layers + 1, self.width)).astype(np.float32)
            if self.broken:
                states[1, 0] = np.inf
            yield TextStates(ids=tuple(map(ord, text)), mean=states, last=states, predictions=None)


def _text(sentences: int) -> ParallelText:
    lines = [[f"{code} {number}" for number in range(sentences)] for code in ("en", "el")]
    return make_parallel(("en", "el"), lines)


def _width(table: TextTable) -> int:
    rows = [table.header, *table.rows]
    widths = [max(len(row[index]) for row in rows) + 3 for index in range(len(table.header))]
    return sum(widths) + 1


def test_tables_fit_80_columns_and_have_controls(planted_record: SpaceRecord, plain_record: SpaceRecord) -> None:
    named = replace(planted_record, model=replace(planted_record.model, name="a"))
    tables = [each for pooling in ("mean", "last") for each in space_tables(named, pooling, every=True)]
    tables += lens_tables(named, every=True)
    tables += comparison_tables(compare_spaces(plain_record, planted_record), (plain_record, planted_record), "mean")
    for table in tables:
        assert _width(table) <= 79, table.title
        assert len(table.title) <= 80, table.title
        if "told" not in table.title:
            assert any("shuf" in word for word in table.header), table.title
        assert all(len(row) == len(table.header) for row in table.rows)
    assert peak_lines(planted_record, "mean")[0].count("layer 2") == 1
    assert all("in no layer above" in each for each in peak_lines(plain_record, "mean") if "retrieval" in each)


def test_every_measure_by_layer_has_its_control_beside_it(planted_record: SpaceRecord) -> None:
    """As docs/analysis.md has it; the tables of the lens have columns without one, which the page names."""
    for each in planted_record.curves:
        twin = [other for other in planted_record.curves if _curve(other) == (*_curve(each)[:-1], not each.shuffled)]
        assert len(twin) == 1, each
    without = {"layer", "others", "undecided"}
    tables = [each for pooling in ("mean", "last") for each in space_tables(planted_record, pooling, every=True)]
    for table in [*tables, *lens_tables(planted_record, every=True)]:
        if table.header[0] == "layer":
            own = [place for place, word in enumerate(table.header) if word not in without | {"shuf."}]
            assert own, table.title
            assert all(table.header[place + 1] == "shuf." for place in own), table.title


def _curve(each: LayerCurve) -> tuple[object, ...]:
    return each.measure, each.pooling, each.scope, each.shuffled


def test_records_come_back_as_they_were(
    planted_record: SpaceRecord, planted_text: ParallelText, tmp_path: Path
) -> None:
    settings = SpaceSettings(poolings=("mean", "last"), lens_sentences=20)
    path = space_file(planted_record.model, planted_text, settings, tmp_path)
    save_space(planted_record, path)
    assert re.fullmatch(r"space-planted-[0-9a-f]{8}\.json", path.name)
    assert read_space(path) == planted_record
    assert read_spaces(tmp_path) == (planted_record,)
    assert read_spaces(tmp_path / "none") == ()
    other = space_file(planted_record.model, planted_text, replace(settings, seed=1), tmp_path)
    assert other != path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 9}, "schema 9, not 1"),
        ({"layers": "four"}, "layers"),
        ({"more": 1}, "unknown field 'more'"),
        (None, "schema None"),
    ],
)
def test_files_that_are_none(
    planted_record: SpaceRecord, planted_text: ParallelText, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    path = tmp_path / "space-x.json"
    save_space(planted_record, path)
    data = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps([] if change is None else data | change), encoding="utf-8")
    with pytest.raises(DataError, match=message) as caught:
        read_space(path)
    assert str(path) in str(caught.value)


def test_pictures(planted_record: SpaceRecord, plain_record: SpaceRecord) -> None:
    lens = draw_lens(planted_record)
    assert lens is not None
    assert draw_lens(replace(planted_record, lens=None)) is None
    for picture in (draw_curves([plain_record, planted_record], "mean"), draw_maps(planted_record), lens):
        assert ET.fromstring(picture.svg).tag.endswith("svg")
    assert draw_maps(planted_record).svg == draw_maps(planted_record).svg


def test_the_section_stands_by_itself(
    planted_record: SpaceRecord, plain_record: SpaceRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = replace(planted_record, model=replace(planted_record.model, name="<script>alert(1)</script>"))
    found = section([plain_record, named])
    assert found.startswith('<section class="space">')
    assert found.endswith("</section>")
    assert "<script" not in found
    assert "http://" not in found.replace("http://www.w3.org", "")
    assert found.count("<img ") == 2 + 4
    assert "&lt;script&gt;alert(1)&lt;/script&gt; less plain" in found
    assert page([plain_record]).startswith("<!doctype html>")
    assert section([]) == ""
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # drawn once is enough
    other = section([plain_record, replace(named, data="0" * 64)])
    assert "are not compared layer by layer: they were shown other sentences" in other


def test_a_page_without_matplotlib_has_tables(planted_record: SpaceRecord, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    found = section([planted_record])
    assert "No pictures: " in found
    assert "pip install" in found
    assert "<table>" in found


def test_models_without_states_and_with_broken_ones() -> None:
    with pytest.raises(ModelError, match=r"echo.*does not show its hidden states"):
        analyze_space(MODELS.get("echo")("", ModelOptions()), _text(10), SpaceSettings())
    with pytest.raises(ModelError, match="sentence 1 in en: the states of layer 1 are not finite"):
        analyze_space(FakeModel(layers=2, broken=True), _text(10), SpaceSettings())


def test_a_model_without_a_lens_says_so() -> None:
    record = analyze_space(FakeModel(layers=2), _text(10), SpaceSettings())
    assert record.lens is None
    assert any("no logit lens" in each for each in record.notes)
    quiet = analyze_space(FakeModel(layers=2), _text(10), SpaceSettings(lens_sentences=0))
    assert quiet.notes == ()


def _peak_bytes(model: FakeModel, sentences: int) -> int:
    text = _text(sentences)
    tracemalloc.start()
    try:
        analyze_space(model, text, SpaceSettings())
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_layers() -> None:
    """The vectors of 40 layers are ten times those of 3, and lie on disk: one layer is in memory."""
    few, many = FakeModel(layers=3, width=4096), FakeModel(layers=40, width=4096)
    _peak_bytes(few, 12)
    shallow, deep = _peak_bytes(few, 40), _peak_bytes(many, 40)
    vectors = 2 * 40 * 41 * 4096 * 4
    assert vectors > 50_000_000
    assert deep - shallow < 8_000_000  # a text's own states, (41, 4096) in the making, and the effects of 37 layers


@pytest.mark.parametrize(
    ("languages", "lines", "kind", "message"),
    [
        (["en"], [["a"] * 9], UsageError, "two languages or more"),
        (["en", "en"], [["a"] * 9] * 2, UsageError, "each once"),
        (["en", "el"], [["a"] * 9, ["a"] * 8], DataError, "8 sentences in el, but 9 in en"),
        (["en", "el"], [["a"] * 7] * 2, DataError, "7 sentences; at least 8"),
        ([str(n) for n in range(9)], [["a"] * 9] * 9, DataError, "at least 10 are needed to compare 9"),
    ],
)
def test_text_that_cannot_be_compared(
    languages: list[str], lines: list[list[str]], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        make_parallel(languages, lines)


def test_models_of_different_depth_are_drawn_by_relative_depth(planted_record: SpaceRecord) -> None:
    shallow = analyze_space(FakeModel(layers=2), _text(10), SpaceSettings(lens_sentences=0))
    one, both = draw_curves([shallow], "mean", ("cka",)), draw_curves([shallow, planted_record], "mean", ("cka",))
    assert len(both.svg) > len(one.svg)
    assert "are not compared layer by layer" in section([shallow, replace(planted_record, data=shallow.data)])
