"""Rows in every form become the same examples; what is wrong with a row is named with its line."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from xlingual.declared import DeclaredTask
from xlingual.errors import DataError, UsageError
from xlingual.plugin import DataSource
from xlingual.records import Example

from .conftest import Declare

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

QUIZ = """\
description = "Quiz"
licence = "CC0"
citation = "none"
version = "1"
files = "FILE"
id = "n"
prompt = "{question}\\n{options}\\n{answer_label} "
choices = { texts = ["{a}", "{b}", "{c}"], labels = "ABC" }
answer = { column = "right", kind = "index", first = 1 }
[languages]
en = { answer_label = "Answer:" }
"""
RECORDS: list[dict[str, str | int]] = [
    {"n": 1, "question": 'Which is a "sea"?', "a": "Baltic", "b": "Vistula", "c": "Tatra", "right": 1},
    {"n": 2, "question": "Which, of them, is a river?", "a": "Baltic", "b": "Po", "c": "Alps", "right": 2},
]


def lines(mark: str, *, quoted: bool = False, header: bool = True, end: str = "\n") -> str:
    def cell(value: object) -> str:
        return '"' + str(value).replace('"', '""') + '"' if quoted else str(value)

    rows = [list(RECORDS[0])] if header else []
    rows += [[str(value) for value in record.values()] for record in RECORDS]
    return "".join(mark.join(map(cell, row)) + end for row in rows)


COLUMNS = f"columns = {json.dumps(list(RECORDS[0]))}\n"
TEXTS = {
    "a.jsonl": "".join(json.dumps(record) + "\n" for record in RECORDS),
    "a.json": json.dumps(RECORDS),
    "a.json#data.items": json.dumps({"data": {"items": RECORDS}}),
    "a.json#by_id": json.dumps({"by_id": {str(record["n"]): record for record in RECORDS}}),
    "a.tsv": lines("\t"),
    "a.csv": lines(",", quoted=True),
    "a.py#DATA.test": f'"""Data."""\nDATA = {{"test": {RECORDS!r}}}\nOTHER = print("never run")\n',
}


def read(declare: Declare, folder: Path, name: str, text: str | bytes, *changes: tuple[str, str]) -> list[Example]:
    (folder / "files").mkdir(exist_ok=True)
    path = folder / "files" / name.partition("#")[0]
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    task = declare(("FILE", name), *changes, text=QUIZ)["en"]
    place = DataSource(folder=folder / "files", sample=False, offline=True)
    return list(task.examples("test", place).rows)


def expected() -> list[Example]:
    texts = [{"options": "A. Baltic\nB. Vistula\nC. Tatra"}, {"options": "A. Baltic\nB. Po\nC. Alps"}]
    return [
        Example(
            id=str(record["n"]), language="en", group=str(record["n"]), cluster=str(record["n"]), choices=tuple("ABC"),
            fields={"question": str(record["question"])}, targets=(gold,), shared=shared,
        )
        for record, gold, shared in zip(RECORDS, "AB", texts, strict=True)
    ]  # fmt: skip


@pytest.mark.parametrize("name", TEXTS)
def test_every_form_gives_the_same_examples(name: str, declare: Declare, tmp_path: Path) -> None:
    assert read(declare, tmp_path, name, TEXTS[name]) == expected()


def test_parquet_and_tables_without_header_and_with_windows_line_ends(declare: Declare, tmp_path: Path) -> None:
    path = tmp_path / "made.parquet"
    parquet.write_table(pa.Table.from_pylist(RECORDS), path)
    assert read(declare, tmp_path, "a.parquet", path.read_bytes()) == expected()
    bare = ("files =", COLUMNS + "files =")
    assert read(declare, tmp_path, "a.tsv", lines("\t", header=False), bare) == expected()
    assert read(declare, tmp_path, "a.tsv", lines("\t", header=False, end="\r\n").rstrip(), bare) == expected()
    assert read(declare, tmp_path, "a.tsv", "\ufeff" + lines("\t")) == expected()
    quoted = ("files =", "quoted = true\nfiles =")
    assert read(declare, tmp_path, "a.tsv", lines("\t", quoted=True), quoted) == expected()
    named = ("files =", 'format = "jsonl"\nfiles =')
    assert read(declare, tmp_path, "a.test", TEXTS["a.jsonl"], named) == expected()


def test_a_lone_quotation_mark_swallows_no_row(declare: Declare, tmp_path: Path) -> None:
    text = lines("\t").replace('"sea"', '"sea')
    assert [row.fields["question"] for row in read(declare, tmp_path, "a.tsv", text)] == [
        'Which is a "sea?',
        "Which, of them, is a river?",
    ]


ANSWERS: Mapping[str, tuple[str, object, tuple[str, ...]]] = {
    "index from 0": ('kind = "index"', 1, ("B",)),
    "index from 1": ('kind = "index", first = 1', 1, ("A",)),
    "index in digits": ('kind = "index", first = 1', "3", ("C",)),
    "letter": ('kind = "letter"', "b", ("B",)),
    "letters": ('kind = "letter"', ["A", "C"], ("A", "C")),
    "value": ('values = ["yes", "no", "maybe"]', "no", ("B",)),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_answers_become_one_label(case: str, declare: Declare, tmp_path: Path) -> None:
    kind, value, targets = ANSWERS[case]
    text = json.dumps({**RECORDS[0], "right": value})
    change = ('kind = "index", first = 1', kind)
    assert read(declare, tmp_path, "a.jsonl", text, change)[0].targets == targets


@pytest.mark.parametrize(
    ("value", "kind", "what"),
    [
        (3, 'kind = "index"', "'right' must be a whole number from 0 to 2, got '3'"),
        (0, 'kind = "index", first = 1', "'right' must be a whole number from 1 to 3, got '0'"),
        (-1, 'kind = "index"', "'right' must be a whole number from 0 to 2, got '-1'"),
        (1.0, 'kind = "index"', "'right' must be a whole number from 0 to 2, got '1.0'"),
        ("@", 'kind = "letter"', "'right' must be one of A, B, C, got '@'"),
        ("", 'kind = "letter"', "the answer in 'right' is empty"),
        ("\u200b", 'kind = "index"', "the answer in 'right' is empty"),
        (None, 'kind = "index"', "'right' must be a text or a number, got null"),
        ([], 'kind = "index"', "'right' holds no answer"),
        ({"a": 1}, 'kind = "index"', "'right' must be a text or a number, got dict"),
        ("twelve", 'kind = "number"', "the answer in 'right' is no number: 'twelve'"),
        ("-", 'values = ["yes", "no", "maybe"]', "'right' is '-', none of yes, no, maybe"),
        ("no", 'values = ["a", "b", "c", "no"]', "'right' is 'no', none of a, b, c, no"),
        ("none", 'kind = "rationale"', "there is no number in 'right'"),
    ],
)
def test_answers_that_are_none(value: object, kind: str, what: str, declare: Declare, tmp_path: Path) -> None:
    text = f"{json.dumps(RECORDS[0])}\n{json.dumps({**RECORDS[1], 'right': value})}\n"
    change = ('kind = "index", first = 1', kind)
    right = {"letter": "A", "number": 5, "rationale": 5, "yes": "yes", "a": "a"}.get(kind.split('"')[1], 1)
    good = json.dumps({**RECORDS[0], "right": right})
    with pytest.raises(DataError) as caught:
        read(declare, tmp_path, "a.jsonl", text.replace(json.dumps(RECORDS[0]), good), change)
    assert caught.value.what == what
    assert caught.value.where.endswith("a.jsonl:2")


@pytest.mark.parametrize(
    ("name", "text", "where", "what"),
    [
        ("a.jsonl", '{"n": 1}\n\n{"n": 2}\n', "a.jsonl:2", "blank line"),
        ("a.jsonl", "[1]\n", "a.jsonl:1", "must be an object, got list"),
        ("a.jsonl", '{"n": 1', "a.jsonl:1:8", "not JSON (file ends inside a record: copied only in part?)"),
        ("a.jsonl", "", "a.jsonl", "no records"),
        ("a.json", '{"n": 1}', "a.json", "must be a list of objects, got dict"),
        ("a.json", "[[1]]", "a.json[0]", "must be an object, got list"),
        ("a.json#items", '{"data": []}', "a.json", "has no 'items' inside"),
        ("a.tsv", "n\tn\n1\t2\n", "a.tsv:1", "two columns of the header have one name"),
        ("a.tsv", "n\tquestion\n1\n", "a.tsv:2", "1 values, but 2 columns (n, question)"),
        ("a.csv", 'n,question\n1,"a\n', "a.csv:2", "no table (unexpected end of data)"),
        ("a.parquet", "no", "a.parquet", "no Parquet file"),
        ("a.py#DATA", "DATA = open('x')\n", "a.py:1", "'DATA' is no literal, and code is never run"),
        ("a.py#DATE", "DATA = [1]\n", "a.py", "gives no value to 'DATE'"),
        ("a.py#DATA", "DATA = [\n", "a.py", "no Python file"),
        ("a.xlsx", "", "a.xlsx", "the name does not tell the format"),
        ("a.tsv#x", "n\n1\n", "a.tsv", "there is no place 'x' inside of a tsv file"),
        ("a.jsonl", '{"n": 1, "question": " "}\n', "a.jsonl:1", "there is nothing in 'question'"),
        ("a.jsonl", '{"question": "a"}\n', "a.jsonl:1", "there is no column 'n' (has: question)"),
        ("a.jsonl", '{"n": 1, "qestion": "a"}\n', "a.jsonl:1", "there is no column 'question' (has: n, qestion); did"),
    ],
)  # fmt: skip
def test_files_that_are_no_tables(
    name: str, text: str, where: str, what: str, declare: Declare, tmp_path: Path
) -> None:
    with pytest.raises(DataError) as caught:
        read(declare, tmp_path, name, text)
    assert caught.value.what.startswith(what)
    assert caught.value.where.endswith(where)


def test_one_id_twice(declare: Declare, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read(declare, tmp_path, "a.jsonl", f"{json.dumps(RECORDS[0])}\n" * 2)
    assert (caught.value.what, caught.value.where[-9:]) == ("id '1' is that of a.jsonl:1, too", "a.jsonl:2")


def test_rows_without_id_are_numbered_and_grouped(declare: Declare, tmp_path: Path) -> None:
    change = ('id = "n"', 'cluster = "{a} {c}"\ngroup = "a"')
    rows = read(declare, tmp_path, "a.jsonl", TEXTS["a.jsonl"], change)
    assert [(row.id, row.group, row.cluster) for row in rows] == [
        ("test-0001", "Baltic", "Baltic Tatra"),
        ("test-0002", "Baltic", "Baltic Alps"),
    ]


def test_choices_are_texts_columns_or_words(declare: Declare, tmp_path: Path) -> None:
    labelled = 'choices = { texts = ["{a}", "{b}", "{c}"], labels = "ABC" }'
    plain = ("\\n{options}", "")
    texts = read(declare, tmp_path, "a.jsonl", TEXTS["a.jsonl"], plain, (labelled, 'choices = ["{a}", "{b}"]'))
    assert [row.choices for row in texts] == [("Baltic", "Vistula"), ("Baltic", "Po")]
    assert [row.targets for row in texts] == [("Baltic",), ("Po",)]
    listed = json.dumps({**RECORDS[0], "all": ["x", "y"], "right": 2})
    row = read(declare, tmp_path, "a.jsonl", listed, plain, (labelled, 'choices = "all"'))[0]
    assert (row.choices, row.targets) == (("x", "y"), ("y",))
    inside = json.dumps({**RECORDS[0], "in": [{"text": "x", "label": "A"}, {"text": "y", "label": "B"}], "right": 2})
    row = read(declare, tmp_path, "a.jsonl", inside, plain, (labelled, 'choices = "in.text"'))[0]
    assert (row.choices, row.targets) == (("x", "y"), ("y",))
    words = (labelled, 'choices = ["{yes}", "{no}", "perhaps"]')
    row = read(
        declare, tmp_path, "a.jsonl", TEXTS["a.jsonl"], plain, words, ('"Answer:"', '"A:", yes = "Yes", no = "No"')
    )[0]
    assert row.choices == ("Yes", "No", "perhaps")


def test_only_rows_of_the_language(declare: Declare, data: DataSource) -> None:
    assert data.folder is not None
    rows = [
        {"lang": code, "id": str(number), "river": f"R{number}", "seas": "S"}
        for number, code in enumerate(["de", "en", "de"])
    ]
    (data.folder / "all.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    tasks = declare(
        ("rivers/{language}.{split}.jsonl", "all.jsonl"), ("shots =", 'where = { lang = "{language}" }\nshots =')
    )
    assert [row.id for row in tasks["de"].examples("test", data).rows] == ["0", "2"]
    tasks = declare(
        ("rivers/{language}.{split}.jsonl", "all.jsonl"), ("shots =", 'where = { lang = "{name}" }\nshots =')
    )
    with pytest.raises(DataError, match="no row has lang = 'English' for en in test"):
        tasks["en"].examples("test", data)
    tasks = declare(("rivers/{language}.{split}.jsonl", "all.jsonl"), ("shots =", 'where = { land = "x" }\nshots ='))
    with pytest.raises(DataError, match="column 'land' of `where` is missing"):
        tasks["en"].examples("test", data)


def test_a_column_of_another_language_is_found_by_the_id(declare: Declare, data: DataSource) -> None:
    field = ("shots =", 'fields.river = { column = "river", of = "en" }\nshots =')
    examples = declare(field)["de"].examples("test", data)
    assert [row.fields for row in examples.rows] == [{"river": "Vistula"}]
    assert [Path(file.path).name for file in examples.files] == ["de.test.jsonl", "en.test.jsonl"]
    field = ("shots =", 'fields.river = { column = "river", of = "de" }\nshots =')
    with pytest.raises(DataError, match="no row of de has the id '2'"):
        declare(field)["en"].examples("test", data)


def test_rows_in_the_file_itself(declare: Declare, data: DataSource) -> None:
    rows = (
        'splits.dev.rows = [{ id = 7, river = "Rhine", seas = "North Sea" },'
        ' { id = 8, river = "Rhein", seas = "Nordsee", language = "de" }]'
    )
    task = declare(('shots = "dev"', f'shots = "dev"\nsplits.test.files = "rivers/{{language}}.test.jsonl"\n{rows}'))
    assert [row.id for row in task["en"].examples("dev", data).rows] == ["7"]
    assert [row.targets for row in task["de"].examples("dev", data).rows] == [("North Sea",), ("Nordsee",)]
    assert task["de"].examples("dev", data).files == ()


def test_splits_that_there_are_not(declare: Declare, data: DataSource) -> None:
    task: DeclaredTask = declare()["en"]
    assert task.spec.splits == ("test", "dev")
    with pytest.raises(UsageError, match="has no split 'dew'"):
        task.examples("dew", data)
