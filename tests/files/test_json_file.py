"""Every reader of a JSON file refuses every kind of broken file alike: one class of error, file, line and column."""

from collections.abc import Callable
from pathlib import Path

import pytest

from xlingual.board.collection import read_run
from xlingual.cli.report import read_allocation
from xlingual.cli.scale.fit import read_fit
from xlingual.data import read_records, read_squad
from xlingual.errors import DataError, ModelError, UsageError, XlingualError
from xlingual.files import MAX_DEPTH, read_json, read_json_lines, read_json_object
from xlingual.journal import open_journal, read_line
from xlingual.plugin import ModelOptions
from xlingual.records import DataFile, Origin
from xlingual.registry import MODELS
from xlingual.tracking.spool import archive_spool
from xlingual.training.steplog import cut_back
from xlingual.tune.cost import read_shape
from xlingual.tune.prepare import load_plan

Read = Callable[[Path], object]


def _ignore(_message: str) -> None:
    """Take what a tracker warns of."""


def _squad(path: Path) -> object:
    file = DataFile(name=path.name, origin=Origin.LOCAL, path=str(path), revision=None, sha256="0" * 64)
    return read_squad(file, "ar")


def _journal(path: Path) -> None:
    """Read every line; `open_journal` itself sets the bad ones aside."""
    if path.is_dir():
        open_journal(path.parent)
    for number, line in enumerate(path.read_bytes().split(b"\n"), start=1):
        read_line(line, path, number)


STRICT: dict[str, tuple[str, Read]] = {
    "JSON": ("a.json", read_json),
    "an object": ("a.json", read_json_object),
    "a data set": ("a.json", _squad),
    "data in lines": ("a.jsonl", lambda path: read_records(path, {"a": str})),
    "lines of ours": ("samples.jsonl", read_json_lines),
    "a journal": ("journal.jsonl", _journal),
    "results": ("results.json", lambda path: read_run(path, str(path))),
    "a plan": ("plan.json", lambda path: load_plan(path.parent)),
    "a log of steps": ("steps.jsonl", lambda path: cut_back(path, 1)),
    "a spool": ("run.spool.jsonl", lambda path: archive_spool(path, _ignore)),
    "a law": ("fit.json", read_fit),
    "a split": ("split.json", read_allocation),
    "a script": ("script.jsonl", lambda path: MODELS.get("scripted")(str(path), ModelOptions())),
}
BROKEN = {
    "cut off": (b'{"a": {"b', ":1:", "not JSON"),
    "no JSON": (b"{'a': 1}", ":1:", "not JSON"),
    "not UTF-8": (b'{"a": "caf\xe9"}', ":1", "UTF-8"),
    "deep": (b'{"a": ' + b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1) + b"}", ":1", "nested more than 100 levels"),
    "very deep": (b"[" * 100_000, ":1", "nested more than 100 levels"),
    "a key twice": (b'{"a": "1", "a": "2"}', ":1:12", "key 'a' is twice in one object"),
    "not a number": (b'{"a": NaN}', ":1:7", "NaN is not a JSON number"),
    "infinite": (b'{"a": -Infinity}', ":1:7", "-Infinity is not a JSON number"),
    "too large a number": (b'{"a": ' + b"1" * 5000 + b"}", ":1", "Exceeds the limit"),
}


@pytest.mark.parametrize("how", BROKEN)
@pytest.mark.parametrize("who", STRICT)
def test_every_reader_refuses_every_broken_file(who: str, how: str, tmp_path: Path) -> None:
    name, read = STRICT[who]
    content, place, what = BROKEN[how]
    path = tmp_path / name
    path.write_bytes(content + b"\n")
    with pytest.raises(DataError) as caught:
        read(path)
    assert caught.value.exit_code == 3
    assert caught.value.where.startswith(f"{path}{place}")
    assert what in caught.value.what


@pytest.mark.parametrize("who", STRICT)
def test_a_folder_in_place_of_a_file_is_no_bug(who: str, tmp_path: Path) -> None:
    name, read = STRICT[who]
    (tmp_path / name).mkdir()
    with pytest.raises(XlingualError) as caught:
        read(tmp_path / name)
    assert caught.value.exit_code != 70


def _foreign(path: Path) -> object:
    return read_json_object(path, strict=False, fault=ModelError)


@pytest.mark.parametrize("how", [how for how in BROKEN if how not in ("a key twice", "not a number", "infinite")])
def test_a_broken_file_of_a_model_is_an_error_of_the_model(how: str, tmp_path: Path) -> None:
    content, place, what = BROKEN[how]
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        _foreign(path)
    assert caught.value.where.startswith(f"{path}{place}")
    assert what in caught.value.what
    assert read_shape(tmp_path) is None


@pytest.mark.parametrize(
    ("text", "value"), [('{"a": 1, "a": 2}', 2), ('{"a": Infinity}', float("inf")), ('{"a": 1e999}', float("inf"))]
)
def test_what_transformers_reads_in_a_models_file_is_read(text: str, value: float, tmp_path: Path) -> None:
    """Mamba2's config.json holds `"time_step_limit": [0.0, Infinity]`."""
    path = tmp_path / "config.json"
    path.write_text(text, encoding="utf-8")
    assert _foreign(path) == {"a": value}


@pytest.mark.parametrize("text", ["[]", "3", "null"])
def test_another_value_than_an_object(text: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ModelError, match="must be an object, got"):
        _foreign(path)
    path.unlink()
    with pytest.raises(ModelError, match="No such file"):
        _foreign(path)


def test_as_deep_as_the_limit_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("[" * MAX_DEPTH + "]" * MAX_DEPTH, encoding="utf-8")
    assert isinstance(read_json(path), list)


def test_the_limit_of_a_file_is_stated(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("[1, 2]", encoding="utf-8")
    assert read_json(path, limit=6) == [1, 2]
    with pytest.raises(DataError, match=r"a\.json: 6 bytes are over the limit of 5 bytes a file"):
        read_json(path, limit=5)


@pytest.mark.parametrize("read", [read_fit, read_allocation])
def test_a_file_of_the_command_line_that_is_not_there_is_a_wrong_word(read: Read, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read(tmp_path / "none.json")


@pytest.mark.parametrize(
    "content",
    ['NaN"id": 1}', '{"a": NaN, "b": }', "[NaN", '{"a": -Infinity "b"', '{"a": 1e999, \'}', '{"a": 1, "a": 2, "\\x"}',
     '{"a": 1, "a": 2}}', 'NaN]', '{"a": 1, "a": 2} {"b"', '[1e999, -]', '[NaN, "\n"]'],
)  # fmt: skip
def test_what_is_lax_and_no_json_at_all_is_a_fault_of_the_file(tmp_path: Path, content: str) -> None:
    path = tmp_path / "file.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=r"file\.json:\d") as caught:
        read_json(path)
    assert caught.value.exit_code == 3
