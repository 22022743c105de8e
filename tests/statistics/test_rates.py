"""Intervals of rates, against scipy and numbers by hand."""

import numpy as np
import pytest
from scipy import stats

from xlingual.statistics.clusters import (
    Level,
    choose_units,
    cluster_variance,
    intraclass_correlation,
    mean_cluster_size,
)
from xlingual.statistics.quantiles import (
    NORMAL,
    TAIL,
    beta_quantile,
    beta_share,
    normal_share,
    t_quantile,
    t_tail,
)
from xlingual.statistics.rates import clopper_pearson, rate_interval, wilson


@pytest.mark.parametrize("freedom", [1, 2.09, 3, 4, 23, 47, 239, 1189, 11_999])
@pytest.mark.parametrize("share", [0.025, 0.2, 0.5, 0.8, 0.975, 0.9999])
def test_quantiles_of_t_are_those_of_scipy(freedom: float, share: float) -> None:
    value = t_quantile(share, freedom)
    assert value == pytest.approx(stats.t.ppf(share, freedom), rel=1e-9, abs=1e-12)
    if share > 0.5:
        assert t_tail(value, freedom) == pytest.approx(2 * (1 - share), rel=1e-9)


@pytest.mark.parametrize(("a", "b"), [(1, 24), (24, 1), (0.5, 0.5), (12.5, 11.5), (1, 1190), (596, 595), (0.37, 60)])
def test_quantiles_of_beta_are_those_of_scipy(a: float, b: float) -> None:
    for share in (TAIL, 0.3, 1 - TAIL):
        assert beta_quantile(share, a, b) == pytest.approx(stats.beta.ppf(share, a, b), rel=1e-9)
    assert (beta_share(0.0, a, b), beta_share(1.0, a, b)) == (0.0, 1.0)
    assert pytest.approx(stats.norm.ppf(1 - TAIL), abs=1e-12) == NORMAL
    assert normal_share(-1.3) == pytest.approx(stats.norm.cdf(-1.3), rel=1e-12)


@pytest.mark.parametrize(
    ("right", "n", "exact", "score"),
    [
        (0, 24, (0, 14.25), (0, 13.80)),
        (24, 24, (85.75, 100), (86.20, 100)),
        (1, 24, (0.11, 21.12), (0.74, 20.24)),
        (11, 24, (25.55, 67.18), (27.89, 64.93)),
        (0, 62, (0, 5.78), (0, 5.83)),
    ],
)
def test_exact_and_score_intervals(right: int, n: int, exact: tuple[float, float], score: tuple[float, float]) -> None:
    assert [100 * end for end in clopper_pearson(right, n)] == pytest.approx(exact, abs=0.005)
    low, high = wilson(np.array(right / n), np.array(float(n)), NORMAL)
    assert [100 * float(low), 100 * float(high)] == pytest.approx(score, abs=0.005)


