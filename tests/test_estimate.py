"""Estimates: values, clustered intervals, paired tests."""

from dataclasses import replace

import numpy as np
import pytest

from xlingual.errors import XlingualError
from xlingual.estimate import estimate, paired_difference
from xlingual.metrics import find_metric
from xlingual.metrics.mean import MeanMetric
from xlingual.plugin import FloatArray, Metric
from xlingual.records import Statistics

MEAN = MeanMetric(
    name="rate",
    higher_is_better=True,
    judge=lambda _example, text, _response: float(text == "yes"),
    describe=lambda language: f"rate|{language}",
)


def _rows(*scores: float | None) -> list[Statistics | None]:
    return [None if score is None else (score, 1.0) for score in scores]


def test_value_counts_and_signature_by_hand() -> None:
    result = estimate(MEAN, "de", _rows(1.0, None, 0.0, 1.0, 1.0), ["a", "a", "b", "c", "c"])
    assert (result.value, result.n, result.unscored, result.reason) == (75.0, 4, 1, None)
    assert (result.metric, result.signature) == ("rate", "rate|de")
    assert result.low is not None
    assert result.high is not None
    assert 0.0 <= result.low <= 75.0 <= result.high <= 100.0


def test_interval_of_two_clusters_spans_both() -> None:
    # 2 clusters drawn of 2 are (0, 0), (0, 1), (1, 1) with chances 1/4, 1/2, 1/4: the tails hold both ends.
    result = estimate(MEAN, "de", _rows(0.0, 0.0, 1.0, 1.0), ["a", "a", "b", "b"])
    assert (result.low, result.value, result.high) == (0.0, 50.0, 100.0)


