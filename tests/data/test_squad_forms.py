"""One set of questions in every form that such files have gives one set of examples; what has no answer is counted."""

import builtins
import gzip
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pyarrow as pa
import pytest
from pyarrow import parquet

from xlingual.data import check_offsets, read_squad, squad_examples
from xlingual.data.hub import squad_document
from xlingual.errors import DataError, EnvironmentFault
from xlingual.planning import hash_examples
from xlingual.records import DataFile, Example, Origin

from .test_readers import REAL, data_file, real_file

Rows = list[dict[str, object]]
NO_BREAK = "\u00a0"
GOLDS = ["Denver Broncos ", f"Denver{NO_BREAK}Broncos", "\u3000Denver", "Bron\tcos\n", "\u202fBroncos"]


def question(key: object, *texts: str, **more: object) -> dict[str, object]:
    answers = [{"text": text, "answer_start": number} for number, text in enumerate(texts)]
    return {"id": key, "question": f"{key}?", "answers": answers} | more


def nested() -> dict[str, object]:
    """Two articles; the second has no title, or rather an empty one."""
    one = {"context": "A Denver.", "qas": [question("a", *GOLDS), question("b", "x", "y", "x")]}
    two = {"context": f"B{NO_BREAK}.", "qas": [question("c", "z")]}
    return {
        "version": "1.1",
        "data": [
            {"title": "Broncos", "paragraphs": [one, two]},
            {"title": "Other", "paragraphs": [{"context": "C", "qas": [question("d", "w")]}]},
        ],
    }


def flat(document: Mapping[str, object], *, titles: bool = True, columns: bool = True) -> Rows:
    """The rows that the hub makes of a document."""
    rows: Rows = []
    for article in document["data"]:  # type: ignore[attr-defined]  # JSON
        for paragraph in article["paragraphs"]:
            for each in paragraph["qas"]:
                answers: object = each["answers"]
                if columns:
                    answers = {name: [item[name] for item in each["answers"]] for name in ("text", "answer_start")}
                title = {"title": article["title"]} if titles else {}
                rows.append(each | {"context": paragraph["context"], "answers": answers} | title)
    return rows


def dump(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def lines(values: Sequence[object]) -> bytes:
    return b"".join(dump(each) + b"\n" for each in values)


def table(rows: Rows) -> bytes:
    sink = pa.BufferOutputStream()
    parquet.write_table(pa.Table.from_pylist(rows), sink)
    return bytes(sink.getvalue())


FORMS: dict[str, Callable[[dict[str, object]], bytes]] = {
    "squad": dump,
    "squad-indented": lambda document: json.dumps(document, indent=1).encode(),
    "list-of-articles": lambda document: dump(document["data"]),
    "lines-of-articles": lambda document: lines(document["data"]),  # type: ignore[arg-type]  # JSON
    "list-of-rows": lambda document: dump(flat(document)),
    "list-of-rows-indented": lambda document: json.dumps(flat(document), indent=2).encode(),
    "list-of-rows-with-answers-of-squad": lambda document: dump(flat(document, columns=False)),
    "rows-under-data": lambda document: dump({"data": flat(document)}),
    "lines": lambda document: lines(flat(document)),
    "lines-without-last-feed": lambda document: lines(flat(document))[:-1],
    "lines-crlf": lambda document: lines(flat(document)).replace(b"\n", b"\r\n"),
    "parquet": lambda document: table(flat(document)),
    "parquet-of-structs": lambda document: table(flat(document, columns=False)),
    "squad-gzip": lambda document: gzip.compress(dump(document)),
    "lines-gzip": lambda document: gzip.compress(lines(flat(document))),
}


def read(folder: Path, content: bytes, name: str = "xquad.en.json") -> tuple[Example, ...]:
    path = folder / name
    path.write_bytes(content)
    return read_squad(data_file(path), "en")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["xquad.en.json", "test-00000-of-00001.parquet"])
