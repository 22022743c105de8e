"""Laws with a floor: the score of the untuned model is the law's value at no data."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.optimize import minimize

from xlingual.plugin import FloatArray
from xlingual.scaling.allocation import AllocationLimits, Laws, best_mean, best_worst
from xlingual.scaling.budget import BudgetOptions, Goal, allocate
from xlingual.scaling.doubts import doubts_of
from xlingual.scaling.fit import FitOptions, fit_laws
from xlingual.scaling.laws import LawCurve, Ties, Variant
from xlingual.scaling.points import Point
from xlingual.scaling.prediction import predict, predict_draws
from xlingual.scaling.tables import fit_tables

from .simulation import make_point

UNIT = 10_000
QUICK = FitOptions(resamples=200, alpha=Ties.OWN, beta=Ties.OWN, ceiling=Ties.OWN, test_largest=False)


def floored(alpha: float, beta: float, ceiling: float, floor: float) -> Callable[[float], float]:
    """Return the law by its formula, written out."""
    offset = (alpha / (ceiling - floor)) ** (1.0 / beta)
    return lambda pairs: ceiling - alpha * (pairs / UNIT + offset) ** -beta


TRUTHS = {
    "zh": floored(15.0, 0.5, 50.0, 6.0),
    "ar": floored(25.0, 0.35, 60.0, 12.0),
    "hi": floored(8.0, 0.8, 40.0, 20.0),
}
SIZES = (0, 250, 1_000, 4_000, 16_000, 64_000, 256_000)


def points_of(noise: float = 0.0, seed: int = 0) -> list[Point]:
    generator = np.random.default_rng(seed)
    return [
        make_point(
            code, pairs, law(pairs) + (noise * float(generator.standard_normal()) if pairs else 0.0), seed=number
        )
        for code, law in TRUTHS.items()
        for pairs in SIZES
        for number in (0, 1)
    ]


def test_the_truth_is_found_and_the_untuned_score_is_its_beginning() -> None:
    fit = fit_laws(points_of(), QUICK)
    for law in fit.laws:
        truth = TRUTHS[law.language]
        assert law.floor == pytest.approx(truth(0))
        sizes = np.array([0.0, 1.0, 500.0, 30_000.0, 1e7])
        assert predict(fit, law, sizes) == pytest.approx([truth(size) for size in sizes], abs=0.05)
        assert np.all(predict_draws(fit, law, np.array([0.0])) == pytest.approx(law.floor))
        assert law.smallest == 250  # size 0 is no measurement of the growth
    header = fit_tables(fit)[0].header
    assert header[-1] == "S(0)"
    assert "+ x0" in fit_tables(fit)[0].title


def test_no_draw_predicts_less_than_the_untuned_model_or_more_than_100() -> None:
    fit = fit_laws(points_of(noise=1.5), QUICK)
    sizes = np.array([0.0, 1.0, 10.0, 1e3, 1e6, 1e12])
    for law in fit.laws:
        drawn = predict_draws(fit, law, sizes)
        assert law.floor is not None
        assert np.all(drawn >= law.floor - 1e-6)
        assert np.all(drawn <= 100.0)
        assert np.all(np.diff(drawn, axis=1) >= -1e-9)


@pytest.mark.parametrize("floors", [(6.0, 12.0), (np.nan, 12.0), (np.nan, np.nan)])
@pytest.mark.parametrize("ceiling", list(Ties))
def test_slopes_are_those_of_finite_differences(floors: tuple[float, float], ceiling: Ties) -> None:
    variant = Variant(alpha=Ties.OWN, beta=Ties.OWN, ceiling=ceiling, similarity=False)
    languages = np.array([0, 0, 0, 1, 1, 1])
    curve = LawCurve(
        log_sizes=np.log([0.02, 0.5, 8.0] * 2), languages=languages, count=2, variant=variant, floors=np.array(floors)
    )
    width = {Ties.FIXED: 0, Ties.SHARED: 1, Ties.OWN: 2}[ceiling]
    parameters = np.array([np.log(15.0), np.log(20.0), np.log(0.5), np.log(0.3), *([0.1, 0.3][:width])])
    slopes = curve.slopes(parameters)
    for place in range(len(parameters)):
        step = np.zeros(len(parameters))
        step[place] = 1e-6
        numeric = (curve.values(parameters + step) - curve.values(parameters - step)) / 2e-6
        assert slopes[:, place] == pytest.approx(numeric, rel=1e-5, abs=1e-6)


def limits_of(budget: float) -> AllocationLimits:
    return AllocationLimits(
        budget=budget, costs=np.array([1.0, 1.5, 1.0]), lower=np.zeros(3), upper=np.array([np.inf, np.inf, 5_000.0])
    )


LAWS = Laws(
    log_alpha=np.log([900.0, 700.0, 400.0]),
    beta=np.array([0.5, 0.4, 0.6]),
    ceiling=np.array([55.0, 60.0, 40.0]),
    offset=np.array([600.0, 0.0, 3_000.0]),
)


@pytest.mark.parametrize("budget", [10.0, 300.0, 5_000.0, 100_000.0])
def test_the_best_split_is_that_of_a_general_solver(budget: float) -> None:
    limits, weights = limits_of(budget), np.array([0.5, 0.3, 0.2])
    found = best_mean(LAWS, weights, limits)

    def loss(pairs: FloatArray) -> float:
        return -float(LAWS.scores(np.maximum(pairs, 0.0)) @ weights)

    best = min(
        (
            minimize(
                loss,
                np.array(start) * budget / 1.5,
                bounds=[(0.0, None), (0.0, None), (0.0, 5_000.0)],
                constraints={"type": "ineq", "fun": lambda pairs: budget - float(pairs @ limits.costs)},
                options={"maxiter": 500, "ftol": 1e-12},
            )
            for start in ((0.5, 0.2, 0.01), (0.1, 0.6, 0.02), (0.3, 0.3, 0.1))
        ),
        key=lambda each: float(each.fun),
    )
    assert float(found @ limits.costs) <= budget * (1 + 1e-9)
    assert np.all(found >= 0)
    assert loss(found) <= best.fun + 1e-6


@pytest.mark.parametrize("budget", [300.0, 100_000.0])
def test_the_worst_score_is_raised_to_one_level(budget: float) -> None:
    limits = limits_of(budget)
    found = best_worst(LAWS, limits)
    scores = LAWS.scores(found)
    free = (found > 1e-6) & (found < limits.caps * (1 - 1e-9))
    assert float(found @ limits.costs) <= budget * (1 + 1e-9)
    assert np.ptp(scores[free]) < 1e-4 if free.any() else True
    even = np.minimum(budget / 3.5, limits.caps)
    assert scores.min() >= LAWS.scores(even).min() - 1e-9


@pytest.mark.parametrize("goal", list(Goal))
@pytest.mark.parametrize("budget", [2, 300, 90_000])
def test_saturating_points_with_a_floor_get_a_verdict_within_the_scores(budget: int, goal: Goal) -> None:
    """A budget of two pairs predicts the untuned scores, and no -714."""
    fit = fit_laws(points_of(noise=0.3), QUICK)
    found = allocate(fit, BudgetOptions(budget=budget, goal=goal))
    assert sum(share.rows for share in found.shares) == budget
    floors = {law.language: law.floor or 0.0 for law in fit.laws}
    for share in found.shares:
        assert floors[share.language] - 1e-6 <= share.score.value <= 100.0
        assert share.score.low is not None
        assert share.score.low >= floors[share.language] - 1e-6
    assert doubts_of(fit) == ()
    assert found.doubts == ()


def test_a_language_without_an_untuned_score_has_no_floor() -> None:
    fit = fit_laws([each for each in points_of() if each.language != "ar" or each.pairs], QUICK)
    assert {law.language: law.floor is None for law in fit.laws} == {"zh": False, "ar": True, "hi": False}
    assert "no score of the untuned model in ar: the law has no floor there" in fit.notes
