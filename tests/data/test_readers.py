"""What the readers make of good files: made up by hypothesis, written by hand, and of the real benchmarks."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xlingual.data import check_offsets, read_parallel, read_squad
from xlingual.files.text_file import decode, split_lines
from xlingual.records import DataFile, Origin

from ..real_data import real_file

LINES = st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\r\0")))


def data_file(path: Path) -> DataFile:
    return DataFile(name=path.name, origin=Origin.LOCAL, path=str(path), revision=None, sha256="0" * 64)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(LINES)
def test_lines_survive_writing_and_reading(lines: list[str]) -> None:
    for end, start in (("\n", b""), ("\r\n", b""), ("\n", b"\xef\xbb\xbf")):
        data = start + "".join(line + end for line in ["first", *lines]).encode()
        assert split_lines(decode(data, "a.txt")) == ["first", *lines]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.text(st.characters(exclude_characters="\0")).filter(str.strip))
def test_any_question_survives_json_but_half_surrogates(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    qas = [{"id": "1", "question": text, "answers": [{"text": text, "answer_start": 0}]}]
    path.write_text(json.dumps({"data": [{"paragraphs": [{"context": text, "qas": qas}]}]}), encoding="ascii")
    (example,) = read_squad(data_file(path), "en")
    # A half that is followed by its other half is written as the pair and read as one character, as JSON has it.
    expected = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if "\ufffd" not in expected:
        assert example.fields["question"] == expected
    example.fields["question"].encode("utf-8")


def test_squad_groups_clusters_fields_and_targets(tmp_path: Path) -> None:
    def paragraph(context: str, *qas: tuple[str, list[str]]) -> dict[str, object]:
        rows = [
            {"id": key, "question": f"{key}?", "answers": [{"text": text, "answer_start": 0} for text in texts]}
            for key, texts in qas
        ]
        return {"context": context, "qas": rows}

    articles = [
        {"title": "Nile", "paragraphs": [paragraph("A", ("a", ["x", "y", "x"])), paragraph("B", ("b", ["z"]))]},
        {"paragraphs": [paragraph("C", ("c", ["v"]), ("d", ["w"]))]},
    ]
    path = tmp_path / "x.json"
    path.write_text(json.dumps({"version": "1.1", "data": articles}), encoding="utf-8")
    rows = read_squad(data_file(path), "tr")
    assert [(row.id, row.group, row.cluster, row.targets) for row in rows] == [
        ("a", "Nile", "0.0", ("x", "y")),
        ("b", "Nile", "0.1", ("z",)),
        ("c", "#1", "1.0", ("v",)),
        ("d", "#1", "1.0", ("w",)),
    ]
    assert [list(row.fields.items()) for row in rows[:1]] == [[("context", "A"), ("question", "a?")]]
    assert {row.language for row in rows} == {"tr"}


def test_parallel_ids_fields_and_targets(tmp_path: Path) -> None:
    source, target = tmp_path / "eng.dev", tmp_path / "deu.dev"
    source.write_text("one\ntwo\n", encoding="utf-8")
    target.write_text("eins\nzwei", encoding="utf-8")
    rows = read_parallel(data_file(source), data_file(target), "de", "dev")
    assert [(row.id, row.group, row.cluster, dict(row.fields), row.targets, row.language) for row in rows] == [
        ("dev-0001", "dev-0001", "dev-0001", {"source": "one"}, ("eins",), "de"),
        ("dev-0002", "dev-0002", "dev-0002", {"source": "two"}, ("zwei",), "de"),
    ]


@pytest.mark.parametrize("code", ["ar", "de", "el", "en", "es", "hi", "tr", "vi", "zh"])
def test_real_xquad_is_read_whole(code: str) -> None:
    path = real_file("xquad", f"xquad.{code}.json")
    rows = read_squad(data_file(path), code)
    assert (len(rows), len({row.cluster for row in rows}), len({row.group for row in rows})) == (1190, 240, 48)


@pytest.mark.parametrize(("split", "count"), [("dev", 69), ("test", 92)])
def test_real_mlqa_sample_is_read_whole(split: str, count: int) -> None:
    folder = real_file("mlqa", "MLQA_V1", split)
    codes = ("ar", "de", "en", "es", "hi", "vi", "zh")
    paths = [folder / f"{split}-context-{code}-question-{code}.json" for code in codes]
    assert sum(len(read_squad(data_file(path), "en")) for path in paths) == count
    assert [key for path in sorted(folder.iterdir()) for key in check_offsets(path)] == []


def test_real_flores_is_read_whole_in_every_language() -> None:
    folder = real_file("flores101", "devtest")
    english = data_file(folder / "eng.devtest")
    paths = sorted(folder.glob("*.devtest"))
    assert len(paths) == 102, "101 languages, Chinese in two scripts"
    for path in paths:
        rows = read_parallel(english, data_file(path), "x", "devtest")
        assert (len(rows), rows[-1].id) == (1012, "devtest-1012")
