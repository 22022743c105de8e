"""Five ways to be first on a leaderboard without being the best, through the real command line: none is ranked."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from xlingual.cli import run_command
from xlingual.plugin import DataSource
from xlingual.records import Example
from xlingual.selection import select_tasks

from ..small_base import make_small_base

LANGUAGES = ("ar", "hi", "zh")
SAMPLE = DataSource(folder=None, sample=True, offline=True)


def examples(language: str) -> dict[str, Example]:
    [task] = select_tasks([f"xquad/{language}"], [])
    return {each.id: each for each in task.examples("test", SAMPLE).rows}


def script(folder: Path, name: str, answer: Callable[[Example], str], *, right: int) -> str:
    """Write a model that gives `answer` of every language to the first `right` examples, and "x" to the others."""
    found = {language: examples(language) for language in LANGUAGES}
    lines = [
        {"id": key, "prediction": " ".join(answer(found[each][key]) for each in LANGUAGES) if place < right else "x"}
        for place, key in enumerate(found["ar"])
    ]
    path = folder / f"{name}.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return f"scripted:{path}"


def gold(example: Example) -> str:
    return example.targets[0]


def passage(example: Example) -> str:
    return example.fields["context"]


def ask(root: Path, model: str, *arguments: str, languages: tuple[str, ...] = LANGUAGES) -> None:
    tasks = ",".join(f"xquad/{language}" for language in languages)
    command = ["eval", "-m", model, "-t", tasks, "--data", "sample", "-o", str(root / "runs"), *arguments]
    assert run_command(command) == 0


def honest(root: Path) -> None:
    """Answer with two models that are what they seem."""
    for name, right in (("good", 18), ("fair", 6)):
        ask(root, script(root, name, gold, right=right))


def table_of(root: Path, capsys: pytest.CaptureFixture[str]) -> tuple[dict[str, Any], dict[str, Any], str]:
    """Return the XQuAD table and its rows by the stem of the model's name, and the page."""
    words = ["board", str(root / "runs"), "--board", "sample"]
    capsys.readouterr()
    assert run_command([*words, "--json"]) == 0
    board = json.loads(capsys.readouterr().out)
    assert run_command(words) == 0
    page = capsys.readouterr().out
    [table] = [each for each in board["tables"] if each["family"] == "xquad"]
    table["not_ranked"] = board["not_ranked"]
    return table, {row["model"].removeprefix("scripted-"): row for row in table["rows"]}, page


def ranked(rows: dict[str, Any]) -> set[str]:
    return {name for name, row in rows.items() if row["rank"] is not None}


def test_a_parrot_of_the_passage_is_marked_and_not_ranked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """S9: containment 100, rank 1, source_copy 0."""
    honest(tmp_path)
    ask(tmp_path, script(tmp_path, "parrot", passage, right=24))
    _, rows, page = table_of(tmp_path, capsys)
    assert ranked(rows) == {"good", "fair"}
    cell = rows["parrot"]["cells"][0]
    assert (cell["value"], cell["state"]) == (100.0, "marked")
    assert "100.0% of the passage repeated" in rows["parrot"]["unranked"]
    assert "of the gold answer's length: ar " in page
    assert "passage\\_copy | 100.0" in page


def test_a_run_whose_prompts_lost_their_passage_is_marked_and_not_ranked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """S8: rank 1, "complete", nothing on the page."""
    honest(tmp_path)
    base = make_small_base(tmp_path / "short")
    path = base / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**config, "max_position_embeddings": 256}), encoding="utf-8")
    ask(tmp_path, f"hf:{base}", "--max-new-tokens", "8", "--device", "cpu")
    for name in ("good", "fair"):
        ask(tmp_path, f"scripted:{tmp_path / name}.jsonl", "--max-new-tokens", "8")
    _, rows, page = table_of(tmp_path, capsys)
    [short] = [row for name, row in rows.items() if name not in ("good", "fair")]
    assert short["rank"] is None
    assert "passages cut" in short["unranked"]
    assert "passages cut: ar " in page
    assert ranked(rows) == {"good", "fair"}


