"""Fits recover the parameters of simulated scores inside their 95% intervals: in 93 of 100 draws and more."""

from dataclasses import replace

import numpy as np
import pytest

from xlingual.scaling.fit import FitOptions, fit_laws
from xlingual.scaling.laws import Ties
from xlingual.scaling.prediction import predict_draws

from .simulation import Truth, simulate

DRAWS = 200
RESAMPLES = 399
BEYOND = 500_000.0
"""Pairs, four to eight times the largest size."""
LONG = (1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000)
SHORT = (1_000, 4_000, 16_000, 64_000)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("truth", "sizes", "noise", "ceiling"),
    [
        pytest.param(Truth(60.0, 0.12, 100.0), SHORT, 0.5, Ties.FIXED, id="fixed-ceiling-8-points"),
        pytest.param(Truth(15.0, 0.35, 55.0), LONG, 0.4, Ties.OWN, id="free-ceiling-16-points"),
        pytest.param(Truth(15.0, 0.35, 55.0), SHORT, 0.4, Ties.OWN, id="free-ceiling-8-points"),
    ],
)
def test_intervals_hold_the_truth(truth: Truth, sizes: tuple[int, ...], noise: float, ceiling: Ties) -> None:
    generator = np.random.default_rng(20_230_804)
    options = FitOptions(alpha=Ties.OWN, beta=Ties.OWN, ceiling=ceiling, resamples=RESAMPLES, test_largest=False)
    held = []
    for seed in range(DRAWS):
        points = simulate({"zh": truth}, sizes, noise=noise, generator=generator)
        fit = fit_laws(points, replace(options, seed=seed))
        law = fit.laws[0]
        scale = (fit.unit_size / 10_000) ** -truth.beta
        wanted = [(law.alpha, truth.alpha * scale), (law.beta, truth.beta)]
        wanted += [(law.ceiling, truth.ceiling)] if ceiling is Ties.OWN else []
        ends = np.percentile(predict_draws(fit, law, np.array([BEYOND])), [2.5, 97.5])
        inside = [
            each.low is not None and each.high is not None and each.low <= value <= each.high for each, value in wanted
        ]
        held.append([*inside, bool(ends[0] <= truth.score(BEYOND) <= ends[1])])
    coverage = np.mean(held, axis=0)
    assert (coverage >= 0.93).all(), coverage
    assert (coverage <= 0.995).all(), f"wider than 95%: {coverage}"


@pytest.mark.slow
def test_shared_rates_are_covered_too() -> None:
    generator = np.random.default_rng(5)
    truths = {"zh": Truth(15.0, 0.3, 100.0), "ar": Truth(25.0, 0.3, 100.0), "hi": Truth(40.0, 0.3, 100.0)}
    options = FitOptions(alpha=Ties.OWN, beta=Ties.SHARED, ceiling=Ties.FIXED, resamples=RESAMPLES, test_largest=False)
    held = []
    for seed in range(DRAWS):
        laws = fit_laws(simulate(truths, noise=0.5, generator=generator), replace(options, seed=seed)).laws
        bounds = [(laws[0].beta, 0.3)] + [(law.alpha, truths[law.language].alpha) for law in laws]
        held.append([(each.low or 0.0) <= value <= (each.high or 0.0) for each, value in bounds])
    beta, *alphas = np.mean(held, axis=0)
    for coverage in (beta, np.mean(alphas)):
        assert 0.93 <= coverage <= 0.995, (beta, alphas)
