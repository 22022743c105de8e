"""Single samples as instance records of Every Eval Ever."""

import dataclasses
import json
from pathlib import Path

import pytest

from xlingual.board import build_board, collect_runs
from xlingual.board.export import eee_files
from xlingual.board.rows import BoardTable, CellState

from ..view.runs import make_rows
from .factory import make_run, make_spec, write_run

CHOICES = {
    "choices": ["yes", "no"],
    "likelihoods": [
        {"logarithm": -3.0, "is_greedy": False, "tokens": 1}, {"logarithm": -1.0, "is_greedy": True, "tokens": 1},
    ],
    "answer": None,
}  # fmt: skip


@pytest.mark.parametrize(
    ("line", "said", "extracted", "score"),
    [
        ({"answer": "yes", "statistics": {"squad_f1": [1.0, 1.0]}}, "yes", "yes", 100.0),
        ({"answer": "oh yes", "scored": "yes", "statistics": {"squad_f1": [0.4, 1.0]}}, "oh yes", "yes", 40.0),
        ({**CHOICES, "statistics": {"squad_f1": [1.0, 1.0]}}, "no", "no", 100.0),
        ({"answer": "a\ud800", "thinking": "hm", "statistics": {"squad_f1": [0.5, 1.0]}}, "a\ufffd", "a\ufffd", 50.0),
        ({"answer": None, "statistics": {"squad_f1": None}}, None, None, None),
        ({"answer": "cut", "statistics": {"squad_f1": None}}, None, None, None),
    ],
)
def test_single_samples_are_records_too(
    tmp_path: Path, line: dict[str, object], said: str | None, extracted: str, score: float
) -> None:
    record = make_run("a", "xquad/ar", 50.0, metric="squad_f1")
    write_run(tmp_path / "a", record)
    [row] = ({**each, **line} for each in make_rows(["yes"]))
    (tmp_path / "a" / "samples.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    collection = collect_runs([tmp_path])
    board = build_board(make_spec("*/*"), collection)
    board = dataclasses.replace(board, tables=tuple(_believed(each) for each in board.tables))
    files = eee_files(board, collection, samples=True)
    [aggregate] = [json.loads(text) for path, text in files.items() if path.endswith(".json")]
    [(path, text)] = [(path, text) for path, text in files.items() if path.endswith("_samples.jsonl")]
    assert aggregate["detailed_evaluation_results"]["file_path"] == path
    found = [json.loads(each) for each in text.splitlines()]
    assert len(found) == aggregate["detailed_evaluation_results"]["total_rows"] == int(said is not None)
    for each in found:
        assert each["output"]["raw"] == [said]
        assert each["output"].get("reasoning_trace") == (["hm"] if "thinking" in line else None)
        assert each["answer_attribution"][0]["extracted_value"] == extracted
        assert each["input"]["reference"] == ["yes"]
        assert each["input"]["raw"] == "Q: question 0?"
        assert each["evaluation"] == {"score": score, "is_correct": score >= 50}
        assert each["metadata"] == {"language": "ar", "is_correct": "score of 50 or more"}


def _believed(table: BoardTable) -> BoardTable:
    """Make cells complete whose samples are made by hand and do not give their scores."""
    return dataclasses.replace(table, rows=tuple(
        dataclasses.replace(row, cells=tuple(dataclasses.replace(cell, state=CellState.COMPLETE) for cell in row.cells))
        for row in table.rows
    ))  # fmt: skip
