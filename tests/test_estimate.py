"""Estimates: values, clustered intervals, paired tests."""

import time
from dataclasses import replace

import numpy as np
import pytest

from xlingual.errors import XlingualError
from xlingual.estimate import FEWEST_JUDGED, estimate, paired_difference
from xlingual.metrics import find_metric
from xlingual.metrics.mean import MeanMetric
from xlingual.plugin import FloatArray, Metric
from xlingual.records import Example, Response, Statistics

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
    assert (result.low, result.high, result.clusters, result.clustered_by) == (None, None, 3, "cluster")
    assert result.interval == "none: too few clusters (3, at least 5 needed)"


@pytest.mark.parametrize(("right", "low", "high"), [(0, 0.0, 14.2), (24, 85.8, 100.0)])
def test_no_right_answer_of_24_is_not_never(right: int, low: float, high: float) -> None:
    """S4: the intervals were [0.0, 0.0] and [100.0, 100.0]."""
    rows = _rows(*[1.0] * right, *[0.0] * (24 - right))
    result = estimate(MEAN, "de", rows, [str(index) for index in range(24)])
    assert [result.low, result.high] == pytest.approx([low, high], abs=0.06)
    assert (result.interval, result.clustered_by, result.effective_n) == ("Clopper-Pearson", "example", 24.0)


def test_articles_are_the_clusters_where_they_are_known() -> None:
    generator = np.random.default_rng(3)
    paragraphs = [f"{article}.{number}" for article in range(12) for number in range(5) for _ in range(5)]
    articles = [each.partition(".")[0] for each in paragraphs]
    rates = np.repeat(generator.beta(2, 3, 12), 25)
    rows = _rows(*generator.binomial(1, rates))
    by_article = estimate(MEAN, "de", rows, paragraphs, groups=articles)
    by_paragraph = estimate(MEAN, "de", rows, paragraphs)
    assert (by_article.clusters, by_article.clustered_by, by_article.interval) == (12, "group", "Wilson, clustered")
    assert (by_paragraph.clusters, by_paragraph.clustered_by) == (60, "cluster")
    assert by_article.low is not None
    assert by_article.high is not None
    assert by_paragraph.low is not None
    assert by_paragraph.high is not None
    assert by_article.high - by_article.low > 1.2 * (by_paragraph.high - by_paragraph.low)
    assert by_article.icc is not None
    assert by_article.effective_n is not None
    assert 0.02 < by_article.icc < 0.5
    assert by_article.effective_n < 200
    few = estimate(MEAN, "de", rows, paragraphs, groups=[str(int(each) % 3) for each in articles])
    assert few.clustered_by == "cluster"
    assert few.interval == "Wilson, clustered; by cluster, for there are only 3 groups"


@pytest.mark.parametrize(
    ("judged", "examples", "value"),
    [
        *((1, 62, None), (9, 62, None), (10, 62, 100.0), (1, 2, 100.0), (5, 8, 100.0), (4, 8, 100.0)),
        *((3, 8, None), (1, 19, None), (9, 20, None)),
    ],
)
def test_a_handful_of_judged_answers_is_no_score(judged: int, examples: int, value: float | None) -> None:
    """S16: one judged answer of 62 was shown as "100.0 (1/62)"."""
    rows = _rows(*[1.0] * judged, *[None] * (examples - judged))
    result = estimate(MEAN, "de", rows, [str(index) for index in range(examples)])
    assert result.value == value
    if value is None:
        assert (result.n, result.unscored) == (0, examples)
        assert result.reason == f"only {judged} of {examples} could be judged, and at least {FEWEST_JUDGED} are needed"


