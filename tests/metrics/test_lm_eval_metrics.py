"""Aggregations of lm-eval as formulas of sums, against lm-eval's own functions on random values."""

import importlib
import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from xlingual.metrics import find_metric
from xlingual.metrics.lm_eval_metrics import FORMULAS

pytest.importorskip("lm_eval", reason="needs the extra `lm-eval`")

SENTENCES = (
    "the quick brown fox",
    "中国的首都是北京。",
    "a fox",
    "Where is it? There.",
    "the lazy dog jumps over it",
    "x",
)
OWN_SCALE = ("perplexity", "weighted_perplexity", "bits_per_byte", "bleu", "chrf", "chrf++")


def sentence(generator: random.Random) -> str:
    return " ".join(generator.choices(SENTENCES, k=3))


DRAWS: dict[str, Callable[[random.Random], Any]] = {
    "mean": lambda generator: generator.choice([0, 1, 0.5, np.float64(0.25)]),
    "nanmean": lambda generator: generator.choice([1.0, 0.0, float("nan")]),
    "perplexity": lambda generator: -4 * generator.random(),
    "weighted_perplexity": lambda generator: (-9 * generator.random(), generator.randint(1, 9)),
    "bits_per_byte": lambda generator: (-9 * generator.random(), generator.randint(1, 9)),
    "f1": lambda generator: (generator.randint(0, 1), np.int64(generator.randint(0, 1))),
    "matthews_corrcoef": lambda generator: (generator.randint(0, 1), generator.randint(0, 1)),
    "mean_of_known": lambda generator: generator.choice([-1, 0.0, 0.5, 1.0]),
    "brier_score": lambda generator: (generator.randint(0, 2), np.array([0.2, 0.5, 0.3])),
    "bleu": lambda generator: (sentence(generator), sentence(generator)),
    "chrf": lambda generator: (sentence(generator), sentence(generator)),
    "chrf++": lambda generator: (sentence(generator), sentence(generator)),
}


def judge(aggregation: str) -> Callable[[Sequence[object]], float]:
    if aggregation == "mean_of_known":  # RULER's own
        return importlib.import_module("lm_eval.tasks.ruler.common_utils").aggregate_metrics  # type: ignore[no-any-return]
    importlib.import_module("lm_eval.api.metrics")
    return importlib.import_module("lm_eval.api.registry").get_aggregation(aggregation)  # type: ignore[no-any-return]


def measure(aggregation: str, value: object) -> tuple[float, ...] | None:
    found: tuple[float, ...] | None = importlib.import_module("xlingual.plugins.tasks.lm_eval.values").measure(
        aggregation, value
    )
    return found


def score(aggregation: str, values: Sequence[object]) -> float:
    rows = [row for value in values if (row := measure(aggregation, value)) is not None]
    return float(find_metric(f"lm-eval:m:{aggregation}").combine(np.array(rows).sum(axis=0)))


def test_every_formula_has_a_judge() -> None:
    assert set(DRAWS) == set(FORMULAS)


@pytest.mark.parametrize("aggregation", sorted(DRAWS))
@pytest.mark.parametrize("seed", range(4))
def test_sums_give_what_lm_eval_gives(aggregation: str, seed: int) -> None:
    generator = random.Random(seed)
    values = [DRAWS[aggregation](generator) for _ in range(12)]
    theirs = judge(aggregation)
    expected = float(theirs(values)) * (1 if aggregation in OWN_SCALE else 100)
    assert score(aggregation, values) == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(
    ("aggregation", "value"),
    [
        ("mean", "text"), ("mean", float("nan")), ("mean", None), ("f1", (2, 1)), ("f1", 1), ("bleu", "ab"),
        ("matthews_corrcoef", ("a", "b")), ("median", 1.0), ("weighted_perplexity", (1.0, 2.0, 3.0)),
    ],
)  # fmt: skip
def test_what_is_no_value_is_not_judged(aggregation: str, value: object) -> None:
    assert measure(aggregation, value) is None


def test_what_is_no_formula_of_sums_says_so() -> None:
    metric = find_metric("lm-eval:gap:own-gap:lower")
    assert metric.missing("zh") == "not computed: lm-eval's aggregation 'own-gap' is no formula of sums"
    assert not metric.higher_is_better
    assert find_metric("lm-eval:acc,strict:mean").missing("zh") is None
    assert metric.signature("zh") == metric.name == "lm-eval:gap:own-gap:lower"


def test_infinite_perplexity_is_no_score() -> None:
    assert np.isinf(score("perplexity", [-1e6, -1e6]))
    assert np.isnan(find_metric("lm-eval:m:perplexity").combine(np.zeros(2)))
