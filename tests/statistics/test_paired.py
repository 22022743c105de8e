"""Two models on the same examples: differences, intervals and tests that agree, and what cannot be told."""

from itertools import product
from math import comb

import numpy as np
import pytest

from xlingual.errors import XlingualError
from xlingual.metrics import find_metric
from xlingual.metrics.mean import MeanMetric
from xlingual.records import Statistics
from xlingual.statistics.paired import Difference, paired_difference

MEAN = MeanMetric(
    name="rate",
    higher_is_better=True,
    judge=lambda _example, text, _response: float(text == "yes"),
    describe=lambda language: f"rate|{language}",
)


class Ratio:
    """A formula of two sums that is no mean of single scores."""

    name = "ratio"
    higher_is_better = True

    def combine(self, sums: np.ndarray) -> np.ndarray:
        return np.asarray(sums[..., 0] / sums[..., 1])


def _rows(*scores: float | None) -> list[Statistics | None]:
    return [None if score is None else (score, 1.0) for score in scores]


def _compare(first: list[Statistics | None], second: list[Statistics | None], clusters: list[str]) -> Difference:
    found = paired_difference(MEAN, first, second, clusters)
    assert found is not None
    return found


def test_two_paragraphs_show_nothing() -> None:
    """S2: A right and B wrong in both paragraphs had p = 0.001 and the interval [+100, +100]."""
    found = _compare(_rows(1, 1), _rows(0, 0), ["a", "b"])
    assert (found.difference, found.p, found.low, found.high) == (100.0, 0.5, None, None)
    assert "too few clusters (2, at least 6 needed)" in found.method


def test_five_wins_of_240_are_no_proof() -> None:
    """S3: p was 0.033."""
    found = _compare(_rows(*[1] * 5, *[0] * 235), _rows(*[0] * 240), [str(index) for index in range(240)])
    assert found.p == pytest.approx(0.0625)
    assert found.method == "sign-flip, exact"
    assert found.low is not None
    assert found.high is not None
    assert found.low <= 0.0 < 100 * 5 / 240 < found.high
    assert (found.ahead, found.behind) == (5, 0)


def test_a_win_of_every_one_of_six_is_the_first_proof() -> None:
    found = _compare(_rows(*[1] * 6), _rows(*[0] * 6), list("abcdef"))
    assert found.p == pytest.approx(0.03125)
    assert found.low is not None
    assert found.low > 0


def test_nothing_different_in_24_examples_is_not_proven_equal() -> None:
    found = _compare(_rows(*[1] * 12, *[0] * 12), _rows(*[1] * 12, *[0] * 12), [str(index) for index in range(24)])
    assert (found.difference, found.p, found.ahead, found.behind) == (0.0, 1.0, 0, 0)
    assert found.low is not None
    assert found.high is not None
    assert found.low == pytest.approx(-found.high)
    assert 9 < found.high < 15, "none of 24 may be up to 14.2% of all"


def test_only_examples_with_both_scores_count_for_both() -> None:
    """S11: 100.0 on 34 examples and 54.8 on 62 was shown as "100.0, 54.8, difference +0.0"."""
    first, second = _rows(*[1] * 34, *[None] * 28), _rows(*[1] * 34, *[0] * 28)
    found = _compare(first, second, [str(index) for index in range(62)])
    assert (found.first, found.second, found.difference, found.n) == (100.0, 100.0, 0.0, 34)
    assert paired_difference(MEAN, _rows(1.0, None), _rows(None, 1.0), list("ab")) is None


