"""Analyses in the pages of `xlingual view` and `xlingual report`: where they lie beside runs, and only there."""

import base64
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from xlingual.analysis.content import read_analysis
from xlingual.analysis.sections import find_sections
from xlingual.analysis.space.files import read_space
from xlingual.cli import run_command
from xlingual.errors import DataError
from xlingual.judging.reports import read_report
from xlingual.view.provenance import clean_json

from ..analysis.beside_runs import HOSTILE, content_of, put_everything
from .browser import Page, find_chromium
from .runs import read_page

CHROMIUM = find_chromium()
PLANTED = "openai:/mnt/Our Models/canary-q/tuned/m sk-1234567890abcdef"
HEADINGS = ("Representation space", "Content of answers", "Judges")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return put_everything(tmp_path_factory.mktemp("everything"))


def test_the_view_holds_them_below_the_table(runs: Path, tmp_path: Path) -> None:
    target = tmp_path / "view.html"
    assert run_command(["view", str(runs), "--out", str(target)]) == 0
    parts = read_page(target)
    assert [table["family"] for table in parts.index["tables"]] == ["xquad", "judge_correctness"]
    names = [each["id"] for tag, each in parts.tags if tag == "details" and "id" in each]
    assert names == ["analysis-space", "analysis-content", "analysis-judges"]
    assert [tag for tag, _ in parts.tags].count("style") == 1
    assert HOSTILE not in target.read_text(encoding="utf-8")
    attributes = {(tag, name) for tag, found in parts.tags for name in found}
    assert not [each for each in attributes if each[1] in ("href", "srcset", "style", "action") or each[1][:2] == "on"]
    sources = [str(found["src"]) for _, found in parts.tags if "src" in found]
    assert sources
    assert all(each.startswith("data:image/svg+xml;base64,") for each in sources)


def test_the_same_runs_give_the_same_page(runs: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        assert run_command(["view", str(runs), "--out", str(tmp_path / name)]) == 0
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_without_analyses_nothing_is_said_of_them(tmp_path: Path) -> None:
    words = ["eval", "-m", "oracle", "-t", "xquad/en", "--data", "sample", "-o", str(tmp_path / "runs")]
    assert run_command([*words, "--progress", "none"]) == 0
    target = tmp_path / "view.html"
    assert run_command(["view", str(tmp_path / "runs"), "--out", str(target)]) == 0
    assert "<aside" not in target.read_text(encoding="utf-8")
    words = ["report", str(tmp_path / "runs"), "--board", "sample", "--write", str(tmp_path / "report.html")]
    assert run_command(words) == 0
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert not [heading for heading in HEADINGS if heading in text]


def test_the_report_has_a_section_for_each(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "report.html"
    assert run_command(["report", str(runs), "--board", "sample", "--write", str(target)]) == 0
    assert "left out" not in capsys.readouterr().err
    text = target.read_text(encoding="utf-8")
    places = [text.index(f"{heading}</h2>") for heading in HEADINGS]
    assert places == sorted(places)
    assert [text.count(f"{heading}</h2>") for heading in HEADINGS] == [1, 1, 1]
    assert HOSTILE not in text
    assert "<script" not in text


@pytest.mark.parametrize("command", [["view", "--out"], ["report", "--board", "sample", "--write"]])
def test_a_broken_analysis_is_named_and_the_page_is_written(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    path = content_of(runs.parent)
    sound = path.read_bytes()
    target = tmp_path / "page.html"
    try:
        path.write_text("{", encoding="utf-8")
        assert run_command([command[0], str(runs), *command[1:], str(target)]) == 0
    finally:
        path.write_bytes(sound)
    assert "left out: runs/analysis/content.json: " in capsys.readouterr().err
    assert "Judges" in target.read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian: apt-get install chromium)")
def test_a_browser_shows_them_without_a_complaint_or_a_request(page: Page, runs: Path, tmp_path: Path) -> None:
    for name, words in (("view.html", ["view", "--out"]), ("report.html", ["report", "--board", "sample", "--write"])):
        target = tmp_path / name
        assert run_command([words[0], str(runs), *words[1:], str(target)]) == 0
        page.events.clear()
        page.open(target)
        page.evaluate("document.querySelectorAll('details').forEach(each => { each.open = true; })")
        page.wait("[...document.images].every(each => each.complete)")
        assert page.evaluate("document.images.length > 1 && [...document.images].every(each => each.naturalWidth > 9)")
        shown = str(page.evaluate("document.body.innerText"))
        assert "scripted-<b>judge&" in shown
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert page.complaints() == []
        assert [each for each in page.requests() if not each.startswith("data:image/svg+xml;base64,")] == []


def text_places(value: dict[str, Any] | list[Any]) -> Iterator[tuple[Any, Any]]:
    """Yield every place of a text in JSON data, as what holds it and its key."""
    for key, item in list(value.items() if isinstance(value, dict) else enumerate(value)):
        if isinstance(item, str):
            yield value, key
        elif isinstance(item, dict | list):
            yield from text_places(item)


def test_no_text_of_an_analysis_brings_a_path_or_a_key_to_the_page(runs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    folder.mkdir()
    readers: dict[str, Callable[[Path], object]] = {
        "judge": lambda path: read_report(path, path.name),
        "content": read_analysis,
        "space-": read_space,
    }
    for name, read in readers.items():
        [path] = runs.rglob(f"{name}*.json")
        data = json.loads(path.read_text(encoding="utf-8"))
        target = folder / path.name
        planted = 0
        for holder, key in text_places(data["model"] if name == "space-" else data):  # layers are drawn by their names
            before, holder[key] = holder[key], PLANTED
            target.write_text(json.dumps(data), encoding="utf-8")
            try:
                read(target)
                planted += 1
            except DataError:  # one of a few words
                holder[key] = before
        target.write_text(json.dumps(data), encoding="utf-8")
        assert planted > 2, name
    found = find_sections([folder], clean_json)
    assert found.left_out == ()
    assert [each.name for each in found.sections] == ["space", "content", "judges"]
    for each in found.sections:
        pictures = [base64.b64decode(picture).decode() for picture in re.findall(r"base64,([^\"]+)", each.html)]
        text = "".join([each.html, *pictures])
        assert "tuned/m" in text, "names of models are shown"
        assert "canary-q" not in text
        assert "1234567890abcdef" not in text
