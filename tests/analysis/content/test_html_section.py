"""The HTML of an analysis: whole, right-to-left safe, and nothing of a stranger is markup."""

import dataclasses
from html.parser import HTMLParser

import pytest

from xlingual.analysis.content import ContentAnalysis, analyse_runs, section
from xlingual.analysis.content.records import ContentExample

from ...board.hostile import HOSTILE
from .labelled_table import sentences
from .runs import make_rows, put_answers

TAGS = {"section", "h3", "div", "table", "thead", "tbody", "tr", "th", "td", "ul", "li"}


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, tuple[str, ...]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open.append(tag)
        self.seen.append((tag, tuple(name for name, _ in attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def parse(text: str) -> _Tags:
    found = _Tags()
    found.feed(text)
    assert found.open == []
    return found


@pytest.fixture(scope="module")
def analysis(tmp_path_factory: pytest.TempPathFactory) -> ContentAnalysis:
    root = tmp_path_factory.mktemp("runs")
    put_answers(root, "base", "xquad/ar", make_rows("xquad/ar", [*sentences("en", "plain"), *sentences("ar", "loop")]))
    put_answers(
        root, "tuned", "xquad/ar", make_rows("xquad/ar", [*sentences("ar", "plain"), *sentences("ar", "refusal")])
    )
    return analyse_runs([root])


def test_every_table_and_note_is_there(analysis: ContentAnalysis) -> None:
    page = parse(section(analysis))
    for words in ("xquad/ar: content", "xquad/ar: against base", "Languages and scripts", "xquad/ar, tuned: examples",
                  "Measures", "english", "not computed", sentences("ar", "refusal")[0]):  # fmt: skip
        assert words in page.text
    assert section(analysis) == section(analysis)


def test_cells_find_their_own_direction(analysis: ContentAnalysis) -> None:
    assert {names for tag, names in parse(section(analysis)).seen if tag == "td"} == {("dir",)}


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_stay_text(text: str, analysis: ContentAnalysis) -> None:
    example = ContentExample(measure="loop", id=text, excerpt=text, detail=text)
    record = dataclasses.replace(analysis.records[0], model=text, examples=(example,), languages={text: 3})
    page = section(dataclasses.replace(analysis, records=(record,), differences=()))
    found = parse(page)
    assert {tag for tag, _ in found.seen} <= TAGS
    assert {name for _, names in found.seen for name in names} <= {"class", "dir", "scope"}
    assert not any(character in page for character in "\u202e\u2066\x1b\x07\x00\u200b\ufeff")
    page.encode("utf-8")
