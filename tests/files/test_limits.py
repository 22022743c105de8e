"""R14: lines, texts and archives over the stated limits are refused by file and line, in a moment, in little memory."""

# ruff: noqa: F401, F811 (fixtures of other folders)

import gzip
import io
import json
import tarfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from xlingual.cli import run_command
from xlingual.data import aligned_lines, archive, read_lines, read_records, read_squad
from xlingual.declared import DeclaredTask
from xlingual.errors import DataError
from xlingual.files import MAX_JSON_BYTES, MAX_LINE_BYTES, MAX_TEXT, json_file, network, read_json, read_json_lines
from xlingual.files.network import stream_url
from xlingual.journal import DAMAGED, open_journal
from xlingual.plugin import DataSource
from xlingual.records import Corpus, DataFile, Origin
from xlingual.registry import SOURCES
from xlingual.scaling.similarity import read_similarity

from ..data.conftest import Server, server
from ..declared.conftest import Declare, data, declare

Read = Callable[[Path], object]
SECONDS = 5.0
"""A refusal takes a fraction of one; a machine may be busy."""
LONG = MAX_LINE_BYTES + 1
WIDE = MAX_TEXT + 1


def data_file(path: Path) -> DataFile:
    return DataFile(name=path.name, origin=Origin.LOCAL, path=str(path), revision=None, sha256="0" * 64)


def source(reader: str, *columns: str, direction: bool = True) -> Read:
    def read(path: Path) -> object:
        wanted = Corpus(
            name="mine", path=path.name, language="zh", direction=("en", "zh") if direction else None, columns=columns
        )
        return SOURCES.get(reader).examples(wanted, DataSource(folder=path.parent, sample=False, offline=True))

    return read


def parallel(path: Path) -> object:
    wanted = Corpus(name="mine", path="b.{language}", language="zh", direction=("en", "zh"), columns=())
    (path.parent / "b.zh").write_text("x\n" * 3, encoding="utf-8")
    return SOURCES.get("parallel").examples(wanted, DataSource(folder=path.parent, sample=False, offline=True))


def refusal(act: Callable[[], object]) -> DataError:
    """Return the error of a call, which must not take long, nor memory for more than twice what it reads."""
    before = time.monotonic()
    with pytest.raises(DataError) as caught:
        act()
    assert time.monotonic() - before < SECONDS
    return caught.value


LINES: dict[str, tuple[str, bytes, Read]] = {
    "text": ("a.txt", b"one\n", lambda path: read_lines(data_file(path))),
    "aligned text": ("a.txt", b"one\n", lambda path: aligned_lines(data_file(path), data_file(path))),
    "records": ("a.jsonl", b'{"id": "a"}\n', lambda path: read_records(path, {"id": str})),
    "a table of pairs": ("a.tsv", b"en\tzh\n", source("tsv")),
    "a catalogue": ("a.po", b'msgid "a"\n', source("po")),
    "parallel text": ("b.en", b"one\n", parallel),
    "instructions": ("a.jsonl", b'{"instruction": "a", "output": "b"}\n', source("alpaca", direction=False)),
    "similarities": ("a.csv", b"language,similarity\n", read_similarity),
}
"""Readers of files of lines: the name of a file, its first line, and the reader."""


@pytest.mark.parametrize("kind", LINES)
def test_a_line_over_the_limit_is_named_and_not_looked_at(kind: str, tmp_path: Path) -> None:
    name, first, read = LINES[kind]
    path = tmp_path / name
    with path.open("wb") as stream:
        stream.write(first)
        stream.truncate(len(first) + LONG)  # takes no space on the disk
    error = refusal(lambda: read(path))
    assert str(error).startswith(f"{path}:2: a line of {LONG:,} bytes is over the limit of {MAX_LINE_BYTES:,}")


