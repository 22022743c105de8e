"""The bad data files 1 to 25 of the list of forty: what each reader says about them, word for word."""

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from xlingual.data import check_offsets, locate, read_json, read_lines, read_parallel, read_records, read_squad
from xlingual.errors import DataError
from xlingual.files import MAX_BYTES
from xlingual.plugin import DataSource
from xlingual.records import DataFile, DatasetRef, Origin

FIELDS = {"id": str, "question": str, "answers.text": list[str]}
GOOD = b'{"id": "q1", "question": "Who?", "answers": {"text": ["x"]}}\n'


def data_file(path: Path) -> DataFile:
    return DataFile(name=path.name, origin=Origin.LOCAL, path=str(path), revision=None, sha256="0" * 64)


def squad(**changes: object) -> bytes:
    answer = {"text": "Rome", "answer_start": 3}
    question = {"id": "q2", "question": "Where?", "answers": [answer]} | changes
    context = question.pop("context", "In Rome.")
    return json.dumps({"data": [{"title": "T", "paragraphs": [{"context": context, "qas": [question]}]}]}).encode()


JSONL_TABLE = [
    pytest.param(b"", ": no records", id="1-empty-file"),
    pytest.param(b"\n\n", ": no records", id="1-only-blank-lines"),
    pytest.param(
        GOOD + GOOD.replace(b"q1", b"q2") + b'{"id": "q3" "question": 1}\n',
        ":3:13: not JSON (Expecting ',' delimiter)",
        id="2-broken",
    ),
    pytest.param(GOOD + b'{"id" 3}\n' + GOOD, ":2:7: not JSON (Expecting ':' delimiter)", id="2-no-colon"),
    pytest.param(GOOD + GOOD[:40], ": not JSON (file ends inside a record: copied only in part?", id="3-cut-off"),
    pytest.param(GOOD + b'{"id": "q2", "ok": tr', ":2:20: not JSON (file ends", id="3-cut-inside-a-literal"),
    pytest.param(GOOD + b'{"id": "q2", "ok": "\\u00', ":2:", id="3-cut-inside-an-escape"),
    pytest.param(
        b'{"id": "q2", "answers": {"text": ["x"]}}',
        ":1: field 'question' is missing (has: id, answers)",
        id="4-missing-field",
    ),
    pytest.param(
        GOOD + b'{"id": "q2", "question": "?", "answers": {"text": "x"}}',
        ":2: field 'answers.text' must be a list of strings, got str",
        id="5-string-for-list",
    ),
    pytest.param(
        b'{"id": "q2", "question": "?", "answers": {"text": ["x", 3]}}',
        ":1: field 'answers.text' must be a list of strings, got a list with int in it",
        id="5-number-in-list",
    ),
    pytest.param(b'{"id": 7, "question": null, "answers": {"text": []}}', "'id' must be a string, got int", id="5-int"),
    pytest.param(b'{"id": "1", "question": null, "answers": {"text": []}}', "must be a string, got null", id="5-null"),
    pytest.param(b"[1]", ":1: must be an object, got list", id="5-list-for-record"),
    pytest.param(GOOD + b'{"id": "q2", "score": NaN}', ":2:23: NaN is not a JSON number", id="8-nan"),
    pytest.param(b'{"id": "NaN", "score": -Infinity}', ":1:24: -Infinity is not a JSON number", id="8-infinity"),
    pytest.param(b'{"score": 1e999}', ":1:11: 1e999 is not a JSON number", id="8-overflow"),
    pytest.param(
        b'{"id": "a", "x": [{"id": 1}], "i\\u0064": "b"}', ":1:31: key 'id' is twice in one object", id="9-key"
    ),
    pytest.param(GOOD + GOOD, ":2: id 'q1' on lines 1 and 2", id="10-duplicate-id"),
    pytest.param(GOOD + b"\n" + GOOD.replace(b"q1", b"q2"), ":2: blank line", id="22-blank-line"),
    pytest.param(b"[" * 100_000, ": nested more than 100 levels deep", id="deep-nesting"),
    pytest.param(b'{"id": ' + b"1" * 5000 + b"}", ":1: not JSON (Exceeds the limit", id="huge-number"),
]