def test_one_table_has_one_number_of_shots(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """S7: the newer five-shot runs on zh took its column, and the average mixed both."""
    honest(tmp_path)
    for name in ("good", "fair"):
        ask(tmp_path, f"scripted:{tmp_path / name}.jsonl", "--shots", "2", languages=("zh",))
    table, rows, page = table_of(tmp_path, capsys)
    assert {column["protocol"]["shots"] for column in table["columns"]} == {0}
    assert ranked(rows) == {"good", "fair"}
    fields = [{each["field"] for each in item["differences"]} for item in table["not_ranked"]]
    assert {item["task"] for item in table["not_ranked"]} == {"xquad/zh"}
    assert all("shots" in each for each in fields)
    assert "| shots | 2 | 0 |" in page


def test_a_model_with_other_shots_in_one_language_has_no_average(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    honest(tmp_path)
    mixed = script(tmp_path, "mixed", gold, right=24)
    ask(tmp_path, mixed, languages=("ar", "hi"))
    ask(tmp_path, mixed, "--shots", "2", languages=("zh",))
    _, rows, _ = table_of(tmp_path, capsys)
    assert ranked(rows) == {"good", "fair"}
    assert rows["mixed"]["unranked"] == "xquad/zh: no run"


def edit_limit(record: dict[str, Any], results: Path, *, whole: bool) -> None:
    """Take the limit away; with `whole`, also put protocol and counts of a whole run in place."""
    record["protocol"]["limit"] = None
    shutil.copy(next(results.parent.glob("samples-limit*")), results.parent / "samples.jsonl")
    if not whole:
        return
    others = (json.loads(each.read_text(encoding="utf-8")) for each in results.parents[2].rglob("results.json"))
    other = next(each for each in others if each["protocol"]["task"] == record["protocol"]["task"])
    record.update(protocol=other["protocol"], counts=other["counts"])
    for estimate in record["estimates"]:
        estimate["n"] = other["protocol"]["n"]


def edit(record: dict[str, Any], results: Path, change: str) -> None:
    """Make the results of a run better than they are."""
    if change.startswith("limit"):
        edit_limit(record, results, whole=change == "limit, counts")
    if change == "dtype":
        record["model"]["dtype"] = "bfloat16"
    if change == "samples":
        path = results.parent / "samples.jsonl"
        path.write_text(path.read_text(encoding="utf-8").replace("[0.0,1.0]", "[1.0,1.0]"), encoding="utf-8")
    main = next(each for each in record["estimates"] if each["metric"] == "containment")
    if change == "plan":
        (results.parent / "run.json").unlink()
    changes = {"value": {"value": 99.0, "low": 98.0, "high": 100.0}, "count": {"n": 20}, "interval": {"low": 49.0}}
    main.update(changes.get(change, {}))
    (results.parent / "results.json").write_text(json.dumps(record), encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("value", "edited: its samples do not give its containment"),
        ("count", "edited: 24 samples were scored, the results say 20"),
        ("interval", "edited: its samples do not give the interval of its containment"),
        ("plan", "run.json missing"),
        ("samples", "edited: its samples do not give its containment"),
        ("dtype", "edited: dtype is not that of run.json"),
        ("limit, counts", "edited: 8 samples were scored, the results say 24"),
        ("limit", "| n | 8 | 24 |"),
    ],
)
def test_edited_results_are_marked_and_not_ranked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: str, said: str
) -> None:
    honest(tmp_path)
    ask(tmp_path, script(tmp_path, "cheat", gold, right=12), *(("--limit", "8") if "limit" in change else ()))
    for results in sorted((tmp_path / "runs").rglob("results*.json")):
        record = json.loads(results.read_text(encoding="utf-8"))
        if "cheat" in record["model"]["name"]:
            edit(record, results, change)
    _, rows, page = table_of(tmp_path, capsys)
    assert ranked(rows) == {"good", "fair"} | ({"cheat"} if change == "plan" else set())
    assert said in page


def test_a_run_without_samples_is_marked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    honest(tmp_path)
    for path in (tmp_path / "runs").rglob("samples.jsonl"):
        if "good" in str(path):
            path.unlink()
    _, rows, page = table_of(tmp_path, capsys)
    assert rows["good"]["notes"][0] == "answers from a file"
    assert rows["good"]["notes"][-1] == "samples missing"
    assert "samples missing |" in page


def test_the_best_language_alone_does_not_make_the_board(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    honest(tmp_path)
    ask(tmp_path, script(tmp_path, "lucky", gold, right=24), languages=("zh",))
    table, rows, page = table_of(tmp_path, capsys)
    assert ranked(rows) == {"good", "fair"}
    assert table["ranked_columns"] == [f"xquad/{language}" for language in LANGUAGES]
    assert rows["lucky"]["unranked"] == "xquad/ar: no run"
    assert "- Not ranked, " in page


def test_the_best_language_alone_beside_one_model_ranks_nobody(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ask(tmp_path, script(tmp_path, "fair", gold, right=6))
    ask(tmp_path, script(tmp_path, "lucky", gold, right=24), languages=("zh",))
    _, rows, _ = table_of(tmp_path, capsys)
    assert ranked(rows) == set()
    assert rows["fair"]["unranked"] == "no other model can be compared with it"


def test_controls_stand_apart_and_never_vote(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """S22: oracle ranks first, and its settings decide what is comparable."""
    ask(tmp_path, script(tmp_path, "good", gold, right=18))
    ask(tmp_path, script(tmp_path, "fair", gold, right=6))
    for control in ("echo", "oracle", "passage", "majority"):
        ask(tmp_path, control)
        ask(tmp_path, control, "--shots", "2")
    ask(tmp_path, script(tmp_path, "other", gold, right=3), "--shots", "2")
    table, rows, page = table_of(tmp_path, capsys)
    assert {column["protocol"]["shots"] for column in table["columns"]} == {0}
    assert ranked(rows) == {"good", "fair"}
    assert [(row["control"], row["model"], row["average"], row["notes"]) for row in table["rows"][-4:]] == [
        ("floor", "echo", 0.0, []),
        ("floor", "majority", pytest.approx(100 / 24), []),
        ("copy", "passage", 100.0, []),
        ("ceiling", "oracle", 100.0, []),
    ]
    assert "| ceiling | oracle | 100.0" in page
    assert "| copy | passage | 100.0" in page
    assert "never ranked" in page