def test_test_and_interval_agree_and_swapping_the_models_swaps_the_signs() -> None:
    generator = np.random.default_rng(3)
    for _ in range(60):
        count = int(generator.integers(8, 60))
        clusters = [str(each) for each in generator.integers(0, count // 2 + 4, count)]
        first, second = (_rows(*generator.binomial(1, rate, count)) for rate in (0.6, 0.4))
        found, back = _compare(first, second, clusters), _compare(second, first, clusters)
        assert back.p == pytest.approx(found.p)
        if found.low is None or found.high is None or back.low is None:
            assert found.clusters < 6
            continue
        assert (found.p <= 0.05) == (not found.low <= 0 <= found.high)
        assert found.low <= found.difference <= found.high
        assert back.low == pytest.approx(-found.high, abs=2)


def test_articles_are_the_clusters_where_they_are_known() -> None:
    generator = np.random.default_rng(5)
    paragraphs = [f"{article}.{number}" for article in range(10) for number in range(4) for _ in range(3)]
    articles = [each.partition(".")[0] for each in paragraphs]
    first, second = (_rows(*generator.binomial(1, 0.5, 120)) for _ in range(2))
    found = paired_difference(MEAN, first, second, paragraphs, groups=articles)
    assert found is not None
    assert (found.clusters, found.clustered_by) == (10, "group")
    alone = _compare(first, second, paragraphs)
    assert (alone.clusters, alone.clustered_by) == (40, "cluster")


def test_formulas_of_sums_are_tested_by_whole_clusters_that_change_sides() -> None:
    first = [(3.0, 4.0), (2.0, 4.0), (4.0, 4.0), (1.0, 4.0)]
    second = [(2.0, 4.0), (2.0, 5.0), (1.0, 4.0), (1.0, 3.0)]
    found = paired_difference(Ratio(), first, second, list("abcd"))  # type: ignore[arg-type]  # what is used of one
    assert found is not None
    assert (found.first, found.second, found.p) == (0.625, 0.375, 6 / 16)
    assert (found.low, found.method.partition(";")[0]) == (None, "swaps, exact")
    sides = []
    for signs in product((0, 1), repeat=4):
        ours, theirs = (
            np.sum([(first, second)[sign ^ flip][index] for index, sign in enumerate(signs)], axis=0) for flip in (0, 1)
        )
        sides.append(abs(ours[0] / ours[1] - theirs[0] / theirs[1]))
    assert found.p == np.mean(np.array(sides) >= 0.25 - 1e-9)


def test_a_system_against_itself_has_p_1_also_by_a_formula() -> None:
    generator = np.random.default_rng(7)
    rows: list[Statistics | None] = [(float(a), float(a + b)) for a, b in generator.integers(1, 9, (30, 2))]
    found = paired_difference(Ratio(), rows, rows, [str(index) for index in range(30)])  # type: ignore[arg-type]  # as above
    assert found is not None
    assert (found.difference, found.p, found.low, found.high) == (0.0, 1.0, 0.0, 0.0)
    assert (found.ahead, found.behind) == (0, 0)


def test_bleu_of_a_better_translation_is_better() -> None:
    metric = find_metric("bleu")
    generator = np.random.default_rng(1)

    def counts(share: float) -> list[Statistics | None]:
        totals = generator.integers(10, 30, 60)
        return [
            (float(t), float(t), *(float(round(t * share**order)) for order in (1, 2, 3, 4)), *(float(t),) * 4)
            for t in totals
        ]

    found = paired_difference(metric, counts(0.9), counts(0.7), [str(index) for index in range(60)])
    assert found is not None
    assert found.p == pytest.approx(1e-4)
    assert found.low is not None
    assert 0 < found.low < found.difference


def test_a_margin_is_tested_instead_of_zero() -> None:
    first, second = _rows(*[1] * 40, *[0] * 40), _rows(*[1] * 41, *[0] * 39)
    clusters = [str(index) for index in range(80)]
    alone = _compare(first, second, clusters)
    found = paired_difference(MEAN, first, second, clusters, margin=10.0)
    assert found is not None
    assert alone.p_behind == alone.p == found.p == 1.0
    assert found.p_behind < 0.05, "1.25 points behind are surely less than 10"


@pytest.mark.parametrize(("n", "margin"), [(24, 20.0), (60, 5.0), (60, 15.0), (100, 5.0), (240, 2.0)])
def test_a_loss_of_just_the_margin_is_seldom_called_less(n: int, margin: float) -> None:
    """By the binomial distribution: how likely is a number of losses of which the test is sure that they are fewer?"""
    share = margin / 100
    chance = (1 - share) ** n  # without any loss nothing is worse: that is a rule of its own
    for losses in range(1, n):
        found = paired_difference(
            MEAN, _rows(*[0] * losses, *[1] * (n - losses)), _rows(*[1] * n), list(map(str, range(n))), margin=margin
        )
        assert found is not None
        if found.p_behind > 0.05 or found.difference <= -margin:
            break
        chance += comb(n, losses) * share**losses * (1 - share) ** (n - losses)
    assert chance < 0.05


def test_mismatched_arguments_are_a_fault() -> None:
    with pytest.raises(XlingualError, match="1 examples but 2 clusters"):
        paired_difference(MEAN, _rows(1.0), _rows(1.0), ["a", "b"])
