"""Rows as the hub gives them, made into the original layout; no network."""

import json
from pathlib import Path

import pytest

from xlingual.data import check_offsets, read_squad
from xlingual.data.hub import squad_document
from xlingual.errors import DataError
from xlingual.records import DataFile, Origin


def row(key: str, context: str, *texts: str, **more: object) -> dict[str, object]:
    answers = {"text": list(texts), "answer_start": [context.find(text) for text in texts]}
    return {"id": key, "context": context, "question": f"{key}?", "answers": answers} | more


def read_back(tmp_path: Path, rows: list[dict[str, object]]) -> list[tuple[str, str, str, tuple[str, ...]]]:
    path = tmp_path / "x.json"
    path.write_text(json.dumps(squad_document(rows, "hub")), encoding="utf-8")
    assert check_offsets(path) == ()
    file = DataFile(name="x", origin=Origin.HUB, path=str(path), revision=None, sha256="0" * 64)
    return [(each.id, each.group, each.cluster, each.targets) for each in read_squad(file, "ar")]


def test_questions_of_one_context_become_a_paragraph(tmp_path: Path) -> None:
    rows = [row("a", "one two", "one"), row("b", "three", "three", "th"), row("c", "one two", "two")]
    assert read_back(tmp_path, rows) == [
        ("a", "1", "0.0", ("one",)),
        ("c", "1", "0.0", ("two",)),
        ("b", "2", "1.0", ("three", "th")),
    ]


def test_paragraphs_of_one_title_become_an_article(tmp_path: Path) -> None:
    rows = [row("a", "one", "one", title="T"), row("b", "two", "two", title="T"), row("c", "x", "x", title="U")]
    assert read_back(tmp_path, rows) == [
        ("a", "T", "0.0", ("one",)),
        ("b", "T", "0.1", ("two",)),
        ("c", "U", "1.0", ("x",)),
    ]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "hub: no records"),
        (
            [row("a", "x", "x"), row("b", "x", "x") | {"question": None}],
            "row 2: field 'question' must be str, got NoneType",
        ),
        ([row("a", "x", "x") | {"answers": {"text": ["x"], "answer_start": []}}], "row 1: field 'answers' must hold"),
        ([row("a", "x", "x") | {"answers": "x"}], "row 1: field 'answers' must be dict, got str"),
    ],
)
def test_rows_of_another_kind_are_refused(rows: list[dict[str, object]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        squad_document(rows, "hub")
