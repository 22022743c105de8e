"""One set of questions in every form that such files have gives one set of examples; what has no answer is counted."""

import gzip
import itertools
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from xlingual.data import check_offsets, read_squad, squad_examples
from xlingual.data.hub import squad_document
from xlingual.errors import DataError
from xlingual.example_hash import hash_examples
from xlingual.records import DataFile, Example, Origin
from xlingual.text import BOM, is_blank

from ..real_data import REAL, real_file
from .test_readers import data_file

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


@st.composite
def documents(draw: st.DrawFn) -> dict[str, object]:
    """Articles of any texts: titles may be blank or come twice, and so may contexts."""
    texts = st.text(st.sampled_from([*' \n\t\\"{\u2028\x85\x1e\0\u200f', *"ae\u0301\u4e2d", BOM]), max_size=5)
    numbers = itertools.count()
    several = partial(st.integers, 1, 3)

    def article() -> dict[str, object]:
        contexts = draw(st.lists(texts.map("{} x".format), min_size=1, max_size=3))
        return {"title": draw(texts), "paragraphs": [{"context": each, "qas": asked()} for each in contexts]}

    def asked() -> Rows:
        golds = st.lists(texts.map("x{}".format), min_size=1, max_size=3)
        return [question(f"{draw(texts)}{next(numbers)}", *draw(golds)) for _ in range(draw(several()))]

    return {"data": [article() for _ in range(draw(several()))]}


def told_apart(document: dict[str, object]) -> bool:
    """Whether flat rows tell articles and paragraphs: each has a title, or a context, of its own."""
    articles = cast(list[dict[str, Any]], document["data"])
    titles = [each["title"] for each in articles if not is_blank(each["title"])]
    contexts = [[each["context"] for each in article["paragraphs"]] for article in articles]
    unique = all(len(set(each)) == len(each) for each in contexts)
    return unique and len(set(titles)) == len(titles) == len(articles)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(documents())
def test_any_questions_have_one_hash_in_every_form(document: dict[str, object]) -> None:
    """Equal in all but articles and paragraphs, and in these where flat rows tell them."""
    with TemporaryDirectory() as folder:
        found = {form: read(Path(folder), write(document)) for form, write in FORMS.items()}
    original = found["squad"]
    for form, rows in found.items():
        assert hash_examples(rows) == hash_examples(original), form
        assert not told_apart(document) or rows == original, form


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