def test_equal_arguments_give_equal_numbers() -> None:
    generator = np.random.default_rng(3)
    rows = _rows(*generator.random(60))
    clusters = [str(index // 2) for index in range(60)]
    assert estimate(MEAN, "de", rows, clusters) == estimate(MEAN, "de", rows, clusters)


def test_order_of_examples_inside_clusters_does_not_matter() -> None:
    rows, clusters = _rows(*[1.0, 0.0, 1.0, 1.0, 0.0, 0.0] * 3), [*"abcabcdefdefghighi"]
    moved = [0, 3, 1, 4, 2, 5, *range(17, 5, -1)]
    first = estimate(MEAN, "de", rows, clusters)
    second = estimate(MEAN, "de", [rows[index] for index in moved], [clusters[index] for index in moved])
    assert (first.value, first.low, first.high) == pytest.approx((second.value, second.low, second.high))


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
def test_no_interval_with_too_few_scored_clusters(
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
    metric = find_metric("bleu")
    generator = np.random.default_rng(5)
    totals = generator.integers(10, 30, 30)
    rows: list[Statistics | None] = [(float(t),) * 2 + (float(t) // 2,) * 4 + (float(t),) * 4 for t in totals]
    clusters = [str(index) for index in range(30)]
    whole = estimate(metric, "de", rows, clusters)
    assert whole.interval == "bootstrap, 1,000 resamples"
    monkeypatch.setattr("xlingual.statistics.resampling._CELLS", 30 * 7)
    assert estimate(metric, "de", rows, clusters) == whole
    few = estimate(metric, "de", rows[:9], clusters[:9])
    assert (few.low, few.interval) == (None, "none: too few clusters (9, at least 10 needed)")


def test_an_interval_of_1012_sentences_takes_a_fifth_of_a_second() -> None:
    metric = find_metric("chrf++")
    rows: list[Statistics | None] = [
        tuple(each) for each in np.random.default_rng(3).integers(1, 90, (1012, 24)).astype(float).tolist()
    ]
    begun = time.process_time()
    estimate(metric, "de", rows, [str(index) for index in range(1012)])
    assert time.process_time() - begun < 0.4, "0.1 s on a quiet machine"


def test_pairing_finds_a_small_gap_that_separate_intervals_hide() -> None:
    scores, clusters = _simulate(np.random.default_rng(11), 40, 5)
    noise = np.random.default_rng(12).normal(0.01, 0.01, len(scores))
    better, worse = _rows(*(scores + noise)), _rows(*scores)
    result = paired_difference(MEAN, better, worse, clusters)
    assert result is not None
    assert result.low is not None
    assert 0 < result.low < result.difference < 2
    assert result.p < 1e-6
    reverse = paired_difference(MEAN, worse, better, clusters)
    assert reverse is not None
    assert reverse.difference == pytest.approx(-result.difference)
    assert reverse.p == pytest.approx(result.p)
    first, second = estimate(MEAN, "de", better, clusters), estimate(MEAN, "de", worse, clusters)
    assert first.low is not None
    assert second.high is not None
    assert first.low < second.high


def test_false_alarms_of_the_paired_test_are_rare() -> None:
    generator = np.random.default_rng(13)
    alarms = 0
    for _ in range(100):
        scores, clusters = _simulate(generator, 30, 3)
        other = scores + np.repeat(generator.normal(0.0, 0.1, 30), 3)
        result = paired_difference(MEAN, _rows(*scores), _rows(*other), clusters)
        assert result is not None
        alarms += result.p <= 0.05
    assert alarms <= 13


@pytest.mark.parametrize(
    ("name", "said"), [("chrf++", "a cat sat"), ("bleu", "the cat sat on a mat"), ("chrf++", "zz")]
)
def test_translations_that_are_all_alike_have_no_interval_of_no_width(name: str, said: str) -> None:
    """S4: 24 copies of the reference are no proof that the 25th is one."""
    metric = find_metric(name)
    reference = "zz" if said == "a cat sat" else "the cat sat on a mat"
    example = Example(id="1", language="en", group="g", cluster="c", fields={}, targets=(reference,))
    response = Response(key="k", text=said, failure=None, finish=None, prompt_tokens=None, tokens=None)
    result = estimate(metric, "en", [metric.measure(example, response)] * 24, [str(index) for index in range(24)])
    assert (result.low, result.high) == (None, None)
    assert result.interval == "none: all resamples have the same score"