def test_every_form_gives_the_same_examples(tmp_path: Path, form: str, name: str) -> None:
    rows = read(tmp_path, FORMS[form](nested()), name)
    assert [(row.id, row.group, row.cluster) for row in rows] == [
        ("a", "Broncos", "0.0"),
        ("b", "Broncos", "0.0"),
        ("c", "Broncos", "0.1"),
        ("d", "Other", "1.0"),
    ]
    assert rows[0].targets == tuple(GOLDS), "as stored, white space and all"
    assert rows[1].targets == ("x", "y")
    assert rows[2].fields == {"context": f"B{NO_BREAK}.", "question": "c?"}
    assert rows == read(tmp_path, dump(nested()), "original.json")


@pytest.mark.parametrize("form", ["list-of-rows", "lines", "parquet"])
def test_rows_without_titles_have_a_group_a_context(tmp_path: Path, form: str) -> None:
    rows = flat(nested(), titles=False)
    content = {"list-of-rows": dump(rows), "lines": lines(rows), "parquet": table(rows)}[form]
    found = read(tmp_path, content)
    assert [(row.group, row.cluster) for row in found] == [("1", "0.0"), ("1", "0.0"), ("2", "1.0"), ("3", "2.0")]
    assert hash_examples(found) == hash_examples(read(tmp_path, dump(nested()), "original.json"))
    assert found == read(tmp_path, dump(squad_document(rows, "hub")), "hub.json"), "as what is fetched from the hub"


def test_rows_keep_the_order_of_the_file(tmp_path: Path) -> None:
    rows = flat(nested(), titles=False)
    found = read(tmp_path, dump([rows[0], rows[2], rows[1]]))
    assert [(row.id, row.cluster) for row in found] == [("a", "0.0"), ("c", "1.0"), ("b", "0.0")]


def test_one_row_alone_is_a_file(tmp_path: Path) -> None:
    (row,) = read(tmp_path, dump(flat(nested())[2]))
    assert (row.id, row.targets) == ("c", ("z",))


@pytest.mark.parametrize("form", [dump, lambda document: dump(flat(document)), lambda document: table(flat(document))])
def test_ids_that_are_numbers_are_kept_as_text(tmp_path: Path, form: Callable[[dict[str, object]], bytes]) -> None:
    document = nested()
    for number, each in enumerate(every_question(document)):
        each["id"] = number
    assert [row.id for row in read(tmp_path, form(document))] == ["0", "1", "2", "3"]


def every_question(document: dict[str, object]) -> Rows:
    return [
        each
        for article in document["data"]  # type: ignore[attr-defined]  # JSON
        for paragraph in article["paragraphs"]
        for each in paragraph["qas"]
    ]


@pytest.mark.parametrize("title", ["", "  ", "\u200b", None, 7])
def test_titles_may_be_empty_or_numbers(tmp_path: Path, title: object) -> None:
    document = nested()
    document["data"][0]["title"] = title  # type: ignore[index]  # JSON
    group = "7" if title == 7 else "#0"
    assert [row.group for row in read(tmp_path, dump(document))] == [group] * 3 + ["Other"]
    rows = flat(document)
    assert [row.group for row in read(tmp_path, dump(rows))] == (["7"] * 3 if title == 7 else ["1", "1", "2"]) + [
        "Other"
    ]


def impossible(document: dict[str, object], *keys: str) -> dict[str, object]:
    for each in every_question(document):
        each["is_impossible"] = each["id"] in keys
        if each["id"] in keys:
            each["answers"] = []
    return document


def marked_rows(document: dict[str, object]) -> Rows:
    return [{name: value for name, value in row.items() if name != "is_impossible"} for row in flat(document)]


SQUAD_2_FORMS: dict[str, Callable[[dict[str, object]], bytes]] = {
    "squad": dump,
    "rows": lambda document: dump(flat(document)),
    "rows-with-answers-of-squad": lambda document: dump(flat(document, columns=False)),
    "rows-of-the-hub": lambda document: dump(marked_rows(document)),
    "lines": lambda document: lines(marked_rows(document)),
    "parquet": lambda document: table(marked_rows(document)),
    "fetched-from-the-hub": lambda document: dump(squad_document(marked_rows(document), "hub")),
}


