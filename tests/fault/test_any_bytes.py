"""Whatever bytes a file holds: a reader returns a value or an error with exit code 2, 3 or 5."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xlingual.board.collection import read_run
from xlingual.board.spec import read_board
from xlingual.data import read_squad
from xlingual.declared import read_family
from xlingual.errors import XlingualError
from xlingual.files import read_json, read_json_lines, read_text
from xlingual.journal import open_journal
from xlingual.judging.prompts import read_prompt
from xlingual.lease import _read_holder
from xlingual.plugin import ModelOptions
from xlingual.pricing import read_prices
from xlingual.records import DataFile, Origin
from xlingual.rescore import read_predictions
from xlingual.scaling.points import read_points
from xlingual.scaling.similarity import read_similarity
from xlingual.selection import open_model
from xlingual.store import read_samples
from xlingual.toml_table import read_toml
from xlingual.tune.recipe import find_recipe

from .strategies import damaged
from .trials import ROOT

Reader = Callable[[Path], object]
QUICK = settings(max_examples=60, deadline=None, derandomize=True)


def _in_folder(read: Callable[[Path], object], name: str) -> Reader:
    """Return a reader of the folder that holds a file."""

    def reader(path: Path) -> object:
        path.replace(path.parent / name)
        return read(path.parent)

    return reader


def _squad(path: Path) -> object:
    file = DataFile(name=path.name, origin=Origin.LOCAL, path=str(path), revision=None, sha256="0" * 64)
    return read_squad(file, "en")


READERS: dict[str, tuple[Reader, str]] = {
    "text": (read_text, "txt"),
    "JSON": (read_json, "json"),
    "JSON lines": (read_json_lines, "jsonl"),
    "TOML": (read_toml, "x-llama.toml"),
    "a journal": (_in_folder(lambda folder: open_journal(folder).close(), "journal.jsonl"), "jsonl"),
    "samples": (_in_folder(read_samples, "samples.jsonl"), "jsonl"),
    "predictions": (lambda path: read_predictions(path, "en"), "jsonl"),
    "scripted answers": (lambda path: open_model(f"scripted:{path}", ModelOptions()), "jsonl"),
    "results": (lambda path: read_run(path, "runs/results.json"), "json"),
    "SQuAD": (_squad, "json"),
    "a lock": (lambda path: _read_holder(path.read_bytes(), path), "json"),
    "a recipe": (lambda path: find_recipe(str(path)), "alpaca-en-mini.toml"),
    "a leaderboard": (read_board, "paper.toml"),
    "a task": (read_family, "mgsm.toml"),
    "a prompt of judges": (read_prompt, "pairwise.toml"),
    "points": (read_points, "points.csv"),
    "a similarity": (read_similarity, "similarity.csv"),
    "prices": (lambda path: read_prices(str(path)), "prices.toml"),
}


def _name(kind: str) -> str:
    """Return the name of a file of a kind: some must be called as what is in them."""
    return kind if "." in kind else f"file.{kind}"


def _seeds(kind: str) -> list[bytes]:
    """Return files as they should be."""
    folders = {
        "alpaca-en-mini.toml": "models/recipes", "paper.toml": "leaderboards", "mgsm.toml": "tasks",
        "pairwise.toml": "harness/xlingual/judging/prompt_files", "x-llama.toml": "models/recipes",
    }  # fmt: skip
    if kind in folders:
        return [(ROOT / folders[kind] / kind).read_bytes()]
    line = {"id": "a", "prediction": "Paris", "cluster": "0", "statistics": {"squad_f1": [1.0, 1.0]}, "language": "en"}
    tables = {
        "points.csv": b"language,pairs,tokens,seed,metric,score,low,high\nzh,1000,20000,0,chrf++,40.0,39,41\n",
        "similarity.csv": b"language,similarity,tokens\nzh,0.4,9\nar,0.3,\n",
        "prices.toml": b'["some/model"]\nin = 0.5\nout = 1.5\n["*"]\nin = 1\nout = 2\ncached = 0.1\n',
        "txt": "one\nzwei\u2028drei\n四\n".encode(),
    }
    if kind in tables:
        return [tables[kind]]
    if kind == "jsonl":
        lines = [json.dumps({**line, "id": name}).encode() + b"\n" for name in "abc"]
        return [b"".join(lines)]
    qas = [{"id": "1", "question": "Who?", "answers": [{"text": "I", "answer_start": 0}]}]
    return [json.dumps({"data": [{"title": "t", "paragraphs": [{"context": "I am.", "qas": qas}]}]}).encode()]


@pytest.mark.parametrize("name", READERS)
@QUICK
@given(data=st.data())
def test_any_bytes_are_a_value_or_an_error_of_the_file(
    name: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    read, kind = READERS[name]
    folder = tmp_path_factory.mktemp("any")
    path = folder / _name(kind)
    path.write_bytes(data.draw(damaged(_seeds(kind))))
    error = _error_of(read, path)
    if error is not None:
        assert error.exit_code in (2, 3, 5)
        assert path.name in str(error) or path.parent.name in str(error) or name == "results"


def _error_of(read: Reader, path: Path) -> XlingualError | None:
    try:
        read(path)
    except XlingualError as error:
        return error
    return None


@pytest.mark.parametrize("name", READERS)
def test_files_as_they_should_be_are_read(name: str, tmp_path: Path) -> None:
    """What is damaged above is a file that can be read."""
    read, kind = READERS[name]
    if name in ("results", "samples", "scripted answers"):
        return
    path = tmp_path / _name(kind)
    path.write_bytes(_seeds(kind)[0])
    read(path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abé", max_size=3), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@QUICK
@given(value=JSON)
def test_json_survives_writing_and_reading(value: object, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "round-trip.json"
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
    assert read_json(path) == value


@QUICK
@given(st.lists(st.tuples(st.text("abc", min_size=1), st.text()), max_size=6, unique_by=lambda pair: pair[0]))
def test_predictions_survive_writing_and_reading(
    tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[str, str]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "round-trip.jsonl"
    if not pairs:
        return
    path.write_text(
        "".join(json.dumps({"id": name, "prediction": text}) + "\n" for name, text in pairs), encoding="ascii"
    )
    expected = {name: text.encode("utf-16", "surrogatepass").decode("utf-16", "replace") for name, text in pairs}
    assert read_predictions(path, "en") == expected