@pytest.mark.parametrize(("content", "message"), JSONL_TABLE)
def test_bad_jsonl_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "ar.jsonl"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_records(path, FIELDS)
    assert caught.value.exit_code == 3
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value).partition("\n")[0]


PLACE = ": data[0].paragraphs[0].qas[0] (id q2): "
SQUAD_TABLE = [
    pytest.param(b"", ": the file is empty", id="1-empty-file"),
    pytest.param(b'{"data": []}', ": no records", id="1-no-articles"),
    pytest.param(b'{\n"data":\n[}', ":3:2: not JSON (Expecting value)", id="2-broken"),
    pytest.param(squad()[:-30], "file ends inside a record: copied only in part?", id="3-cut-off"),
    pytest.param(b'{"version": "1.1"}', ": field 'data' is missing (has: version)", id="4-no-data"),
    pytest.param(
        squad().replace(b"question", b"frage"), PLACE + "field 'question' is missing (has: id, frage, answers)", id="4"
    ),
    pytest.param(squad(answers="Rome"), PLACE + "field 'answers' must be a list, got str", id="5-wrong-type"),
    pytest.param(
        squad(answers=["Rome"]), ": data[0].paragraphs[0].qas[0].answers[0]: must be an object, got str", id="5-item"
    ),
    pytest.param(b"[]", ": no records", id="1-no-rows"),
    pytest.param(b"7", ": must be an object, got int", id="5-root"),
    pytest.param(b"[7]", ": [0]: must be an object, got int", id="5-row"),
    pytest.param(squad(answers=[]), PLACE + "field 'answers' is empty", id="6-no-answers"),
    pytest.param(squad(question=" \u3000"), PLACE + "field 'question' is empty", id="7-blank-question"),
    pytest.param(squad(context=""), ": data[0].paragraphs[0]: field 'context' is empty", id="7-no-context"),
    pytest.param(
        squad(answers=[{"text": " "}]),
        ": data[0].paragraphs[0].qas[0].answers[0] (id q2): field 'text' is empty",
        id="7-blank-answer",
    ),
    pytest.param(squad().replace(b": 3", b": NaN"), "NaN is not a JSON number", id="8-nan"),
    pytest.param(
        squad().replace(b'"id"', b'"question": "q", "id"'), "key 'question' is twice in one object", id="9-key"
    ),
    pytest.param(
        json.dumps({"data": json.loads(squad())["data"] * 2}).encode(),
        ": data[1].paragraphs[0].qas[0]: id 'q2' is also that of data[0].paragraphs[0].qas[0]",
        id="10-duplicate-id",
    ),
]


@pytest.mark.parametrize(("content", "message"), SQUAD_TABLE)
def test_bad_squad_file_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "xquad.ar.json"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_squad(data_file(path), "ar")
    assert caught.value.exit_code == 3
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value).partition("\n")[0]


TEXT_TABLE = [
    pytest.param(b"", ": no records", id="1-empty-file"),
    pytest.param(
        "a\nb\nDas ist das n\xe9e\n".encode("latin-1"),
        ":3: byte 0xe9 at column 14 is not UTF-8; looks like latin-1",
        id="11",
    ),
    pytest.param("é ".encode() + b"\x93quoted\x94\n", ":1: byte 0x93 at column 3 is not UTF-8", id="11-windows-1252"),
    pytest.param("a\nпривет".encode()[:-1], ":2: file ends inside a character: copied only in part?", id="11-cut-off"),
    pytest.param("Привет\n".encode("utf-16"), ": not UTF-8; looks like UTF-16", id="12-utf-16"),
    pytest.param("plain text\n".encode("utf-16-le"), ": not UTF-8; looks like UTF-16LE", id="12-utf-16-without-mark"),
    pytest.param("plain text\n".encode("utf-16-be"), ": not UTF-8; looks like UTF-16BE", id="12-utf-16-big-endian"),
    pytest.param("plain\n".encode("utf-32"), ": not UTF-8; looks like UTF-32", id="12-utf-32"),
    pytest.param(b"a\rb\rc\r", ":1: carriage return without a line feed at column 2", id="15-lone-cr"),
    pytest.param(b"a\nb\0c\n", ":2: NUL byte at column 2", id="17-nul"),
    pytest.param(b"a\n\nb\n", ":2: blank line", id="22-blank-line"),
    pytest.param("a\n\u3000 \nb\n".encode(), ":2: blank line", id="22-ideographic-space"),
    pytest.param("a\n\u200b\u200e\nb\n".encode(), ":2: blank line", id="22-invisible-marks"),
    pytest.param(b"a\n\n", ":2: blank line", id="22-blank-last-line"),
]