@pytest.mark.parametrize("form", SQUAD_2_FORMS)
def test_questions_without_an_answer_are_left_out_counted_and_said(
    tmp_path: Path, form: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "dev-v2.0.json"
    path.write_bytes(SQUAD_2_FORMS[form](impossible(nested(), "b", "d")))
    with caplog.at_level(logging.WARNING, "xlingual"):
        found = squad_examples(data_file(path), "en")
    assert ([row.id for row in found.rows], found.skipped) == (["a", "c"], 2)
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith(f"{path}: SQuAD 2.0: 2 of 4 questions have no answer (is_impossible)")
    assert check_offsets(path) == ("a", "c"), "the made-up offsets are all wrong, but of no answer"
    assert hash_examples(found.rows) != hash_examples(read(tmp_path, dump(nested())))


def test_a_file_without_any_answer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none of its 4 questions has an answer"):
        read(tmp_path, dump(impossible(nested(), "a", "b", "c", "d")))


def row(**changes: object) -> dict[str, object]:
    answers = {"text": ["Rome"], "answer_start": [3]}
    return {"id": "q2", "context": "In Rome.", "question": "?", "answers": answers} | changes


def without(name: str) -> dict[str, object]:
    return {key: value for key, value in row().items() if key != name}


BAD_ROWS = [
    pytest.param(without("id"), "field 'id' is missing (has: context, question, answers)", id="no-id"),
    pytest.param(row(id=None), "field 'id' must be a string, got null", id="null-id"),
    pytest.param(row(id=True), "field 'id' must be a string, got bool", id="bool-id"),
    pytest.param(row(id=1.5), "field 'id' must be a string, got float", id="float-id"),
    pytest.param(row(id=" "), "field 'id' is empty", id="blank-id"),
    pytest.param(without("context"), " (id q2): field 'context' is missing", id="no-context"),
    pytest.param(row(context="\u200b\u00a0"), " (id q2): field 'context' is empty", id="invisible-context"),
    pytest.param(without("answers"), " (id q2): field 'answers' is missing", id="no-answers"),
    pytest.param(row(answers=None), " (id q2): field 'answers' must be a list, got null", id="null-answers"),
    pytest.param(row(answers={}), "answers (id q2): field 'text' is missing", id="empty-answers"),
    pytest.param(
        row(answers={"text": "Rome"}), "answers (id q2): field 'text' must be a list of strings, got str", id="text"
    ),
    pytest.param(row(answers={"text": [1]}), "got a list with int in it", id="number-for-text"),
    pytest.param(row(answers={"text": ["Rome", ""]}), "answers (id q2): field 'text[1]' is empty", id="blank-gold"),
    pytest.param(row(answers={"text": ["\u200b"]}), "answers (id q2): field 'text[0]' is empty", id="invisible-gold"),
    pytest.param(
        row(answers={"text": ["Rome"], "answer_start": [1, 2]}),
        "answers (id q2): field 'answer_start' has 2 numbers for 1 texts",
        id="unequal-lists",
    ),
    pytest.param(row(answers=[]), " (id q2): field 'answers' is empty", id="blanked"),
    pytest.param(row(answers=[{"text": "\ufeff"}]), "answers[0] (id q2): field 'text' is empty", id="bom-gold"),
    pytest.param(row(is_impossible="no"), " (id q2): field 'is_impossible' must be true or false", id="impossible"),
    pytest.param(row(title=[1]), " (id q2): field 'title' must be a string, got list", id="title"),
    pytest.param({"id": "q2", "title": "T"}, " (id q2): field 'paragraphs' is missing", id="neither"),
]


@pytest.mark.parametrize(("bad", "message"), BAD_ROWS)
@pytest.mark.parametrize("form", ["list", "data", "lines", "articles"])
def test_bad_rows_are_named_with_their_place(tmp_path: Path, bad: dict[str, object], message: str, form: str) -> None:
    good = row(id="q1")
    contents = {
        "list": dump([good, bad]),
        "data": dump({"data": [good, bad]}),
        "lines": lines([good, bad]),
        "articles": dump({"data": [*nested()["data"], bad]}),  # type: ignore[misc]  # JSON
    }
    places = {"list": ": [1]", "data": ": data[1]", "lines": ":2", "articles": ": data[2]"}
    with pytest.raises(DataError) as caught:
        read(tmp_path, contents[form])
    first = str(caught.value).partition("\n")[0]
    assert first.startswith(f"{tmp_path / 'xquad.en.json'}{places[form]}")
    assert message in first


BAD_FILES = [
    pytest.param(lines([row(), row()]), ":2: id 'q2' is also that of line 1", id="same-id"),
    pytest.param(dump([row(id=7), row(id="7")]), ": [1]: id '7' is also that of [0]", id="same-id-as-number"),
    pytest.param(table([row(), row()]), ": row 2: id 'q2' is also that of row 1", id="same-id-in-a-table"),
    pytest.param(lines([row()]) + b"\n" + lines([row(id="x")]), ":2: blank line", id="blank-line"),
    pytest.param(lines([row(), 7]), ":2: must be an object, got int", id="number-for-row"),
    pytest.param(lines([row(), row(id="x")])[:-20], ":2:", id="cut-off-lines"),
    pytest.param(dump([row(), row(id="x")])[:-20], "file ends inside a record", id="cut-off-list"),
    pytest.param(lines([row()]) + b'{"id" 3}\n', ":2:7: not JSON", id="broken-line"),
    pytest.param(table([row()])[:-9], ": not a parquet file that can be read", id="cut-off-parquet"),
    pytest.param(table([{"id": "a", "text": "x"}]), ": row 1 (id a): field 'paragraphs' is missing", id="other-table"),
    pytest.param(table([row()]).replace(b"PAR1", b"XXXX"), "not UTF-8", id="no-parquet"),
    pytest.param(gzip.compress(dump([row()]))[:-9], ": cannot be unpacked", id="cut-off-gzip"),
    pytest.param(gzip.compress(b""), ": the file is empty", id="empty-gzip"),
    pytest.param(gzip.compress("é is".encode("latin-1")), ":1: byte 0xe9", id="latin-1-in-gzip"),
    pytest.param(dump({"version": "v2.0", "rows": []}), ": field 'data' is missing (has: version, rows)", id="root"),
]


@pytest.mark.parametrize(("content", "message"), BAD_FILES)
def test_bad_files_are_refused_in_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(DataError) as caught:
        read(tmp_path, content)
    assert caught.value.exit_code == 3
    first = str(caught.value).partition("\n")[0]
    assert first.startswith(str(tmp_path / "xquad.en.json"))
    assert message in first


def test_a_parquet_file_without_pyarrow_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    imported = builtins.__import__

    def refuse(name: str, *arguments: object, **named: object) -> ModuleType:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return imported(name, *arguments, **named)  # type: ignore[arg-type]  # as they came

    monkeypatch.setattr(builtins, "__import__", refuse)
    path = tmp_path / "test-00000.parquet"
    path.write_bytes(b"PAR1 and more")
    with pytest.raises(EnvironmentFault) as caught:
        read_squad(data_file(path), "en")
    assert str(caught.value) == f"{path}: a parquet file needs the package pyarrow"
    assert "pip install pyarrow" in caught.value.hint


@pytest.mark.parametrize("code", ["ar", "es", "zh"])
@pytest.mark.parametrize("form", ["list-of-rows", "lines", "parquet", "squad-gzip"])
def test_real_xquad_is_the_same_in_every_form(tmp_path: Path, code: str, form: str) -> None:
    path = real_file("xquad", f"xquad.{code}.json")
    original = read_squad(data_file(path), "en")
    assert read(tmp_path, FORMS[form](json.loads(path.read_text(encoding="utf-8")))) == original


@pytest.mark.parametrize("path", sorted(REAL.glob("more/mlqa/MLQA_V1/dev/*.json")), ids=lambda path: path.name)
def test_real_mlqa_dev_has_the_same_content_without_titles(tmp_path: Path, path: Path) -> None:
    file = DataFile(name=path.name, origin=Origin.LOCAL, path=str(path), revision=None, sha256="0" * 64)
    document = json.loads(path.read_text(encoding="utf-8"))
    found = read(tmp_path, lines(flat(document, titles=False)))
    original = read_squad(file, "en")
    assert [replace(row, group="", cluster="") for row in found] == [
        replace(row, group="", cluster="") for row in original
    ]
    assert hash_examples(found) == hash_examples(original)