def test_a_long_line_is_refused_in_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    with path.open("wb") as stream:
        stream.truncate(100_000_000)
    tracemalloc.start()
    refusal(lambda: source("tsv")(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.5 * 100_000_000


def squad(context: str) -> bytes:
    question = {"id": "q", "question": "?", "answers": [{"text": "x", "answer_start": 0}]}
    return json.dumps({"data": [{"title": "T", "paragraphs": [{"context": context, "qas": [question]}]}]}).encode()


def tmx(text: str) -> bytes:
    segments = "".join(f'<tuv xml:lang="{code}"><seg>{each}</seg></tuv>' for code, each in (("en", text), ("zh", "x")))
    return f"<tmx><body><tu>{segments}</tu></body></tmx>".encode()


TEXTS: dict[str, tuple[str, Callable[[str], bytes], Read, str]] = {
    "a passage": ("a.json", squad, lambda path: read_squad(data_file(path), "en"), "field 'context' has 16,777,217"),
    "a zipped passage": (
        "a.json", lambda text: gzip.compress(squad(text), 1), lambda path: read_squad(data_file(path), "en"),
        "field 'context' has 16,777,217",
    ),
    "a field of a record": (
        "a.jsonl", lambda text: json.dumps({"id": "a", "text": text}).encode(),
        lambda path: read_records(path, {"id": str, "text": str}), "field 'text' has 16,777,217",
    ),
    "a text in a list": (
        "a.jsonl", lambda text: json.dumps({"texts": [text]}).encode(),
        lambda path: read_records(path, {"texts": list[str]}), "field 'texts' has 16,777,217",
    ),
    "an instruction": (
        "a.json", lambda text: json.dumps([{"instruction": text, "output": "b"}]).encode(),
        source("alpaca", direction=False), "field 'instruction' has 16,777,217",
    ),
    "a column of a table": (
        "a.tsv", lambda text: f"en\tzh\n{text}\tx\n".encode(), source("tsv"), "a side of pair 1 has 16,777,217",
    ),
    "a segment": ("a.tmx", tmx, source("tmx"), "a segment has more than the limit of 16,777,216"),
    "a message": (
        "a.po", lambda text: f'msgid ""\nmsgstr ""\n\nmsgid "{text}"\nmsgstr "x"\n'.encode(), source("po"),
        ":4: 16,777,225 characters are over the limit of 1,048,576",
    ),
    "a message in parts": (
        "a.po", lambda text: b'msgid ""\nmsgstr ""\n\nmsgid ""\n' + f'"{text[:100_000]}"\n'.encode() * 170
        + b'msgstr "x"\n', source("po"), "a side of pair 1 has 17,000,000",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", TEXTS)
def test_a_text_over_the_limit_is_named(kind: str, tmp_path: Path) -> None:
    name, make, read, what = TEXTS[kind]
    path = tmp_path / name
    path.write_bytes(make("x" * WIDE))
    error = refusal(lambda: read(path))
    assert str(error).startswith(str(path))
    assert what in str(error)


@pytest.mark.parametrize("kind", ["jsonl", "json", "tsv", "csv"])
def test_a_text_of_a_declared_task_over_the_limit_is_named(
    kind: str,
    declare: Declare,
    data: DataSource,
) -> None:
    assert data.folder is not None
    path = data.folder / "rivers" / f"en.test.{kind}"
    row = {"id": "1", "river": "x" * WIDE, "seas": "Baltic"}
    mark = "\t" if kind == "tsv" else ","
    table = f"{mark.join(row)}\n{mark.join(row.values())}\n"
    path.write_text({"jsonl": json.dumps(row) + "\n", "json": json.dumps([row])}.get(kind, table), encoding="utf-8")
    task: DeclaredTask = declare((".jsonl", f".{kind}"))["en"]
    error = refusal(lambda: task.examples("test", data))
    assert str(path) in str(error)
    assert "over the limit of 16,777,216" in str(error) or "field larger than field limit (16777216)" in str(error)


def test_a_document_over_the_limit_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with path.open("wb") as stream:
        stream.truncate(MAX_JSON_BYTES + 1)
    what = f"{MAX_JSON_BYTES + 1:,} bytes are over the limit of {MAX_JSON_BYTES:,} bytes a file"
    for error in (refusal(lambda: read_json(path)), refusal(lambda: read_squad(data_file(path), "en"))):
        assert str(error) == f"{path}: {what}"


def test_a_bomb_of_gzip_unpacks_to_the_limit_and_no_further(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten bytes a limit of ten thousand: what a bomb of 400 MB is to the real one."""
    monkeypatch.setattr("xlingual.data.nodes.MAX_JSON_BYTES", 10_000)
    path = tmp_path / "a.json"
    path.write_bytes(gzip.compress(b" " * 50_000_000))
    tracemalloc.start()
    error = refusal(lambda: read_squad(data_file(path), "en"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert str(error) == f"{path}: unpacks to more than the limit of 10,000 bytes a file"
    assert peak < 2_000_000


def tar_gz(*members: tarfile.TarInfo, fill: int = 0) -> bytes:
    """Return an archive of headers, each followed by as many zeros as it claims, up to `fill`."""
    packed = io.BytesIO()
    with gzip.open(packed, "wb", compresslevel=1) as stream:
        for member in members:
            stream.write(member.tobuf(tarfile.GNU_FORMAT))
            for _ in range(min(member.size, fill) // 2**20):
                stream.write(b"\0" * 2**20)
    return packed.getvalue()


def member(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    information = tarfile.TarInfo(name)
    information.size, information.type = size, kind
    return information


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (tar_gz(member("a", 2**40), fill=2**22), "unpacks to more than the limit of 8,388,608 bytes"),
        (tar_gz(member("a", 2**24), member("b", 2**20), fill=2**24), "unpacks to more than the limit"),
        (tar_gz(member("wanted", 2**24), fill=2**24), "unpacks to more than the limit"),
        (tar_gz(member("pax", 2**40, tarfile.XHDTYPE), fill=2**22), "claims a header of more than 16,777,216 bytes"),
        (tar_gz(member("name", 2**40, tarfile.GNUTYPE_LONGNAME), fill=2**22), "claims a header of more than"),
    ],
    ids=["a member of a terabyte", "many members", "the member itself", "attributes", "a name"],
)
def test_an_archive_that_claims_more_than_it_may(
    content: bytes, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "MAX_ARCHIVE", 2**23)
    monkeypatch.setattr(archive, "MAX_BYTES", 2**22)
    path = tmp_path / "a.tar.gz"
    path.write_bytes(content)
    error = refusal(lambda: list(archive.read_member(path, "wanted")))
    assert error.where.startswith(str(path))
    assert what in error.what


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz", "w"])
def test_archives_of_every_packing_are_read_as_before(mode: str, tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    make: Any = tarfile.open
    with make(path, mode) as opened:
        for name, content in {"first": b"x" * 3_000_000, "wanted": b"y" * 2_500_000}.items():
            opened.addfile(member(name, len(content)), io.BytesIO(content))
    assert b"".join(archive.read_member(path, "wanted")) == b"y" * 2_500_000
    with pytest.raises(DataError, match="no such member"):
        list(archive.read_member(path, "absent"))


def test_a_download_without_end_is_given_up(
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server.files["/a"] = b"x" * 3_000_000
    monkeypatch.setattr(network, "MOST_BYTES", 1_000_000)
    blocks: list[bytes] = []
    with pytest.raises(DataError, match="holds more than the limit of 1,000,000 bytes a download"):
        blocks.extend(stream_url(f"{server.url}/a"))
    assert sum(map(len, blocks)) <= 1_000_000


def test_a_line_of_ours_over_the_limit_is_set_aside_or_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_file, "MAX_OBJECT_BYTES", 1000)
    line = json.dumps({"check": "0" * 8, "response": {"key": "x" * 1000}}).encode() + b"\n"
    (tmp_path / "journal.jsonl").write_bytes(line)
    journal = open_journal(tmp_path)
    assert journal.damaged == (f"line 1: a line of {len(line) - 1:,} bytes is over the limit of 1,000",)
    assert (tmp_path / DAMAGED).read_bytes() == line
    (tmp_path / "samples.jsonl").write_bytes(b'{"id": "a"}\n' + line)
    error = refusal(lambda: read_json_lines(tmp_path / "samples.jsonl"))
    assert error.where == f"{tmp_path / 'samples.jsonl'}:2"


def test_bytes_that_are_no_utf8_are_named_in_linear_time(tmp_path: Path) -> None:
    """A single line of three million bad bytes."""
    path = tmp_path / "a.txt"
    path.write_bytes("né".encode("latin-1") * 3_000_000)
    error = refusal(lambda: read_lines(data_file(path)))
    assert str(error) == f"{path}:1: byte 0xe9 at column 2 is not UTF-8; looks like latin-1"


def test_predictions_of_one_long_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "predictions.jsonl"
    with path.open("wb") as stream:
        stream.truncate(LONG)
    assert run_command(["score", str(path), "-t", "xquad/zh", "--data", "sample"]) == 3
    assert capsys.readouterr().err.startswith(f"error: {path}:1: a line of {LONG:,} bytes is over the limit")
