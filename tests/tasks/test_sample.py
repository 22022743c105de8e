"""The packaged sample: parallel, in the original formats, clean."""

import unicodedata
from pathlib import Path

import pytest

from xlingual.data import check_offsets
from xlingual.plugin import DataSource
from xlingual.records import Example
from xlingual.selection import select_tasks

PLACE = DataSource(folder=None, sample=True, offline=True)
QA = ("ar", "el", "en", "hi", "tr", "vi", "zh")
MLQA = ("ar", "en", "hi", "vi", "zh")
SCRIPTS = {"ar": "ARABIC", "el": "GREEK", "hi": "DEVANAGARI", "zh": "CJK"}


def _rows(task: str, split: str) -> tuple[Example, ...]:
    return select_tasks([task], [])[0].examples(split, PLACE).rows


@pytest.mark.parametrize("language", QA)
def test_xquad_sample(language: str) -> None:
    rows = _rows(f"xquad/{language}", "test")
    assert len(rows) == 24
    assert len({row.cluster for row in rows}) == 8
    assert len({row.group for row in rows}) == 4
    assert [row.id for row in rows] == [row.id for row in _rows("xquad/en", "test")]


@pytest.mark.parametrize("split", ["dev", "test"])
@pytest.mark.parametrize("context", MLQA)
def test_mlqa_sample(context: str, split: str) -> None:
    own = _rows(f"mlqa/{context}", split)
    assert len(own) == {"dev": 6, "test": 24}[split]
    for question in MLQA:
        crossed = _rows(f"mlqa/{context}-{question}", split)
        assert [(row.id, row.fields["context"], row.targets) for row in crossed] == [
            (row.id, row.fields["context"], row.targets) for row in own
        ]
        asked = [row.fields["question"] for row in _rows(f"mlqa/{question}", split)]
        assert [row.fields["question"] for row in crossed] == asked


@pytest.mark.parametrize(("split", "count"), [("dev", 8), ("devtest", 24)])
def test_flores_sample(split: str, count: int) -> None:
    sources = [[row.fields["source"] for row in _rows(f"flores101/{code}-en", split)] for code in QA if code != "en"]
    assert [len(lines) for lines in sources] == [count] * 6
    assert [row.targets for row in _rows("flores101/ar-en", split)] == [
        row.targets for row in _rows("flores101/zh-en", split)
    ]


def test_splits_share_nothing() -> None:
    for task in ("mlqa/en", "flores101/en-zh"):
        first, second = ("dev", "test") if task.startswith("mlqa") else ("dev", "devtest")
        texts = [{text for row in _rows(task, split) for text in row.fields.values()} for split in (first, second)]
        assert texts[0].isdisjoint(texts[1])


@pytest.mark.parametrize("task", [*(f"xquad/{code}" for code in QA), *(f"mlqa/{code}" for code in MLQA)])
def test_answers_stand_where_the_files_say(task: str) -> None:
    files = select_tasks([task], [])[0].examples("test", PLACE).files
    assert [check_offsets(Path(file.path)) for file in files] == [()]


@pytest.mark.parametrize("language", QA)
def test_texts_are_in_their_script_and_normal_form(language: str) -> None:
    rows = _rows(f"xquad/{language}", "test")
    texts = [text for row in rows for text in (*row.fields.values(), *row.targets)]
    assert all(unicodedata.is_normalized("NFC", text) and text == text.strip() for text in texts)
    if language in SCRIPTS:
        letters = [character for text in texts for character in text if character.isalpha()]
        own = sum(unicodedata.name(character).startswith(SCRIPTS[language]) for character in letters)
        assert own / len(letters) > 0.9
