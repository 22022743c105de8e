"""The pure parts of the benchmark, against figures worked out by hand."""

import pytest
from bench.floor import floor_seconds, roofline_seconds
from bench.report import Run, best_peer, goals, table
from bench.workloads import slice_of

RATES = {"product": 100.0, "read": 10.0}
WORK = {
    "prompt_tokens": 30,
    "distinct_tokens": 20,
    "answer_tokens": 5,
    "operations": 250.0,
    "weight_bytes": 20,
    "lengths": [2, 3],
    "operations_per_token": 10.0,
}


def _run(way: str, wall: float, *answers: str, peak: float = 1.0) -> Run:
    texts = {str(place): each for place, each in enumerate(answers)}
    work = WORK if way == "xlingual" else None
    ready = 1.0 if way == "xlingual" else 0.0
    return Run(workload="en", way=way, ready=ready, wall=wall, processor=2 * wall, peak=peak, answers=texts, work=work)


def test_floor_is_operations_over_the_rate() -> None:
    assert floor_seconds(WORK, RATES) == 2.5


def test_roofline_reads_the_weights_for_each_step() -> None:
    # Prompts (250 - 5 x 10) / 100 = 2 s; three steps that read for 20 / 10 = 2 s and compute for less.
    assert roofline_seconds(WORK, RATES) == 8.0


@pytest.mark.parametrize(
    ("way", "count", "expected"),
    [
        ("xlingual", 128, 128),
        ("hflm:16", 20, 20),
        ("generate:16", 128, 32),
        ("generate:16", 20, 8),
        ("generate:16", 3, 3),
        ("continuous", 128, 8),
        ("continuous", 12, 4),
    ],
)
def test_slices(way: str, count: int, expected: int) -> None:
    assert slice_of(way, count) == expected


def test_best_peer_is_by_the_median() -> None:
    walls = {"hflm:8": [9.0], "hflm:16": [1.0, 8.0, 8.5], "hflm:32": [8.2], "xlingual": [1.0]}
    runs = [_run(way, wall, "a", "b") for way, times in walls.items() for wall in times]
    assert best_peer(runs) == "hflm:16"
    assert best_peer([each for each in runs if each.way == "xlingual"]) is None


def test_a_slice_is_compared_by_its_prompts() -> None:
    runs = [_run("xlingual", 5.0, "a", "b"), _run("hflm:16", 20.0, "a", "c"), _run("continuous", 20.0, "a")]
    lines = table(runs, RATES).splitlines()
    assert "| xlingual | 2 | 1 | 1.0 | 5.0 | 5.0-5.0 | 10.0 | 1.00 | 4.00x | 4.00x | 1/2 | 50% |" in lines
    assert "| continuous | 1 | 1 | 0.0 | 20.0 | 20.0-20.0 | 40.0 | 1.00 | 0.50x | 0.50x | 1/1 | 6% |" in lines


def test_goals_say_which_do_not_hold() -> None:
    runs = [_run("xlingual", 4.0, "a", "b", peak=2.0), _run("hflm:8", 24.0, "a", "b")]
    text = goals(runs, RATES)
    assert "| XQuAD en, 0-shot | 6x | 6.00x | 6.00x | 4.80x | yes | **no**: 2.00 against 1.00 GiB |" in text
    assert "| XQuAD en, 0-shot, share of the floor | 55% | 62% | | 50% | yes | |" in text
    slower = goals([_run("xlingual", 5.0, "a", "b"), runs[1]], RATES)
    assert "| 6x | 4.80x | 4.80x | 4.00x | **no** | yes: 1.00 against 1.00 GiB |" in slower
    assert "| 55% | 50% | | 42% | **no** | |" in slower
