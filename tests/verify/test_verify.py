"""`xlingual verify`: every file of a run is edited in turn, and each edit is named, with its file and field."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from xlingual.cli import run_command
from xlingual.journal import JOURNAL
from xlingual.record_hash import hash_record, hash_samples
from xlingual.records import RunRecord
from xlingual.serial import from_json

SAMPLE = ["--data", "sample"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run of a model that answers with its prompts, and a limited one beside it."""
    out = tmp_path_factory.mktemp("runs")
    for limit in ([], ["--limit", "10"]):
        assert run_command(["eval", "-m", "echo", "-t", "xquad/en", *SAMPLE, "-o", str(out), *limit]) == 0
    return out


@pytest.fixture
def runs(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished, tmp_path / "runs")
    return tmp_path / "runs"


def verify(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, list[dict[str, Any]]]:
    """Return the exit code and what is said of each run."""
    capsys.readouterr()
    code = run_command(["verify", *words, "--json"])
    return code, json.loads(capsys.readouterr().out)["runs"]


def results_of(runs: Path) -> Path:
    [path] = runs.rglob("results.json")
    return path


def seal(path: Path) -> None:
    """Compute the hashes of a results file again, as someone may who edits it."""
    record = json.loads(path.read_text(encoding="utf-8"))
    record["hashes"]["samples"] = hash_samples(path.with_name("samples.jsonl").read_bytes())
    record["hashes"]["record"] = hash_record(from_json(RunRecord, record))
    path.write_text(json.dumps(record), encoding="utf-8")


