"""Fits as a whole: the right variant, the test on the largest size, weights, and tables that cannot be fitted."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from xlingual.errors import DataError, UsageError
from xlingual.identity import canonical_json
from xlingual.scaling.fit import FitOptions, fit_laws
from xlingual.scaling.laws import Ties
from xlingual.scaling.points import Point, SizeUnit
from xlingual.scaling.prediction import predict, predict_draws
from xlingual.scaling.records import LawFit
from xlingual.serial import from_json, to_json

from .simulation import SIZES, TRUTHS, Truth, make_point, simulate

QUICK = FitOptions(resamples=200)


def test_scores_without_noise_are_fitted_exactly() -> None:
    fit = fit_laws(simulate(), QUICK)
    assert fit.variant.name == "alpha=own beta=own ceiling=own gamma=1"
    assert fit.unit_size == 10_000
    for law in fit.laws:
        truth = TRUTHS[law.language]
        assert law.alpha.value == pytest.approx(truth.alpha, rel=1e-3)
        assert law.beta.value == pytest.approx(truth.beta, rel=1e-3)
        assert law.ceiling.value == pytest.approx(truth.ceiling, rel=1e-3)
        assert law.r2 == pytest.approx(1.0, abs=1e-6)
        assert (law.count, law.smallest, law.largest, law.tokens_per_pair) == (8, 1_000, 64_000, 20.0)
        ahead = predict(fit, law, np.array([1e6]))[0]
        assert ahead == pytest.approx(truth.score(1e6), abs=0.02)
    for each in fit.extrapolation:
        assert (each.size, each.smaller) == (64_000, 16_000)
        assert each.error == pytest.approx(0.0, abs=0.02)


SHARED = {code: Truth(alpha, 0.3, 100.0) for code, alpha in (("zh", 30.0), ("ar", 45.0), ("hi", 60.0), ("tr", 38.0))}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("truths", "expected"),
    [
        (SHARED, "alpha=own beta=shared ceiling=fixed gamma=1"),
        ({code: Truth(50.0, 0.2, 100.0) for code in SHARED}, "alpha=shared beta=shared ceiling=fixed gamma=1"),
        ({code: Truth(20.0, 0.4, 60.0) for code in SHARED}, "alpha=shared beta=shared ceiling=shared gamma=1"),
        (TRUTHS, "alpha=own beta=own ceiling=own gamma=1"),
    ],
)
def test_the_variant_is_found_in_noisy_scores(truths: Mapping[str, Truth], expected: str) -> None:
    found = []
    for seed in range(6):
        points = simulate(truths, noise=0.3, generator=np.random.default_rng(seed))
        found.append(fit_laws(points, replace(QUICK, resamples=20, test_largest=False)).variant.name)
    assert found.count(expected) >= 4, found


@pytest.mark.slow
def test_similarity_makes_one_law_of_many() -> None:
    gammas = {"zh": 0.2, "ar": 0.5, "hi": 0.1, "tr": 0.8}
    law = Truth(20.0, 0.4, 60.0)
    truths = {code: replace_alpha(law, law.alpha * gamma**-law.beta) for code, gamma in gammas.items()}
    options = replace(QUICK, similarities={"similarity": gammas}, test_largest=False)
    found = []
    for seed in range(6):
        points = simulate(truths, noise=0.2, generator=np.random.default_rng(seed))
        found.append(fit_laws(points, replace(options, resamples=20)).variant)
    assert all(variant.similarity for variant in found)
    assert [(variant.alpha, variant.beta) for variant in found].count((Ties.SHARED, Ties.SHARED)) >= 4
    shared = replace(options, alpha=Ties.SHARED, beta=Ties.SHARED, ceiling=Ties.SHARED)
    fit = fit_laws(simulate(truths, noise=0.2), shared)
    assert fit.variant.name == "alpha=shared beta=shared ceiling=shared gamma=similarity"
    assert [each.gamma for each in fit.laws] == list(gammas.values())
    assert len({each.alpha for each in fit.laws}) == 1
    for each in fit.laws:
        assert each.beta.low is not None
        assert each.beta.high is not None
        assert each.beta.low <= 0.4 <= each.beta.high
        assert predict(fit, each, np.array([64_000.0]))[0] == pytest.approx(
            truths[each.language].score(64_000), abs=0.5
        )


def replace_alpha(truth: Truth, alpha: float) -> Truth:
    return Truth(alpha, truth.beta, truth.ceiling)


def test_a_law_of_tokens_is_that_of_pairs_in_other_units() -> None:
    points = simulate(noise=0.3)
    by_pairs, by_tokens = (fit_laws(points, replace(QUICK, unit=unit)) for unit in SizeUnit)
    for pairs, tokens in zip(by_pairs.laws, by_tokens.laws, strict=True):
        at = np.array([5_000.0, 300_000.0])
        assert predict(by_pairs, pairs, at) == pytest.approx(predict(by_tokens, tokens, 20 * at), abs=1e-3)
        assert tokens.largest == 20 * pairs.largest


@pytest.mark.slow
def test_the_same_arguments_give_the_same_bytes_and_they_come_back() -> None:
    points = simulate(noise=0.3)
    texts = [canonical_json(to_json(fit_laws(points, QUICK))) for _ in range(2)]
    assert texts[0] == texts[1]
    fit = fit_laws(points, QUICK)
    assert from_json(LawFit, to_json(fit)) == fit
    assert fit_laws(points, replace(QUICK, seed=1)).laws[0].beta.low != fit.laws[0].beta.low


def test_intervals_widen_beyond_what_was_measured() -> None:
    fit = fit_laws(simulate(noise=0.4), QUICK)
    for law in fit.laws:
        widths = np.ptp(np.percentile(predict_draws(fit, law, np.array([8e3, 1e6, 1e8])), [2.5, 97.5], axis=0), axis=0)
        assert (np.diff(widths) > 0).all()


def test_a_wide_interval_weighs_less() -> None:
    points = simulate({"zh": Truth(60.0, 0.12, 100.0)}, seeds=1)
    sure = [replace(point, low=point.score - 0.5, high=point.score + 0.5) for point in points]
    vague = replace(sure[-1], score=sure[-1].score + 4.0, low=sure[-1].score - 8.0, high=sure[-1].score + 16.0)
    options = replace(QUICK, ceiling=Ties.FIXED, test_largest=False)
    truth = points[-1].score
    ends = []
    for last in (vague, replace(vague, low=vague.score - 0.5, high=vague.score + 0.5)):
        fit = fit_laws([*sure[:-1], last], options)
        ends.append(abs(predict(fit, fit.laws[0], np.array([64_000.0]))[0] - truth))
    assert ends[0] < 0.5 * ends[1]


def test_a_point_without_interval_is_said_and_points_of_size_zero_are_floors() -> None:
    points = simulate({"zh": TRUTHS["zh"]})
    noted = fit_laws(
        [make_point("zh", 0, 3.0), *(replace(each, low=0.0, high=100.0) for each in points[1:]), points[0]], QUICK
    )
    assert noted.notes == ("1 points have no interval: all points have the same weight",)
    assert noted.laws[0].floor == 3.0
    assert all(point.pairs > 0 for point in noted.points)


def test_scores_that_are_all_the_same_are_no_crash() -> None:
    points = [make_point("zh", size, 0.0, seed=seed, half_width=0.0) for size in SIZES for seed in (0, 1)]
    fit = fit_laws(points, QUICK)
    assert fit.laws[0].r2 is None
    assert predict(fit, fit.laws[0], np.array([64_000.0]))[0] == pytest.approx(0.0, abs=0.5)


@pytest.mark.parametrize(
    ("points", "options", "error", "what"),
    [
        ([], FitOptions(), DataError, "there are no points"),
        (
            simulate(sizes=(1000, 4000)),
            FitOptions(),
            DataError,
            "chrf++: zh: 2 sizes of data, and a law needs at least 3",
        ),
        ([make_point("zh", 0, 2.0)], FitOptions(), DataError, "no point has translation data"),
        (simulate(), FitOptions(metric="bleu"), UsageError, "--metric: no point has 'bleu'"),
        ([*simulate(), replace(make_point("zh", 5, 1.0), metric="bleu")], FitOptions(), UsageError, "chrf++, bleu"),
        (
            simulate(),
            FitOptions(similarities={"similarity": {"zh": 0.5}}),
            UsageError,
            "--similarity: no similarity of ar",
        ),
        (
            [replace(point, tokens=None) for point in simulate()],
            FitOptions(unit=SizeUnit.TOKENS),
            UsageError,
            "the point of zh at 1000 pairs has no tokens",
        ),
        (
            simulate(sizes=(1000, 4000, 16000)),
            FitOptions(alpha=Ties.OWN, beta=Ties.OWN, ceiling=Ties.OWN),
            UsageError,
            "zh was measured at 3 sizes, and this variant needs 4",
        ),
    ],
)
def test_what_cannot_be_fitted(points: list[Point], options: FitOptions, error: type[Exception], what: str) -> None:
    with pytest.raises(error) as caught:
        fit_laws(points, options)
    assert what in str(caught.value)


def test_three_sizes_are_fitted_with_less_freedom() -> None:
    fit = fit_laws(simulate(sizes=(1000, 8000, 64_000), noise=0.2), QUICK)
    assert all("alpha=own beta=own ceiling=own" not in each.variant for each in fit.candidates)
