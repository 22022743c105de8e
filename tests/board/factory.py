"""Run records made by hand for the tests of the board."""

import dataclasses
import json
from datetime import UTC, datetime
from pathlib import Path

from xlingual.board.collection import CollectedRun, Collection
from xlingual.board.spec import RATES, BoardOrigin, BoardSpec
from xlingual.identity import content_hash
from xlingual.records import Counts, Estimate, ModelSpec, Origin, Protocol, RunRecord
from xlingual.serial import to_json

EXAMPLES = 1190


def make_estimate(metric: str, value: float | None, *, n: int = EXAMPLES, unscored: int = 0) -> Estimate:
    return Estimate(
        metric=metric,
        value=value,
        low=None if value is None else max(0.0, value - 2),
        high=None if value is None else min(100.0, value + 2),
        n=n,
        unscored=unscored,
        signature=f"score:{metric}|v:1",
        reason="no tokenizer model" if value is None else None,
    )


def make_run(model: str, task: str, value: float | None, *, metric: str = "containment", day: int = 1) -> RunRecord:
    variant = task.partition("/")[2]
    return RunRecord(
        schema=1,
        model=ModelSpec(
            word=f"hf:{model}",
            backend="hf",
            name=model,
            revision="a" * 40,
            fingerprint=content_hash(model),
            dtype="float32",
            template="alpaca",
            context_length=2048,
            parent=None,
        ),
        protocol=Protocol(
            task=task,
            task_version="1",
            split="test",
            data=content_hash(["data", task]),
            n=EXAMPLES,
            limit=None,
            prompts=content_hash(["prompts", task]),
            template="native",
            shots=0,
            seed=None,
            max_new_tokens=64,
            stop=None,
            on_overflow="cut",
        ),
        language=variant.rpartition("-")[2],
        template="alpaca",
        origin=Origin.LOCAL,
        files=(),
        demonstrations=(),
        main_metric=metric,
        estimates=(make_estimate(metric, value), *(make_estimate(rate, 2.5) for rate in RATES)),
        counts=Counts(
            answered=EXAMPLES,
            failed=0,
            missing=0,
            shots_dropped=0,
            passages_cut=0,
            prompt_tokens=None,
            tokens=None,
        ),
        versions={},
        finished_at=f"2025-01-{day:02d}T10:00:00Z",
    )


def limit_run(run: RunRecord, count: int) -> RunRecord:
    data, prompts = content_hash([run.protocol.data, count]), content_hash([run.protocol.prompts, count])
    protocol = dataclasses.replace(run.protocol, limit=f"1-{count}", n=count, data=data, prompts=prompts)
    estimates = tuple(dataclasses.replace(estimate, n=count) for estimate in run.estimates)
    counts = dataclasses.replace(run.counts, answered=count)
    return dataclasses.replace(run, protocol=protocol, estimates=estimates, counts=counts)


def fail_examples(run: RunRecord, failed: int) -> RunRecord:
    counts = dataclasses.replace(run.counts, answered=EXAMPLES - failed, failed=failed)
    estimates = tuple(dataclasses.replace(each, n=EXAMPLES - failed, unscored=failed) for each in run.estimates)
    return dataclasses.replace(run, counts=counts, estimates=estimates)


def collect(*records: RunRecord) -> Collection:
    runs = tuple(
        CollectedRun(
            record=record,
            where=f"runs/{index:03d}/results.json",
            finished=datetime.fromisoformat(record.finished_at).astimezone(UTC),
        )
        for index, record in enumerate(records)
    )
    return Collection(runs=runs, left_out=(), superseded=())


def make_spec(*tasks: str, **metrics: tuple[str, ...]) -> BoardSpec:
    return BoardSpec(
        name="test",
        title="A board",
        description="For tests.",
        origin=BoardOrigin.REAL,
        tasks=tasks or ("xquad/*",),
        metrics=metrics,
        lower_is_better=frozenset(RATES),
        languages=None,
        baseline=None,
        reported=(),
    )


def write_run(folder: Path, record: RunRecord, name: str = "results.json") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(json.dumps(to_json(record)), encoding="utf-8")
    return path
