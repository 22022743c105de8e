"""Exact paired tests, against counting every choice of signs."""

import time
from itertools import product

import numpy as np
import pytest

from xlingual.plugin import FloatArray
from xlingual.statistics.multiple import detectable_difference, holm, rank_limits
from xlingual.statistics.signflip import refused_beyond, sign_flip


def _array(*values: float) -> FloatArray:
    return np.array(values, dtype=np.float64)


@pytest.mark.parametrize(
    ("differences", "p"),
    [
        ((1, -1), 1.0),
        ((1, 1), 0.5),
        ((1, 1, 1, 0, 0), 0.25),
        ((*[1.0] * 5, *[0.0] * 235), 0.0625),
        ((3, 1, 2, -1, 0, 2), 0.1875),
        ((5, 4, 3, 2, 1, -1), 0.09375),
        ((1,) * 6, 0.03125),
        ((0, 0, 0), 1.0),
        ((), 1.0),
    ],
)
def test_p_values_by_hand(differences: tuple[float, ...], p: float) -> None:
    for factor in (1, -1, 0.37):
        found, exact = sign_flip(_array(*differences) * factor)
        assert exact
        assert found == pytest.approx(p, abs=1e-12)


def test_every_way_to_count_gives_what_counting_all_gives() -> None:
    generator = np.random.default_rng(5)
    for clusters in (3, 8, 11):
        whole = generator.integers(-4, 6, clusters).astype(np.float64)
        for differences in (whole, whole + generator.normal(0, 1e-2, clusters)):
            sums = [abs(sum(np.array(signs) * np.abs(differences))) for signs in product((1, -1), repeat=clusters)]
            expected = np.mean(np.array(sums) >= abs(differences.sum()) - 1e-9)
            assert sign_flip(differences)[0] == pytest.approx(expected, abs=1e-12)


def test_forty_clusters_of_real_sums_and_240_of_whole_ones_are_exact_and_quick() -> None:
    generator = np.random.default_rng(7)
    begun = time.process_time()
    assert sign_flip(generator.normal(0.2, 1, 40))[1]
    assert sign_flip(generator.integers(-5, 7, 240).astype(np.float64))[1]
    assert time.process_time() - begun < 5
    p, exact = sign_flip(generator.normal(3.0, 1, 41))
    assert not exact
    assert p == pytest.approx(1e-4), "(0 + 1) / (9,999 + 1): never zero"


def test_the_interval_holds_what_the_test_does_not_refuse() -> None:
    generator = np.random.default_rng(9)
    for clusters in (6, 9, 12):
        sizes = generator.integers(1, 6, clusters).astype(np.float64)
        differences = generator.normal(0.3, 1, clusters) * sizes
        found = refused_beyond(differences, sizes)
        assert found is not None
        for mean in np.linspace(found[0] - 1, found[1] + 1, 41):
            if min(abs(mean - found[0]), abs(mean - found[1])) > 1e-6:
                inside = found[0] < mean < found[1]
                assert (sign_flip(differences - mean * sizes)[0] > 0.05) == inside
    assert refused_beyond(_array(1, 1, 1, 1, 1), np.ones(5)) is None, "five clusters can refuse nothing"


def test_p_values_under_the_null_are_uniform_or_conservative() -> None:
    generator = np.random.default_rng(11)
    for clusters, draw in ((6, 2000), (12, 2000), (24, 2000), (48, 1000)):
        differences = generator.binomial(5, 0.4, (draw, clusters)) - generator.binomial(5, 0.4, (draw, clusters))
        found = np.array([sign_flip(each.astype(np.float64))[0] for each in differences])
        for level in (0.01, 0.05, 0.1, 0.5):
            assert (found <= level).mean() <= level + 3 * (level * (1 - level) / draw) ** 0.5
        if clusters >= 24:
            assert (found <= 0.05).mean() >= 0.03


def test_the_interval_of_a_difference_covers() -> None:
    generator = np.random.default_rng(13)
    covered = 0
    for _ in range(300):
        sizes = generator.integers(1, 6, 30).astype(np.float64)
        differences = generator.normal(0.2, 1, 30) * sizes
        found = refused_beyond(differences, sizes)
        assert found is not None
        covered += found[0] <= 0.2 <= found[1]
    assert 0.92 <= covered / 300 <= 0.98


def test_holm_by_hand() -> None:
    first, second = (0.02, 0.001, 0.30, 0.013, 0.04), (0.01, 0.02, 0.03, 0.04)
    assert holm(first) == pytest.approx([0.06, 0.005, 0.30, 0.052, 0.08])
    assert holm(second) == pytest.approx([0.04, 0.06, 0.06, 0.06])
    assert (holm([]), holm([0.9, 0.8])) == ([], [1.0, 1.0])
    assert min(holm([0.03125] * 10)) > 0.3, "with six clusters none of ten pairs can be told apart"


def test_twelve_languages_of_two_equal_models_rarely_raise_an_alarm() -> None:
    generator = np.random.default_rng(17)
    alarms = corrected = 0
    for _ in range(300):
        draws = generator.binomial(5, 0.4, (12, 2, 24))
        p_values = [sign_flip((each[0] - each[1]).astype(np.float64))[0] for each in draws]
        alarms += min(p_values) <= 0.05
        corrected += min(holm(p_values)) <= 0.05
    assert alarms / 300 > 0.3
    assert corrected / 300 <= 0.08


def test_rank_limits_by_hand() -> None:
    ahead = np.zeros((4, 4), dtype=np.bool_)
    ahead[0, 2] = ahead[0, 3] = ahead[1, 3] = True
    assert rank_limits(ahead) == [(1, 2), (1, 3), (2, 4), (3, 4)]


@pytest.mark.parametrize(("effective", "points"), [(1190, 3.6), (323, 7.0), (24, 26.7)])
def test_the_smallest_difference_that_can_be_found(effective: float, points: float) -> None:
    """One answer in five differs: the variance of a difference is 0.2 in n effective examples."""
    error = 100 * (0.2 / effective) ** 0.5
    assert detectable_difference(error, round(effective)) == pytest.approx(points, abs=0.2)
    assert detectable_difference(1.0, 100_000) == pytest.approx(2.80, abs=0.005)
