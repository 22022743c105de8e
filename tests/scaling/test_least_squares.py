"""The robust solver: derivatives, many refits at once against scipy's one by one, outliers."""

import numpy as np
import pytest
from scipy.optimize import least_squares

from xlingual.plugin import FloatArray
from xlingual.scaling.laws import LawCurve, Ties, Variant, all_variants
from xlingual.scaling.least_squares import fit_curve, refit

from .simulation import SIZES, TRUTHS, Truth

VARIANTS = all_variants(3, similarity=True)


def _curve(variant: Variant, sizes: tuple[int, ...] = SIZES, seeds: int = 2, count: int = 3) -> LawCurve:
    each = np.repeat(np.log(np.array(sizes) / 10_000), seeds)
    return LawCurve(
        log_sizes=np.tile(each, count), languages=np.repeat(np.arange(count), len(each)), count=count, variant=variant
    )


def _scores(curve: LawCurve, noise: float, seed: int) -> FloatArray:
    truths = list(TRUTHS.values())
    exact = [truths[index].score(10_000 * np.exp(x)) for x, index in zip(curve.log_sizes, curve.languages, strict=True)]
    return np.array(exact) + noise * np.random.default_rng(seed).standard_normal(len(exact))


def test_the_variants_are_all_there() -> None:
    assert len(VARIANTS) == len({variant.name for variant in VARIANTS}) == 18
    assert len(all_variants(3, similarity=False)) == 12
    assert [variant.name for variant in all_variants(1, similarity=True)] == [
        "alpha=own beta=own ceiling=fixed gamma=1",
        "alpha=own beta=own ceiling=own gamma=1",
    ]
    assert [variant.count(3) for variant in all_variants(3, similarity=False)] == [6, 7, 9, 4, 5, 7, 4, 5, 7, 2, 3, 5]


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_slopes_are_differences(variant: Variant) -> None:
    curve = _curve(variant)
    parameters = curve.starts(_scores(curve, 0.5, 1))[:2] + 0.03
    slopes = curve.slopes(parameters)
    for index in range(parameters.shape[1]):
        step = np.zeros(parameters.shape[1])
        step[index] = 1e-6
        difference = (curve.values(parameters + step) - curve.values(parameters - step)) / 2e-6
        assert slopes[..., index] == pytest.approx(difference, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("variant", all_variants(3, similarity=False), ids=lambda variant: variant.name)
def test_refits_are_those_of_scipy(variant: Variant) -> None:
    curve = _curve(variant)
    scores = np.array([_scores(curve, 0.5, seed) for seed in range(4)])
    weights = np.linspace(0.5, 1.5, scores.shape[1])
    fit = fit_curve(curve, scores[0], weights, curve.starts(scores[0]))
    ours = refit(curve, scores, weights, fit.parameters[np.newaxis], softness=1.0)
    low, high = curve.bounds
    for row, measured in zip(ours, scores, strict=True):
        found = least_squares(
            lambda theta, measured=measured: (curve.values(theta) - measured) * weights,
            fit.parameters.clip(low + 1e-6, high - 1e-6),
            bounds=(low, high),
            loss="soft_l1",
            xtol=1e-13,
            ftol=1e-13,
            gtol=1e-13,
        )
        cost = np.sum(2 * (np.sqrt(1 + ((curve.values(row) - measured) * weights) ** 2) - 1))
        assert cost == pytest.approx(2 * found.cost, rel=1e-6)
        assert curve.values(row) == pytest.approx(curve.values(found.x), abs=2e-3)


def test_scores_without_noise_give_the_parameters_back() -> None:
    variant = Variant(alpha=Ties.OWN, beta=Ties.OWN, ceiling=Ties.OWN, similarity=False)
    curve = _curve(variant, seeds=1)
    scores = _scores(curve, 0.0, 0)
    fit = fit_curve(curve, scores, np.ones(len(scores)), curve.starts(scores))
    alpha, beta, ceiling = curve.unpack(fit.parameters)
    assert alpha == pytest.approx([truth.alpha for truth in TRUTHS.values()], rel=1e-4)
    assert beta == pytest.approx([truth.beta for truth in TRUTHS.values()], rel=1e-4)
    assert ceiling == pytest.approx([truth.ceiling for truth in TRUTHS.values()], rel=1e-4)


def test_one_broken_run_does_not_bend_the_curve() -> None:
    variant = Variant(alpha=Ties.OWN, beta=Ties.OWN, ceiling=Ties.FIXED, similarity=False)
    curve = _curve(variant, (1_000, 2_000, 4_000, 8_000, 16_000, 32_000), count=1)
    truth = Truth(60.0, 0.12, 100.0)
    generator = np.random.default_rng(0)
    scores = np.array([truth.score(10_000 * np.exp(x)) for x in curve.log_sizes]) + generator.normal(0, 0.2, 12)
    scores[-1] -= 15.0
    fit = fit_curve(curve, scores, np.ones(12), curve.starts(scores))
    plain = refit(curve, scores[np.newaxis], np.ones(12), curve.starts(scores)[:1], softness=np.inf)[0]
    end = np.array([truth.score(10_000 * np.exp(curve.log_sizes[-1]))])
    assert curve.values(fit.parameters)[-1] == pytest.approx(end[0], abs=1.0)
    assert abs(curve.values(plain)[-1] - end[0]) > 3.0