def edit_results(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    record = json.loads(path.read_text(encoding="utf-8"))
    change(record)
    path.write_text(json.dumps(record), encoding="utf-8")


def edit_sample(path: Path, values: Mapping[str, object]) -> None:
    """Set fields of the seventh line of the samples beside the results at `path`."""
    samples = path.with_name("samples.jsonl")
    lines = samples.read_text(encoding="utf-8").splitlines()
    lines[6] = json.dumps({**json.loads(lines[6]), **values})
    samples.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def test_runs_that_nobody_touched_are_verified(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = verify(capsys, str(runs), *SAMPLE)
    assert code == 0
    assert [(each["verdict"], each["reasons"]) for each in found] == [("verified", [])] * 2
    assert run_command(["verify", str(results_of(runs).parent)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(": ")[0] for line in lines] == ["verified", "verified"]


@pytest.mark.parametrize(
    "words",
    [
        ["-m", "echo", "-t", "flores101/en-zh,mlqa/zh-en,instructions/en"],
        ["-m", "echo", "-t", "xquad/en", "--shots", "3", "--max-new-tokens", "9"],
        ["-m", "oracle", "-t", "xquad/zh", "--limit", "5-9", "--repeats", "2", "--temperature", "0.5"],
        ["-m", "echo", "-t", "xquad/zh", "--prompt-language", "en", "--shots", "2", "--system", "Be brief."],
        ["-m", "echo", "-t", "xquad/zh", "--template", "chat", "--stop", "x", "--shots", "2", "--seed", "3"],
        ["-m", "echo", "-t", "flores101/en-zh", "--template", "alpaca", "--shots", "1", "--on-overflow", "skip"],
    ],
)
def test_runs_of_every_kind_are_verified(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["eval", *words, *SAMPLE, "-o", str(tmp_path)]) == 0
    assert verify(capsys, str(tmp_path)) == (0, [_verified(each) for each in sorted(tmp_path.rglob("results*.json"))])


def _verified(path: Path) -> dict[str, Any]:
    return {"where": str(path), "verdict": "verified", "reasons": []}


def _set_value(record: dict[str, Any]) -> None:
    record["estimates"][0]["value"] = 99.9


def _set_interval(record: dict[str, Any]) -> None:
    record["estimates"][0]["high"] += 1


def _set_count(record: dict[str, Any]) -> None:
    record["counts"]["passages_cut"] = 3


def _set_failures(record: dict[str, Any]) -> None:
    record["counts"].update(answered=23, failed=1)


def _set_split(record: dict[str, Any]) -> None:
    record["protocol"]["task_version"] = "0"


def _set_number(record: dict[str, Any]) -> None:
    record["protocol"]["n"] = 1190


def _set(**fields: object) -> Callable[[dict[str, Any]], object]:
    return lambda record: record["protocol"].update(fields)


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize(
    ("change", "named"),
    [
        *((_set(limit=word), f"protocol.limit is {word!r}: no part of the exam") for word in ("1-6x", "", "6-1", "x")),
        (_set(repeats=10**9), "protocol.repeats is 1000000000, and the samples have "),
        (_set(repeats=-1), "protocol.repeats is -1, and the samples have "),
        (_set_value, "results.json: estimates.containment.value is 99.9, the answers give "),
        (_set_interval, "results.json: estimates.containment.high is "),
        (_set_count, "results.json: counts.passages_cut is 3, the answers give 0"),
        (_set_failures, "results.json: counts.answered is 23, the answers give 24"),
        (_set_split, "results.json: task_version is not that of run.json"),
        (_set_number, "protocol.n is 1190, and the data have 24 such examples"),
    ],
)
def test_an_edit_of_the_results_is_named(
    runs: Path,
    change: Callable[[dict[str, Any]], object],
    named: str,
    sealed: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """R10: by its field, and with the hash made anew too."""
    path = results_of(runs)
    edit_results(path, change)
    if sealed:
        seal(path)
    code, found = verify(capsys, str(runs))
    assert code == 1
    [edited] = [each for each in found if each["verdict"] == "edited"]
    assert edited["where"] == str(path)
    assert any(reason.startswith(named) for reason in edited["reasons"]), edited["reasons"]
    assert (edited["reasons"][0] == "results.json: a field is not the one that hashes.record was made of") is not sealed


def test_a_limited_run_that_is_called_whole_is_edited(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """R10: `limit: null` on ten samples, sealed again."""
    path = results_of(runs)
    for kind in ("results", "samples"):
        ending = "json" if kind == "results" else "jsonl"
        path.with_name(f"{kind}-limit-1-10.{ending}").replace(path.with_name(f"{kind}.{ending}"))
    edit_results(path, lambda record: record["protocol"].update(limit=None))
    seal(path)
    code, [found] = verify(capsys, str(runs))
    assert (code, found["verdict"]) == (1, "edited")
    assert "samples.jsonl: 10 lines, and 24 were to be asked" in found["reasons"]


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"answer": "gold"}, "samples.jsonl:7: answer is not that of journal.jsonl"),
        ({"statistics": {"containment": [1.0, 1.0]}}, "samples.jsonl:7: statistics.containment are not those of the"),
        ({"targets": ["passage"]}, "samples.jsonl:7: targets is not that of the data"),
        ({"key": "0" * 64}, "samples.jsonl:7: journal.jsonl holds no answer to it"),
        ({"id": "x"}, "samples.jsonl:7: id is not that of the data"),
        ({"answer": 3}, "samples.jsonl:7"),
    ],
)
def test_an_edit_of_a_sample_is_named(
    runs: Path, values: Mapping[str, object], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = results_of(runs)
    edit_sample(path, values)
    seal(path)
    code, found = verify(capsys, str(path))
    assert code in (1, 3)
    assert found[0]["verdict"] == ("unreadable" if code == 3 else "edited")
    assert any(named in reason for reason in found[0]["reasons"]), found[0]["reasons"]


def test_an_edited_line_of_the_journal_is_named(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = results_of(runs)
    journal = path.with_name(JOURNAL)
    lines = journal.read_text(encoding="utf-8").splitlines()
    entry = json.loads(lines[2])
    entry["response"]["text"] = "gold"
    lines[2] = json.dumps(entry)
    journal.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    code, [found] = verify(capsys, str(path))
    assert (code, found["verdict"]) == (1, "edited")
    assert f"{JOURNAL}:3: the line does not match its checksum" in found["reasons"]


@pytest.mark.parametrize("name", [JOURNAL, "run.json", "samples.jsonl"])
def test_without_a_file_nobody_can_tell(runs: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = results_of(runs)
    path.with_name(name).unlink()
    code, [found] = verify(capsys, str(path))
    assert (code, found["verdict"]) == (3, "cannot tell")
    assert found["reasons"][0].startswith(f"{name} is not here")


def test_without_its_data_nobody_can_tell_but_sums_are_checked(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = results_of(runs)
    (tmp_path / "empty").mkdir()
    elsewhere = ["--data", str(tmp_path / "empty"), "--offline"]
    code, [found] = verify(capsys, str(path), *elsewhere)
    assert (code, found["verdict"]) == (3, "cannot tell")
    assert found["reasons"][0].startswith("data not here: ")
    edit_results(path, _set_value)
    seal(path)
    code, [found] = verify(capsys, str(path), *elsewhere)
    assert (code, found["verdict"]) == (1, "edited")
    assert "results.json: estimates.containment: its samples do not give its containment" in found["reasons"]


def test_older_results_have_no_hash(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = results_of(runs)
    edit_results(path, lambda record: record.pop("hashes"))
    code, [found] = verify(capsys, str(path))
    assert (code, found["verdict"]) == (0, "verified")
    assert found["reasons"] == ["no hash: the results are from before there were any"]


@pytest.mark.parametrize("text", ["", "{", "[]", '["' * 100_000, '{"schema": 2}', "\0\0"])
def test_what_cannot_be_read_is_said(runs: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = results_of(runs)
    path.write_text(text, encoding="utf-8")
    code, found = verify(capsys, str(runs))
    assert code == 3
    assert [each["verdict"] for each in found] == ["verified", "unreadable"] or [each["verdict"] for each in found] == [
        "unreadable",
        "verified",
    ]


@pytest.mark.parametrize("word", ["no-such", "empty"])
def test_a_folder_without_runs_is_a_wrong_word(word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    assert run_command(["verify", str(tmp_path / word)]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_answers_scored_again_are_verified(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = results_of(runs)
    assert run_command(["score", str(path.parent), *SAMPLE]) == 0
    assert verify(capsys, str(path)) == (0, [_verified(path)])


def test_verifying_writes_nothing(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    journal = results_of(runs).with_name(JOURNAL)
    journal.write_bytes(journal.read_bytes() + b'{"check": "torn')
    before = {path: path.read_bytes() for path in runs.rglob("*") if path.is_file()}
    assert verify(capsys, str(runs))[0] == 0
    assert {path: path.read_bytes() for path in runs.rglob("*") if path.is_file()} == before


def test_what_fresh_moved_aside_is_not_walked(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["eval", "-m", "echo", "-t", "xquad/en", *SAMPLE, "-o", str(runs), "--fresh"]) == 0
    code, found = verify(capsys, str(runs))
    assert (code, len(found)) == (0, 1)


def test_boards_mark_what_the_samples_cannot_show(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """R10: the name of the model, with no samples and no plan to read."""
    path = results_of(runs)
    path.with_name("samples.jsonl").unlink()
    path.with_name("run.json").unlink()
    edit_results(path, lambda record: record["model"].update(name="gpt-9"))
    capsys.readouterr()
    assert run_command(["board", str(runs), "--json", "--board", "sample"]) == 0
    board = json.loads(capsys.readouterr().out)
    [row] = [row for table in board["tables"] for row in table["rows"] if row["model"] == "gpt-9"]
    assert row["rank"] is None
    assert "edited: a field is not the one that hashes.record was made of" in json.dumps(row)