@pytest.mark.parametrize(("content", "message"), TEXT_TABLE)
def test_bad_text_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "ara.devtest"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_lines(data_file(path))
    assert caught.value.exit_code == 3
    assert str(caught.value).startswith(f"{path}{message}")


def test_utf16_hint_is_the_command_that_mends_it(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes('{"id": "я"}\n'.encode("utf-16"))
    with pytest.raises(DataError) as caught:
        read_records(path, {"id": str})
    assert f"iconv -f UTF-16 -t UTF-8 {path}" in caught.value.hint


def test_all_errors_of_a_file_are_listed_at_once_up_to_twenty(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text('{"id": 1}\n' * 30, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        read_records(path, {"id": str})
    lines = str(caught.value).split("\n")
    assert lines[0] == f"{path}:1: field 'id' must be a string, got int"
    assert lines[19] == f"  {path}:20: field 'id' must be a string, got int"
    assert lines[20:] == ["  and 10 more"]


@pytest.mark.parametrize(
    "content",
    [b"\xef\xbb\xbfeins\nzwei\n", b"eins\r\nzwei\r\n", b"eins\nzwei"],
    ids=["13-bom", "14-crlf", "22-no-last-line-feed"],
)
def test_harmless_forms_of_a_text_file_read_the_same(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "deu.devtest"
    path.write_bytes(content)
    assert read_lines(data_file(path)) == ("eins", "zwei")


@pytest.mark.parametrize("change", [lambda data: b"\xef\xbb\xbf" + data, lambda data: data.replace(b", ", b",\r\n")])
def test_harmless_forms_of_a_squad_file_read_the_same(tmp_path: Path, change: Callable[[bytes], bytes]) -> None:
    plain, changed = tmp_path / "plain.json", tmp_path / "changed.json"
    plain.write_bytes(squad())
    changed.write_bytes(change(squad()))
    assert read_squad(data_file(changed), "ar") == read_squad(data_file(plain), "ar")


def test_byte_order_mark_is_warned_of_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfa\nb\n")
    with caplog.at_level(logging.WARNING, "xlingual"):
        read_lines(data_file(path))
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}: starts with a byte order mark, which was left out"
    ]


def test_half_surrogate_pairs_are_replaced_counted_and_whole_ones_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(
        '{"id": "\\ud835x\\uDC00"}\n{"id": "\\ud835\\udc00"}\n{"id": "\\\\ud835"}\n{"id": "\\u0041"}\n',
        encoding="utf-8",
    )
    with caplog.at_level(logging.WARNING, "xlingual"):
        rows = read_records(path, {"id": str})
    assert [row.values["id"] for row in rows] == ["\ufffdx\ufffd", "\U0001d400", "\\ud835", "A"]
    assert [record.getMessage() for record in caplog.records] == [
        f"{path}: 2 half surrogate pairs were replaced by U+FFFD"
    ]


def test_line_separators_inside_a_sentence_are_kept(tmp_path: Path) -> None:
    """Case 18; `str.splitlines` would make seven lines of these two."""
    text = "a\u2028b\u0085c\x0bd\x0ce\nf\u2029g\n"
    path = tmp_path / "a.txt"
    path.write_text(text, encoding="utf-8")
    assert read_lines(data_file(path)) == ("a\u2028b\u0085c\x0bd\x0ce", "f\u2029g")
    rows = tmp_path / "a.jsonl"
    rows.write_text('{"id": "a\u2028b\u0085c"}\n', encoding="utf-8")
    assert read_records(rows, {"id": str})[0].values == {"id": "a\u2028b\u0085c"}


@pytest.mark.parametrize(
    "text", ["cafe\u0301", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", "\u200fאב\u200e", "عـــربي"]
)
def test_unicode_is_kept_as_it_is_in_the_file(tmp_path: Path, text: str) -> None:
    """Cases 19 and 20: normal form, joiners, marks and tatweel are a matter of scoring."""
    path = tmp_path / "x.json"
    path.write_bytes(squad(question=text, answers=[{"text": text}]))
    (example,) = read_squad(data_file(path), "ar")
    assert (example.fields["question"], example.targets) == (text, (text,))


def test_parallel_files_of_unequal_length_are_refused(tmp_path: Path) -> None:
    """Case 21."""
    source, target = tmp_path / "eng.devtest", tmp_path / "ara.devtest"
    source.write_text("a\n" * 1012, encoding="utf-8")
    target.write_text("b\n" * 1011, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        read_parallel(data_file(source), data_file(target), "ar", "devtest")
    expected = f"{source}: 1012 lines, but 1011 in {target}; line 1012 is the first without a partner"
    assert str(caught.value) == expected


@pytest.mark.parametrize(
    ("start", "wrong"), [(3, ()), (2, ("q2",)), (-5, ("q2",)), ("3", ("q2",)), (True, ("q2",)), (None, ())]
)
def test_answer_that_is_not_at_its_start_is_found_but_read(
    tmp_path: Path, start: object, wrong: tuple[str, ...]
) -> None:
    """Case 23."""
    path = tmp_path / "x.json"
    path.write_bytes(squad(answers=[{"text": "Rome", "answer_start": start}]))
    assert check_offsets(path) == wrong
    assert read_squad(data_file(path), "en")[0].targets == ("Rome",)


def test_file_over_the_stated_limit_is_refused_unread(tmp_path: Path) -> None:
    """Case 24, with a file of one byte too many that takes no space on the disk."""
    path = tmp_path / "huge.txt"
    with path.open("wb") as stream:
        stream.truncate(MAX_BYTES + 1)
    with pytest.raises(DataError, match="1,073,741,825 bytes are over the limit of 1,073,741,824 bytes a file"):
        read_lines(data_file(path))


def test_line_of_fifty_megabytes_is_read(tmp_path: Path) -> None:
    """Case 24."""
    path = tmp_path / "long.txt"
    path.write_bytes(b"x" * 50_000_000)
    assert [len(line) for line in read_lines(data_file(path))] == [50_000_000]


def test_script_in_a_data_folder_is_never_run(tmp_path: Path) -> None:
    """Case 25: neither where the data file is missing, nor where it is there."""
    (tmp_path / "xquad.py").write_text(f"open({str(tmp_path / 'MARK')!r}, 'w')", encoding="utf-8")
    ref = DatasetRef(name="xquad/xquad.ar.json", candidates=("xquad.ar.json",), sample=None, remotes=())
    place = DataSource(folder=tmp_path, sample=False, offline=True)
    with pytest.raises(DataError, match=r"the script xquad\.py there is never run"):
        locate(ref, place)
    (tmp_path / "xquad.ar.json").write_bytes(squad())
    assert len(read_squad(locate(ref, place), "ar")) == 1
    assert not (tmp_path / "MARK").exists()


def test_json_file_that_is_fine_is_read_as_json_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"a": [1, 2.5e3, -0.0, true, null, "\\u00e9"], "b": {"a": {}}}', encoding="utf-8")
    assert read_json(path) == {"a": [1, 2500.0, -0.0, True, None, "é"], "b": {"a": {}}}


def test_fields_that_were_not_asked_for_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text('{"id": "a", "score": 1, "extra": [{}]}\n\n', encoding="utf-8")
    (row,) = read_records(path, {"id": str, "score": float})
    assert (row.line, row.values) == (1, {"id": "a", "score": 1})
