"""Runs with answers on disk, asked as the tasks themselves ask, for the tests of the analysis."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from xlingual.plugin import DataSource
from xlingual.records import RunRecord
from xlingual.selection import select_tasks

from ...board.factory import make_run, write_run

Row = dict[str, object]
SAMPLE = DataSource(folder=None, sample=True, offline=True)


def make_rows(task: str, answers: Sequence[str | None], **more: object) -> list[Row]:
    """Return a line of samples.jsonl for each answer to the first examples of the packaged sample; None failed."""
    [found] = select_tasks([task], [])
    examples = found.examples(found.spec.split, SAMPLE).rows
    rows = []
    for number, answer in enumerate(answers):
        example = examples[number % len(examples)]
        prompt = found.prompt(example)
        rows.append(
            {
                "id": f"{example.id}-{number}",
                "cluster": f"c{number // 2}",
                "group": f"g{number // 4}",
                "targets": list(example.targets),
                "answer": answer,
                "failure": None if answer is not None else {"kind": "timeout", "message": "30 s"},
                "finish": None if answer is None else "eos",
                "statistics": {},
                "messages": [{"role": "user", "text": f"{prompt.instruction}\n\n{prompt.input}"}],
                **more,
            }
        )
    return rows


def put_answers(
    root: Path, model: str, task: str, rows: Sequence[Mapping[str, object]], *, suffix: str = "", **protocol: object
) -> RunRecord:
    """Write a run folder of these rows; returns its record."""
    record = make_run(model, task, 50.0)
    repeats = int(str(protocol.get("repeats", 1)))
    record = dataclasses.replace(
        record,
        template="chat",
        protocol=dataclasses.replace(record.protocol, n=len(rows) // repeats, **protocol),  # type: ignore[arg-type]  # as it fits
    )
    folder = root / f"{model}-1" / task.replace("/", "-")
    write_run(folder, record, f"results{suffix}.json")
    lines = "".join(json.dumps(row, ensure_ascii=True) + "\n" for row in rows)
    (folder / f"samples{suffix}.jsonl").write_text(lines, encoding="utf-8")
    return record