def _one(*clusters: list[float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    totals = np.array([sum(each) for each in clusters], dtype=np.float64)
    squares = np.array(sum(score**2 for each in clusters for score in each))
    return totals, np.array([len(each) for each in clusters], dtype=np.float64), squares


FOUR = ([1.0] * 3, [1.0, 1.0, 0.0], [0.0] * 3, [1.0, 0.0, 0.0])


def test_variance_and_correlation_of_clusters_by_hand() -> None:
    totals, sizes, squares = _one(*FOUR)
    assert float(intraclass_correlation(totals, sizes, squares)) == pytest.approx(0.4375)
    error = float(cluster_variance(totals, sizes)) ** 0.5
    assert 100 * error == pytest.approx(21.52, abs=0.005)
    assert 0.25 / error**2 == pytest.approx(5.4, abs=0.005)
    unequal = _one([1.0, 0.0], [1.0, 1.0, 0.0], [1.0, *[0.0] * 9], [1.0, 1.0, 1.0, 0.0])
    assert 100 * float(cluster_variance(*unequal[:2])) ** 0.5 == pytest.approx(23.06, abs=0.005)


def test_means_of_repeats_count_as_one_example_each() -> None:
    # Six questions, asked twice each: 11 10 00 01 11 00. Twelve independent answers would have an error of 15.1.
    means = np.array([1.0, 0.5, 0.0, 0.5, 1.0, 0.0])
    assert 100 * float(cluster_variance(means, np.ones(6))) ** 0.5 == pytest.approx(18.26, abs=0.005)


def test_pass_at_k_by_hand() -> None:
    chances = np.array([0.0, 0.5, 11 / 12, 1.0])
    assert chances.mean() == pytest.approx(0.604, abs=0.0005)
    assert float(cluster_variance(chances, np.ones(4))) ** 0.5 == pytest.approx(0.229, abs=0.0005)


def test_xquad_articles_are_worth_323_examples() -> None:
    size = 27.8
    assert 1190 / (1 + (size - 1) * 0.1) == pytest.approx(323, abs=0.5)
    assert mean_cluster_size(np.array([2.0, 4.0])) == pytest.approx(20 / 6)


def test_nothing_right_in_clusters_counts_the_clusters() -> None:
    # 0 of 25 in 5 clusters of 5 at a correlation of 0.1: 17.86 effective examples, Wilson with t(4).
    _, high = wilson(np.array(0.0), np.array(25 / 1.4), t_quantile(1 - TAIL, 4))
    assert 100 * float(high) == pytest.approx(30.1, abs=0.06)
    found = rate_interval(np.zeros(5), np.full(5, 5.0), np.array(0.0))
    assert float(found.low) == 0.0
    assert float(found.effective_n) == pytest.approx(25 / 2)
    assert 0.30 < float(found.high) < 0.40, "wider, for a correlation of 0.25 is assumed where nothing is known of it"


@pytest.mark.parametrize(("right", "interval"), [(0, (0.0, 14.2)), (24, (85.8, 100.0)), (1, (0.1, 21.1))])
def test_single_examples_at_the_border_have_the_exact_interval(right: int, interval: tuple[float, float]) -> None:
    totals = np.array([1.0] * right + [0.0] * (24 - right))
    found = rate_interval(totals, np.ones(24), totals.sum())
    assert [100 * float(found.low), 100 * float(found.high)] == pytest.approx(interval, abs=0.06)
    assert (found.method, found.correlation) == ("Clopper-Pearson", None)


def test_graded_scores_are_surer_than_right_and_wrong_and_never_of_no_width() -> None:
    graded, binary = np.array([0.4, 0.5, 0.6] * 20), np.array([0.0, 0.5 > 0, 0.0, 1.0, 0.0, 1.0] * 10, dtype=float)
    narrow = rate_interval(graded, np.ones(60), (graded**2).sum())
    wide = rate_interval(binary, np.ones(60), (binary**2).sum())
    same = rate_interval(np.full(60, 0.5), np.ones(60), np.array(60 * 0.25))
    assert float(narrow.high - narrow.low) < 0.6 * float(wide.high - wide.low)
    assert 0 < float(same.high - same.low) < float(narrow.high - narrow.low)
    assert float(narrow.effective_n) > 60


def test_many_rates_at_once_are_each_by_itself() -> None:
    generator = np.random.default_rng(3)
    sizes = generator.integers(1, 9, 12).astype(np.float64)
    totals = generator.binomial(sizes.astype(int), 0.3, (7, 12)).astype(np.float64)
    together = rate_interval(totals, sizes, totals.sum(axis=-1))
    for index, row in enumerate(totals):
        alone = rate_interval(row, sizes, row.sum())
        assert (together.low[index], together.high[index]) == pytest.approx((float(alone.low), float(alone.high)))
    ones = generator.binomial(1, 0.1, (5, 24)).astype(np.float64)
    together = rate_interval(ones, np.ones(24), ones.sum(axis=-1))
    for index, row in enumerate(ones):
        assert float(together.high[index]) == pytest.approx(float(rate_interval(row, np.ones(24), row.sum()).high))


def test_the_cluster_is_the_article_where_there_are_enough_of_them() -> None:
    paragraphs = [f"{article}.{number}" for article in range(8) for number in (0, 0, 1)]
    articles = [each.partition(".")[0] for each in paragraphs]
    assert choose_units(paragraphs, articles).level is Level.GROUP
    assert choose_units(paragraphs, articles).names == tuple(articles)
    assert choose_units(paragraphs, None).level is Level.CLUSTER
    assert choose_units(paragraphs, ["one title"] * 24).level is Level.CLUSTER
    assert choose_units(paragraphs, [each if each < "4" else "4" for each in articles]).level is Level.GROUP
    assert choose_units(paragraphs, [each if each < "3" else "3" for each in articles]).level is Level.CLUSTER
    assert choose_units(paragraphs, [str(index) for index in range(24)]).level is Level.CLUSTER, "finer than paragraphs"
    straddling = [str(index % 5) for index in range(24)]
    assert choose_units(paragraphs, straddling).level is Level.CLUSTER, "paragraphs in two articles"
    assert choose_units(list("abc"), list("abc")).level is Level.EXAMPLE


@pytest.mark.parametrize(("clusters", "size", "share"), [(24, 1, 0.0), (60, 1, 0.0), (24, 5, 0.4), (48, 5, 0.2)])
def test_intervals_of_graded_scores_cover(clusters: int, size: int, share: float) -> None:
    """As of F1: four in ten are 0, four are 1, the others lie between; a share of the clusters answers as one."""
    generator = np.random.default_rng(clusters)
    shape = (2000, clusters, size)

    def scores() -> np.ndarray:
        kind = generator.random(shape)
        return np.where(kind < 0.4, 0.0, np.where(kind < 0.8, 1.0, generator.random(shape)))

    alike = generator.random((2000, clusters, 1)) < share
    drawn = np.where(alike, scores()[:, :, :1], scores())
    found = rate_interval(drawn.sum(-1), np.full(clusters, float(size)), (drawn**2).sum(axis=(1, 2)))
    assert 0.925 <= ((found.low <= 0.5) & (found.high >= 0.5)).mean() <= 0.985