def test_equal_arguments_give_equal_numbers_and_seeds_differ() -> None:
    generator = np.random.default_rng(3)
    rows = _rows(*generator.random(60))
    clusters = [str(index // 2) for index in range(60)]
    first = estimate(MEAN, "de", rows, clusters, seed=1)
    assert first == estimate(MEAN, "de", rows, clusters, seed=1)
    second = estimate(MEAN, "de", rows, clusters, seed=2)
    assert second.value == first.value
    assert second.low != first.low


def test_order_of_examples_inside_clusters_does_not_matter() -> None:
    rows, clusters = _rows(1.0, 0.0, 1.0, 1.0, 0.0, 0.0), ["a", "b", "c", "a", "b", "c"]
    moved = [0, 3, 1, 4, 2, 5]
    assert estimate(MEAN, "de", rows, clusters) == estimate(
        MEAN, "de", [rows[index] for index in moved], [clusters[index] for index in moved]
    )


@pytest.mark.parametrize(
    ("rows", "clusters", "value", "reason"),
    [
        ([], [], None, "there are no examples"),
        (_rows(None, None), ["a", "b"], None, "no example could be scored"),
        (_rows(1.0, 0.0), ["a", "a"], 50.0, None),
        (_rows(1.0, None), ["a", "b"], 100.0, None),
        ([(0.0, 0.0), (0.0, 0.0)], ["a", "b"], None, "the metric is undefined on these examples"),
    ],
)
def test_no_interval_with_fewer_than_two_scored_clusters(
    rows: list[Statistics | None], clusters: list[str], value: float | None, reason: str | None
) -> None:
    result = estimate(MEAN, "de", rows, clusters)
    assert (result.value, result.low, result.high, result.reason) == (value, None, None, reason)
    assert result.n + result.unscored == len(rows)


def test_a_missing_metric_has_its_reason() -> None:
    lacking = replace(MEAN, lack=lambda language: f"no {language} here")
    result = estimate(lacking, "de", _rows(None, None), ["a", "b"])
    assert (result.value, result.n, result.unscored, result.reason) == (None, 0, 2, "no de here")


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_statistics_that_are_not_finite_are_a_fault(bad: float) -> None:
    with pytest.raises(XlingualError, match=r"example 3 are not finite") as caught:
        estimate(MEAN, "de", _rows(1.0, None, bad), ["a", "b", "c"])
    assert caught.value.where == "rate"


@pytest.mark.parametrize(
    ("rows", "clusters", "match"),
    [([(1.0, 1.0), (1.0,)], ["a", "b"], "different lengths"), ([(1.0, 1.0)], ["a", "b"], "1 examples but 2 clusters")],
)
def test_mismatched_arguments_are_a_fault(rows: list[Statistics | None], clusters: list[str], match: str) -> None:
    with pytest.raises(XlingualError, match=match):
        estimate(MEAN, "de", rows, clusters)


def _simulate(generator: np.random.Generator, clusters: int, size: int) -> tuple[FloatArray, list[str]]:
    """Return scores around 0.5 of which half the variance is shared in a cluster."""
    shared = np.repeat(generator.normal(0.0, 0.1, clusters), size)
    scores = 0.5 + shared + generator.normal(0.0, 0.1, clusters * size)
    return scores, [str(index // size) for index in range(clusters * size)]


def test_coverage_of_the_interval_is_near_its_level() -> None:
    generator = np.random.default_rng(7)
    covered = naive = 0
    for seed in range(200):
        scores, clusters = _simulate(generator, 40, 5)
        result = estimate(MEAN, "de", _rows(*scores), clusters, seed=seed)
        assert result.low is not None
        assert result.high is not None
        covered += result.low <= 50.0 <= result.high
        width = 196 * scores.std() / np.sqrt(len(scores))
        naive += abs(100 * scores.mean() - 50.0) <= width
    assert 176 <= covered <= 198
    assert naive < covered - 10


def test_a_corpus_metric_has_an_interval_around_its_value() -> None:
    metric: Metric = find_metric("bleu")
    generator = np.random.default_rng(1)
    totals = generator.integers(10, 30, 50)
    rows: list[Statistics | None] = [
        (float(t), float(t), *(float(round(t * share)) for share in (0.7, 0.5, 0.4, 0.3)), *(float(t),) * 4)
        for t in totals
    ]
    result = estimate(metric, "en", rows, [str(index) for index in range(50)])
    assert result.value is not None
    assert result.low is not None
    assert result.high is not None
    assert result.low < result.value < result.high
    assert result.high - result.low < 5


def test_memory_is_bounded_without_changing_the_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(5)
    rows, clusters = _rows(*generator.random(30)), [str(index) for index in range(30)]
    whole = estimate(MEAN, "de", rows, clusters)
    monkeypatch.setattr("xlingual.estimate._CELLS", 30 * 7)
    assert estimate(MEAN, "de", rows, clusters) == whole


def test_a_model_against_itself_shows_no_difference() -> None:
    rows = _rows(1.0, 0.0, 0.3, 0.7, None)
    result = paired_difference(MEAN, rows, rows, list("abcde"))
    assert result is not None
    assert (result.difference, result.low, result.high, result.p, result.n) == (0.0, 0.0, 0.0, 1.0, 4)


def test_only_examples_with_both_scores_count() -> None:
    result = paired_difference(MEAN, _rows(1.0, 1.0, None, 0.0), _rows(0.0, None, 1.0, 0.0), list("abcd"))
    assert result is not None
    assert (result.difference, result.n) == (50.0, 2)
    assert paired_difference(MEAN, _rows(1.0, None), _rows(None, 1.0), list("ab")) is None
    alone = paired_difference(MEAN, _rows(1.0, 1.0), _rows(0.0, 1.0), ["a", "a"])
    assert alone is not None
    assert (alone.difference, alone.low, alone.high, alone.p) == (50.0, None, None, None)


def test_pairing_finds_a_small_gap_that_separate_intervals_hide() -> None:
    scores, clusters = _simulate(np.random.default_rng(11), 40, 5)
    noise = np.random.default_rng(12).normal(0.01, 0.01, len(scores))
    better, worse = _rows(*(scores + noise)), _rows(*scores)
    result = paired_difference(MEAN, better, worse, clusters)
    assert result is not None
    assert result.low is not None
    assert result.p is not None
    assert 0 < result.low < result.difference < 2
    assert result.p == pytest.approx(1 / 1001)
    reverse = paired_difference(MEAN, worse, better, clusters)
    assert reverse is not None
    assert reverse.difference == pytest.approx(-result.difference)
    assert reverse.p == result.p
    first, second = estimate(MEAN, "de", better, clusters), estimate(MEAN, "de", worse, clusters)
    assert first.low is not None
    assert second.high is not None
    assert first.low < second.high


def test_false_alarms_of_the_paired_test_are_rare() -> None:
    generator = np.random.default_rng(13)
    alarms = 0
    for seed in range(100):
        scores, clusters = _simulate(generator, 30, 3)
        other = scores + np.repeat(generator.normal(0.0, 0.1, 30), 3)
        result = paired_difference(MEAN, _rows(*scores), _rows(*other), clusters, seed)
        assert result is not None
        assert result.p is not None
        alarms += result.p <= 0.05
    assert alarms <= 13


def test_cluster_sums_and_not_examples_are_drawn() -> None:
    rows = _rows(*([0.0] * 50 + [1.0] * 50))
    together = estimate(MEAN, "de", rows, [str(index // 50) for index in range(100)])
    apart = estimate(MEAN, "de", rows, [str(index) for index in range(100)])
    assert (together.low, together.high) == (0.0, 100.0)
    assert apart.low is not None
    assert apart.low == pytest.approx(40, abs=2)
