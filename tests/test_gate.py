"""`compare --fail-if-worse --by`: losses and failures of larger runs, chosen and drawn."""

import json
import random
import shutil
from collections import Counter
from math import comb
from pathlib import Path

import pytest

from xlingual.comparison import Verdict, compare_runs

from .test_comparison import _run


def _enlarge(folder: Path, wrong: int, failed: int) -> Path:
    """Make 960 samples of 24 right ones, each a cluster; the first are made wrong, the last failed."""
    [path], [results] = folder.rglob("samples.jsonl"), folder.rglob("results.json")
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    made = [
        {**line, **dict.fromkeys(("id", "cluster", "group"), f"{line['id']}-{copy}")}
        for copy in range(40)
        for line in lines
    ]
    for line in made[:wrong]:
        line["statistics"] = line["statistics"] | {"containment": [0.0, 1.0]}
    for line in made[len(made) - failed :]:
        line |= {"failure": {"kind": "timeout", "message": ""}, "statistics": dict.fromkeys(line["statistics"])}
    path.write_text("".join(json.dumps(line) + "\n" for line in made), encoding="utf-8")
    record = json.loads(results.read_text(encoding="utf-8"))
    record["protocol"]["n"] = len(made)
    results.write_text(json.dumps(record), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("wrong", "failed", "verdict"),
    [
        (8, 0, Verdict.NOT_WORSE),
        (8, 10, Verdict.CANNOT_TELL),  # 0.8 points are lost, and up to 1.0 more
        (0, 19, Verdict.NOT_WORSE),
        (0, 20, Verdict.CANNOT_TELL),
        (1, 6, Verdict.NOT_WORSE),
        (20, 0, Verdict.CANNOT_TELL),
        (20, 20, Verdict.CANNOT_TELL),
        (48, 0, Verdict.WORSE),
        (48, 20, Verdict.WORSE),
    ],
)
def test_losses_and_failures_together_are_within_the_margin(
    tmp_path: Path, wrong: int, failed: int, verdict: Verdict
) -> None:
    """The margin is 2 points of 960 questions: 19.2."""
    first, second = (_run("oracle", tmp_path / each, "xquad/en") for each in "ab")
    [found] = compare_runs(_enlarge(first, wrong, failed), _enlarge(second, 0, 0), [], 2.0)
    assert (found.n, found.lost, found.verdict) == (960 - failed, failed, verdict)


def test_of_drawn_losses_and_failures_no_verdict_says_more_than_they_can_be(tmp_path: Path) -> None:
    """Whatever a model that failed would have said there: not worse is within the margin, worse is beyond it."""
    chance, seen = random.Random(20261126), Counter[Verdict]()
    fresh = {each: _run("oracle", tmp_path / each, "xquad/en") for each in "ab"}
    second = _enlarge(fresh["b"], 0, 0)
    for number in range(16):
        first = tmp_path / f"{number}"
        shutil.copytree(fresh["a"], first)
        margin, n = chance.choice([0.5, 1, 2, 5]), 960
        wrong, failed = (int(n * margin / 100 * chance.choice([0, 0.1, 0.5, 0.9, 1.5, 3])) for _ in range(2))
        [found] = compare_runs(_enlarge(first, wrong, failed), second, [], margin)
        seen[found.verdict] += 1
        shared = n - failed
        if found.verdict is Verdict.NOT_WORSE:
            assert 100 * (wrong + failed) / n <= margin, (margin, wrong, failed)
        if found.verdict is Verdict.WORSE:
            # As many losses or more come by chance in 5% at most where the margin is just what is lost.
            assert 100 * wrong / shared > margin, (margin, wrong, failed)
            assert sum(_binomial(shared, each, margin / 100) for each in range(wrong)) > 0.95
    assert len(seen) == 3


def _binomial(n: int, count: int, share: float) -> float:
    return comb(n, count) * share**count * (1 - share) ** (n - count)
