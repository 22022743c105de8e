"""The page in a browser: what a person does, with nothing on the console and nothing on the network."""

import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from ..board.factory import make_estimate, make_run, write_run
from .browser import Page, find_chromium
from .runs import Row, make_rows, put_run, put_runs, view_runs

CHROMIUM = find_chromium()
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian: apt-get install chromium)")
HOSTILE = "\u202eabc\u2066 </script><!--<script>alert(1)</script> <img src=x onerror=alert(1)> \u2028 \x1b[31m"
CELLS = "[...document.querySelectorAll('#table td button')]"
ROWS = "[...document.querySelectorAll('#table tbody th[scope=row] .model')].map(e => e.textContent)"


CHOICES = {
    "answer": None,
    "finish": None,
    "choices": [{"text": "yes", "before": ""}, {"text": "no", "before": ""}],
    "likelihoods": [{"logarithm": each, "is_greedy": False, "tokens": 1} for each in (-2.5, -1.25)],
}


RENDERED = ([f"<s>[INST] {HOSTILE}", " [/INST]"], ["<s>q: question 1?</s>"])


def put_rated(folder: Path) -> None:
    """Write a run with a second metric, which judges three of four answers."""
    record = put_run(folder, make_run("rated", "xquad/ar", 50.0), make_rows(["yes", "yes", "no", "no"]))
    write_run(
        folder, dataclasses.replace(record, estimates=(*record.estimates, make_estimate("off_target", 33.3, n=3)))
    )
    rows = make_rows(["yes", "yes", "no", "no"])
    for row, judged in zip(rows, ([0.0, 1.0], [1.0, 1.0], [0.0, 1.0], None), strict=True):
        row["statistics"] = {**cast(Row, row["statistics"]), "off_target": judged}
    (folder / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = put_runs(tmp_path_factory.mktemp("view") / "runs", questions=240)
    rows = make_rows(
        ["yes", f"no {HOSTILE}"] * 120, thinking=f"المقطع يقول 3 (abc).\n{HOSTILE}", scored=f"نعم {HOSTILE}"
    )
    put_run(root / "hostile-1" / "xquad-ar", make_run(f"hostile {HOSTILE}", "xquad/ar", 50.0), rows)
    put_run(root / "chooser-1" / "yesno-ar", make_run("chooser", "yesno/ar", 50.0), make_rows(["yes"]))
    line = {**make_rows(["yes"])[0], **CHOICES}
    (root / "chooser-1" / "yesno-ar" / "samples.jsonl").write_text(json.dumps(line) + "\n", encoding="utf-8")
    put_rated(root / "rated-1" / "xquad-ar")
    rows = [{**row, "rendered": rendered} for row, rendered in zip(make_rows(["yes", "no"]), RENDERED, strict=True)]
    put_run(root / "shown-1" / "xquad-ar", make_run("shown", "xquad/ar", 50.0), rows)
    target = root.parent / "view.html"
    view_runs(root, target)
    return target


@pytest.fixture
def opened(page: Page, file: Path) -> Iterator[Page]:
    page.events.clear()
    page.open(file)
    yield page
    assert page.complaints() == []
    assert page.requests() == []


def test_sort_by_a_column_and_back(opened: Page) -> None:
    assert opened.evaluate(f"{ROWS}.slice(0, 2)") == ["x-llama", "alpaca"]
    opened.evaluate("document.querySelector('[data-sort=\"1\"]').click()")
    assert cast(list[str], opened.evaluate(ROWS))[:2] == ["x-llama", "alpaca"]
    opened.evaluate("document.querySelector('[data-sort=\"1\"]').click()")
    assert cast(list[str], opened.evaluate(ROWS))[:2] == ["alpaca", "x-llama"]
    assert opened.evaluate("[...document.querySelectorAll('[aria-sort]')].map(e => e.getAttribute('aria-sort'))") == [
        "ascending"
    ]
    assert cast(list[str], opened.evaluate(ROWS))[-2:] == ["echo", "oracle"], "controls stay below"
    assert "sort=1%3Aup" in str(opened.evaluate("location.hash"))


def test_filter_by_model_and_language(opened: Page) -> None:
    opened.evaluate("(() => { const f = document.getElementById('filter'); f.value = 'LLAMA'; f.oninput(); })()")
    assert opened.evaluate(ROWS) == ["x-llama"]
    opened.evaluate("document.querySelector('#columns input').click()")
    assert opened.evaluate("[...document.querySelectorAll('#table thead .name')].map(e => e.textContent)") == [
        "Model", "hi", "zh", "average",
    ]  # fmt: skip
    opened.evaluate("(() => { const f = document.getElementById('filter'); f.value = 'nobody'; f.oninput(); })()")
    assert "No model" in str(opened.evaluate("document.getElementById('table').textContent"))


def test_an_interval_and_words_stand_in_the_cell(opened: Page) -> None:
    label = f"{CELLS}.map(e => e.getAttribute('aria-label')).find(e => e.startsWith('alpaca, Arabic'))"
    assert re.match(r"alpaca, Arabic \(ar\): 50\.2 48\.2–52\.2 incomplete 239/240\.", str(opened.evaluate(label)))
    shown = opened.evaluate("getComputedStyle(document.querySelector('#table .range')).width")
    assert float(str(shown).removesuffix("px")) > 1


def test_the_grid_is_one_tab_stop_and_arrows_move(opened: Page) -> None:
    def focused() -> object:
        return opened.evaluate(
            "document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent"
        )

    assert opened.evaluate("document.querySelectorAll('#table [tabindex=\"0\"]').length") == 1
    opened.evaluate("document.querySelector('#table [tabindex=\"0\"]').focus()")
    opened.press("ArrowDown")
    assert focused() == "x-llama"
    opened.press("ArrowRight")
    assert str(focused()).startswith("x-llama, Arabic")
    opened.press("End")
    assert focused() == "100.0"
    opened.press("Home", ctrl=True)
    assert str(focused()).startswith("Model")
    opened.press("End", ctrl=True)
    opened.press("ArrowLeft")
    assert str(focused()).startswith("echo, Chinese")
    assert opened.evaluate("document.querySelectorAll('#table [tabindex=\"0\"]').length") == 1
    opened.press("Enter")
    opened.wait("document.getElementById('drawer').open && document.querySelector('#detail h3')")
    opened.press("Escape")
    opened.wait("!document.getElementById('drawer').open")
    assert str(focused()).startswith("echo, Chinese"), "focus returns to the cell"


def open_drawer(page: Page, name: str) -> None:
    page.evaluate(f"{CELLS}.find(e => e.getAttribute('aria-label').startsWith({name!r})).click()")
    page.wait("document.querySelector('#detail h3')")


def test_a_cell_opens_its_samples_failures_first(opened: Page) -> None:
    open_drawer(opened, "alpaca, Arabic")
    scores = cast(list[str], opened.evaluate("[...document.querySelectorAll('#list .score')].map(e => e.textContent)"))
    assert len(scores) == 100, "pages of a hundred"
    assert scores == ["–", *["0"] * 99]
    assert "240 of 240 samples" in str(opened.evaluate("document.getElementById('status').textContent"))
    opened.evaluate("[...document.querySelectorAll('.pager button')].at(-1).click()")
    opened.wait("document.querySelector('.pager').textContent.includes('101–200')")
    opened.press("ArrowRight")
    opened.wait("document.querySelector('.detail-bar').textContent.includes('2 of 240')")
    opened.press("ArrowLeft")
    opened.wait("document.querySelector('.detail-bar').textContent.includes('1 of 240')")
    text = str(opened.evaluate("document.getElementById('detail').textContent"))
    assert "Q: question" in text
    assert "yes" in text
    opened.evaluate(
        "(() => { const s = document.getElementById('only'); s.value = 'failed'; s.onchange({target: s}); })()"
    )
    opened.wait("document.getElementById('status').textContent.startsWith('1 of 240')")
    assert "timeout: 30 s" in str(opened.evaluate("document.getElementById('detail').textContent"))


def test_another_metric_brings_its_own_worst_first(opened: Page) -> None:
    opened.evaluate("document.querySelectorAll('#tabs button')[0].click()")
    opened.evaluate("(() => { const m = document.getElementById('metric'); m.value = 'off_target'; m.onchange(); })()")
    assert "lower is better" in str(opened.evaluate("document.getElementById('caption').textContent"))
    open_drawer(opened, "rated")
    scores = cast(list[str], opened.evaluate("[...document.querySelectorAll('#list .score')].map(e => e.textContent)"))
    assert scores == ["100", "0", "0", "–"]


def test_search_finds_texts(opened: Page) -> None:
    open_drawer(opened, "x-llama, Hindi")
    opened.evaluate(
        "(() => { const s = document.getElementById('search'); s.value = 'QUESTION 17?'; s.oninput({target: s}); })()"
    )
    opened.wait("document.getElementById('status').textContent.startsWith('1 of 240')")
    assert opened.evaluate("document.querySelector('#detail h3').textContent") == "q17"


def test_two_models_side_by_side_differ_most_first(opened: Page) -> None:
    open_drawer(opened, "alpaca, Hindi")
    choose = "[...s.options].find(o => o.textContent === 'x-llama').value"
    opened.evaluate(
        f"(() => {{ const s = document.getElementById('other'); s.value = {choose}; s.onchange({{target: s}}); }})()"
    )
    opened.wait("document.querySelectorAll('#detail .answers.two > section').length === 2")
    assert "of 240 scored in both, higher here 0, higher beside 120, equal 120; mean difference -50.0" in str(
        opened.evaluate("document.getElementById('status').textContent")
    )
    scores = cast(list[str], opened.evaluate("[...document.querySelectorAll('#list .score')].map(e => e.textContent)"))
    assert scores[:6] == ["0", "100"] * 3
    answers = opened.evaluate("[...document.querySelectorAll('#detail pre.answer')].map(e => e.textContent)")
    assert answers == ["no", "yes"]


def test_hostile_texts_stay_texts_and_their_controls_are_seen(opened: Page) -> None:
    before = opened.evaluate("document.querySelectorAll('script, img').length")
    open_drawer(opened, "hostile")
    opened.wait("document.querySelector('#detail pre.thinking')")
    assert opened.evaluate("document.querySelectorAll('script, img').length") == before
    assert opened.evaluate("document.body.innerText.match(/[\\u202a-\\u202e\\u2066-\\u2069\\u2028\\u001b]/)") is None
    chips = cast(
        list[str],
        opened.evaluate("[...document.querySelectorAll('#detail pre.thinking .chip')].map(e => e.textContent)"),
    )
    assert chips == ["U+202E", "U+2066", "U+2028", "ESC"]
    look = "[e.dir, getComputedStyle(e).unicodeBidi, getComputedStyle(e).display]"
    styles = opened.evaluate(f"[...document.querySelectorAll('#detail pre')].map(e => {look})")
    assert {tuple(each) for each in cast(list[list[str]], styles)} == {("auto", "plaintext", "block")}
    assert opened.evaluate("document.querySelector('#detail pre.answer').lang") == "ar"
    apart = "e.dir === 'auto' && getComputedStyle(e).display !== 'inline'"
    assert opened.evaluate(f"[...document.querySelectorAll('.name')].every(e => {apart})") is True


def test_choices_stand_with_their_likelihoods(opened: Page) -> None:
    opened.evaluate("document.querySelectorAll('#tabs button')[1].click()")
    open_drawer(opened, "chooser")
    assert opened.evaluate("[...document.querySelectorAll('#detail .choice')].map(e => e.textContent)") == [
        "yes-2.500", "no-1.250",
    ]  # fmt: skip
    assert opened.evaluate("document.querySelector('#detail pre.answer').textContent") == "no"
    assert opened.evaluate("document.querySelector('#list .preview').textContent") == "no"


def test_a_sample_shows_what_the_model_read(opened: Page) -> None:
    open_drawer(opened, "shown")
    found = []
    for _ in range(2):
        text = "document.querySelector('#detail pre.rendered').textContent"
        found.append(str(opened.evaluate(text)))
        marks = "[...document.querySelectorAll('#detail pre.rendered mark')].map(e => e.textContent)"
        assert len(cast(list[str], opened.evaluate(marks))) == (2 if "INST" in found[-1] else 0)
        opened.press("ArrowRight")
    whole, *_ = [each for each in found if "INST" not in each]
    around, *_ = [each for each in found if "INST" in each]
    assert whole == "<s>q: question 1?</s>"
    assert around.startswith("<s>[INST] ")
    assert around.endswith("Q: question 0? [/INST]")
    assert opened.evaluate("document.querySelector('#detail pre.rendered img, #detail pre.rendered script')") is None


def test_provenance_is_a_click_away(opened: Page) -> None:
    open_drawer(opened, "alpaca, Arabic")
    opened.evaluate("document.getElementById('show-provenance').click()")
    text = str(opened.evaluate("document.getElementById('provenance').textContent"))
    for word in ("fingerprint", "score:containment|v:1", "task_version", "runs/alpaca-1/xquad-ar/results.json"):
        assert word in text


def test_a_link_opens_the_same_view(opened: Page, file: Path) -> None:
    open_drawer(opened, "alpaca, Chinese")
    opened.press("ArrowRight")
    opened.wait("document.querySelector('.detail-bar').textContent.includes('2 of 240')")
    name = opened.evaluate("document.querySelector('#detail h3').textContent")
    address = str(opened.evaluate("location.hash"))
    opened.open(file, address)
    opened.wait("document.querySelector('#detail h3')")
    assert opened.evaluate("document.querySelector('#detail h3').textContent") == name
    assert "xquad/zh" in str(opened.evaluate("document.getElementById('drawer-title').textContent"))


def test_tables_can_be_saved(opened: Page) -> None:
    opened.evaluate(
        "URL.createObjectURL = (blob) => { blob.text().then((text) => { window.saved = text; }); return 'blob:x'; };"
        "document.addEventListener('click', (event) => { if (event.target.download) {"
        "window.file = event.target.download; event.preventDefault(); } })"
    )
    opened.evaluate("[...document.querySelectorAll('#downloads button')][0].click()")
    opened.wait("window.saved")
    lines = str(opened.evaluate("window.saved")).split("\r\n")
    assert opened.evaluate("window.file") == "xquad-containment.csv"
    assert lines[0].startswith("family,data,model,fingerprint")
    assert len([line for line in lines if line.startswith("xquad,real,")]) == 15
    opened.evaluate("window.saved = ''; [...document.querySelectorAll('#downloads button')][3].click()")
    opened.wait("window.saved")
    assert opened.evaluate("JSON.parse(window.saved).records.length") == 17
    open_drawer(opened, "rated")
    opened.evaluate("document.getElementById('show-provenance').click()")
    opened.evaluate("window.saved = ''; [...document.querySelectorAll('#provenance button')].at(-1).click()")
    opened.wait("window.saved")
    samples = [json.loads(line) for line in str(opened.evaluate("window.saved")).splitlines()]
    assert [each["scores"]["off_target"] for each in samples] == [0, 100, 0, None]
    assert (samples[0]["id"], samples[0]["answer"], samples[0]["targets"]) == ("q0", "yes", ["yes"])


def test_dark_light_and_the_switch(opened: Page) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    opened.dark(False)
    light = opened.evaluate(paper)
    opened.dark(True)
    dark = opened.evaluate(paper)
    assert light != dark
    for theme, colour in (("dark", dark), ("light", light), ("auto", dark)):
        opened.evaluate("document.getElementById('theme').click()")
        assert opened.evaluate("document.getElementById('theme').textContent") == f"Theme: {theme}"
        assert opened.evaluate(paper) == colour
    opened.dark(False)


def test_a_phone_never_scrolls_sideways(page: Page, opened: Page) -> None:
    page.size(390, 844, phone=True)
    try:
        wide = "document.documentElement.scrollWidth"
        assert opened.evaluate(wide) == 390
        open_drawer(opened, "alpaca, Arabic")
        assert opened.evaluate(wide) == 390
        assert opened.evaluate("document.getElementById('drawer').scrollWidth <= 390") is True
        opened.evaluate("document.querySelector('#list .item').click()")
        opened.wait("getComputedStyle(document.getElementById('list')).display === 'none'")
        assert opened.evaluate("document.getElementById('detail').scrollWidth <= 390") is True
        opened.evaluate("document.querySelector('#detail .phone').click()")
        opened.evaluate("document.getElementById('show-provenance').click()")
        assert opened.evaluate("document.getElementById('provenance').scrollWidth <= 390") is True
        assert opened.evaluate("document.getElementById('show-samples').offsetHeight > 0") is True, (
            "there is a way back"
        )
        heights = (
            "[...document.querySelectorAll('dialog button')].map(e => e.offsetHeight).filter(height => height > 0)"
        )
        assert cast(float, opened.evaluate(f"Math.min(...{heights})")) >= 44
    finally:
        page.size(1280, 860)


def test_small_multiples_open_the_same_samples(opened: Page) -> None:
    opened.evaluate("document.getElementById('as-chart').click()")
    lines = (
        "[...document.querySelectorAll('.panel:nth-child(2) .line')].map(e => [...e.children].map(c => c.textContent))"
    )
    assert opened.evaluate(lines) == [
        [model, "", value]
        for model, value in (("x-llama", "100.0"), ("oracle", "100.0"), ("alpaca", "50.0"), ("echo", "0.0"))
    ]
    opened.evaluate("document.querySelector('.panel:nth-child(2) .line:nth-child(4)').click()")
    opened.wait("document.querySelector('#detail h3')")
    assert opened.evaluate("document.getElementById('drawer-title').textContent") == "alpaca xquad/hi"
    opened.evaluate("document.getElementById('drawer').close()")
    opened.wait("document.activeElement.matches('.line')")


def test_no_table_at_all_is_said(page: Page, tmp_path: Path) -> None:
    page.events.clear()
    (tmp_path / "runs").mkdir()
    view_runs(tmp_path / "runs", tmp_path / "view.html")
    page.open(tmp_path / "view.html")
    assert "no runs" in str(page.evaluate("document.getElementById('caption').textContent"))
    assert page.complaints() == []
