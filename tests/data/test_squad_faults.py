"""What is wrong with a file of questions in one of its forms is one line that names file, place and field."""

import builtins
import gzip
from pathlib import Path
from types import ModuleType

import pytest

from xlingual.data import read_squad
from xlingual.errors import DataError, EnvironmentFault

from .test_readers import data_file
from .test_squad_forms import dump, lines, nested, read, table


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
