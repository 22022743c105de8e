"""Numbers that do not follow from their samples are marked on the page, as a leaderboard does not rank them."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from xlingual.board import collect_runs
from xlingual.identity import Json
from xlingual.view.faults import find_faults

from ..board.factory import make_estimate, make_run, write_run
from ..board.test_attacks import ask, edit, gold, script
from .runs import make_rows, view_runs


def scores_of(root: Path, model: str) -> dict[str, dict[str, Any]]:
    """Return the scores of the page by task, for the model whose name ends in `model`."""
    _, page = view_runs(root / "runs", root / "view.html")
    index = page.index
    rows = [row for table in index["tables"] for row in table["rows"] if row["model"].endswith(model)]
    return {
        index["runs"][at]["task"]: index["runs"][at]["scores"] for row in rows for at in row["runs"] if at is not None
    }


@pytest.mark.parametrize(
    ("change", "metrics", "said"),
    [
        ("value", {"containment"}, "edited: its samples do not give its containment"),
        ("count", {"containment"}, "edited: 24 samples were scored, the results say 20"),
        ("samples", None, "edited: its samples do not give its"),
        ("dtype", None, "edited: dtype is not that of run.json"),
    ],
)
def test_edited_results_are_marked(tmp_path: Path, change: str, metrics: set[str] | None, said: str) -> None:
    ask(tmp_path, script(tmp_path, "honest", gold, right=6))
    ask(tmp_path, script(tmp_path, "cheat", gold, right=12))
    for results in sorted((tmp_path / "runs").rglob("results.json")):
        record = json.loads(results.read_text(encoding="utf-8"))
        if "cheat" in record["model"]["name"]:
            edit(record, results, change)
    for scores in scores_of(tmp_path, "cheat").values():
        marked = {metric: score[5] for metric, score in scores.items() if score[4] == "marked"}
        assert said in marked["containment"]
        assert metrics is None or set(marked) == metrics
    for scores in scores_of(tmp_path, "honest").values():
        assert {score[4] for score in scores.values()} <= {"complete", "not computed", "incomplete"}


def test_a_metric_beside_the_main_one_is_checked_too(tmp_path: Path) -> None:
    ask(tmp_path, script(tmp_path, "cheat", gold, right=12))
    for results in sorted((tmp_path / "runs").rglob("results.json")):
        record = json.loads(results.read_text(encoding="utf-8"))
        next(each for each in record["estimates"] if each["metric"] == "squad_f1")["value"] = 99.0
        results.write_text(json.dumps(record), encoding="utf-8")
    for scores in scores_of(tmp_path, "cheat").values():
        assert [metric for metric, score in scores.items() if score[4] == "marked"] == ["squad_f1"]
        assert scores["squad_f1"][5] == "edited: its samples do not give its squad_f1"


def test_limited_runs_are_not_marked_for_they_are_never_ranked(tmp_path: Path) -> None:
    ask(tmp_path, script(tmp_path, "some", gold, right=12), "--limit", "8")
    for scores in scores_of(tmp_path, "some").values():
        assert "marked" not in {score[4] for score in scores.values()}


@pytest.mark.parametrize(("value", "fault"), [(50.0, {}), (51.0, {"containment": "edited: "})])
def test_answers_to_one_question_count_as_one(tmp_path: Path, value: float, fault: dict[str, str]) -> None:
    record = make_run("a", "xquad/ar", value)
    protocol = dataclasses.replace(record.protocol, repeats=2, n=3)
    estimates = (make_estimate("containment", value, n=3),)
    write_run(tmp_path / "a", dataclasses.replace(record, protocol=protocol, estimates=estimates))
    lines = [{**row, "id": f"q{number // 2}"} for number, row in enumerate(make_rows(["yes", "no"] * 3))]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (tmp_path / "a" / "samples.jsonl").write_text(text, encoding="utf-8")
    [run] = collect_runs([tmp_path]).runs
    found = find_faults(run, cast(list[Mapping[str, Json]], lines))
    assert found.keys() == fault.keys()
    assert all(found[metric].startswith(said) for metric, said in fault.items())
