"""docs/results.md names the fields that are written, all of them and no other."""

import json
import re
from dataclasses import fields
from pathlib import Path

import pytest

from xlingual.records import Counts, Estimate, ModelSpec, Protocol, RecordHashes, Response, RunRecord
from xlingual.rescore import PredictionScores
from xlingual.run_summary import ANSWER_PARTS

from .conftest import Xlingual

PAGE = Path(__file__).resolve().parents[2] / "docs" / "results.md"
RECORDS = {
    "response": Response,
    "model": ModelSpec,
    "protocol": Protocol,
    "estimates[]": Estimate,
    "counts": Counts,
    "hashes": RecordHashes,
}


def tables() -> list[tuple[str, str, list[str]]]:
    """Return of each table of fields the heading that it stands under, what its head names, and the fields."""
    found: list[tuple[str, str, list[str]]] = []
    heading = ""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            heading = line.removeprefix("## ")
        elif re.fullmatch(r"\| .* \| is \|", line):
            found.append((heading, line.split("|")[1].strip(" `"), []))
        elif line.startswith("| `"):
            found[-1][2].extend(re.findall(r"`([^`]+)`", line.split("|")[1]))
    return found


def named(heading: str, head: str) -> list[str]:
    [names] = [names for where, what, names in tables() if (where, what) == (heading, head)]
    return sorted(names)


@pytest.mark.parametrize(("head", "record"), RECORDS.items())
def test_tables_of_records_are_whole(head: str, record: type) -> None:
    heading = "journal.jsonl" if record is Response else "results.json"
    assert named(heading, head) == sorted(each.name for each in fields(record))


def test_tables_of_files_are_whole(xlingual: Xlingual, tmp_path: Path) -> None:
    """A task of choices has every field of a sample."""
    assert xlingual("eval", "-m", "oracle", "-t", "seas/en", "-o", str(tmp_path)).code == 0
    [folder] = [path.parent for path in tmp_path.rglob("results.json")]
    sample = json.loads((folder / "samples.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert named("samples.jsonl", "field") == sorted(sample)
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    assert named("samples.jsonl", "more of an answer") == sorted([*ANSWER_PARTS, "rendered", "repeat", "sampling"])
    assert named("results.json", "field") == sorted(results) == sorted(each.name for each in fields(RunRecord))
    run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    section = PAGE.read_text(encoding="utf-8").partition("## run.json")[2].partition("\n## ")[0]
    assert set(run) <= set(re.findall(r"`(\w+)`", section))
    assert named("What the commands print", "field") == sorted(each.name for each in fields(PredictionScores))


def test_examples_of_lines_have_fields_that_there_are() -> None:
    page = PAGE.read_text(encoding="utf-8")
    journal = re.search(r"^ {4}(\{\"check\".*?\}\})$", page, re.DOTALL | re.MULTILINE)
    sample = re.search(r"^ {4}(\{\"id\".*?\}\]\})$", page, re.DOTALL | re.MULTILINE)
    assert journal is not None
    assert sample is not None
    answer = json.loads(journal[1].replace("\n    ", " "))["response"]
    assert set(answer) == {each.name for each in fields(Response)} - {"likelihoods", "thinking", "thinking_tokens"}
    line = json.loads(sample[1].replace("\n    ", " "))
    assert set(line) == set(named("samples.jsonl", "field")) - {"choices", "likelihoods"}
    assert (answer["key"], answer["text"]) == (line["key"], line["answer"])
