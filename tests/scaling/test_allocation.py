"""Water filling: equal to SLSQP, exact at its bounds, fast; the usual splits by hand."""

import time

import numpy as np
import pytest
from scipy.optimize import minimize

from xlingual.errors import UsageError
from xlingual.plugin import FloatArray
from xlingual.scaling.allocation import AllocationLimits, Laws, best_mean, best_worst, round_to_rows, spread

PROBLEMS = 200


def _problem(generator: np.random.Generator, count: int) -> tuple[Laws, FloatArray, AllocationLimits]:
    """Return laws like those of scores, some languages with little data, some with a minimum."""
    laws = Laws(
        log_alpha=np.log(generator.uniform(5.0, 40.0, count))
        + (beta := generator.uniform(0.05, 0.8, count)) * np.log(1e4),
        beta=beta,
        ceiling=generator.uniform(40.0, 100.0, count),
    )
    upper = np.where(generator.random(count) < 0.5, 10 ** generator.uniform(3.5, 5.5, count), np.inf)
    lower = np.where(generator.random(count) < 0.3, np.minimum(2_000.0, upper), 100.0)
    costs = np.where(generator.random() < 0.5, np.ones(count), generator.uniform(10.0, 60.0, count))
    room = float(np.sum(costs * np.minimum(upper, 4e5)) - np.sum(costs * lower))
    budget = float(np.sum(costs * lower) + generator.uniform(0.05, 0.9) * room)
    return (
        laws,
        generator.uniform(0.2, 2.0, count),
        AllocationLimits(budget=budget, costs=costs, lower=lower, upper=upper),
    )


def _solve_by_slsqp(laws: Laws, weights: FloatArray, limits: AllocationLimits) -> FloatArray:
    """Solve for the logarithms of the amounts, which scipy finds better scaled, from an even start."""
    caps = limits.caps

    def lost(logs: FloatArray) -> tuple[float, FloatArray]:
        gaps = weights * np.exp(laws.log_alpha - laws.beta * logs)
        return float(gaps.sum()), -laws.beta * gaps

    def spent(logs: FloatArray) -> float:
        return 1.0 - float(np.sum(limits.costs * np.exp(logs))) / limits.budget

    found = minimize(
        lost,
        np.log(spread(np.ones(laws.count), limits, surplus=True).clip(limits.lower, caps)),
        jac=True,
        method="SLSQP",
        bounds=list(zip(np.log(limits.lower), np.log(caps), strict=True)),
        constraints={
            "type": "ineq",
            "fun": spent,
            "jac": lambda logs: -limits.costs * np.exp(logs) / limits.budget,
        },
        options={"ftol": 1e-14, "maxiter": 2000},
    )
    return np.asarray(np.exp(found.x))


def _goal(laws: Laws, weights: FloatArray, pairs: FloatArray) -> float:
    return float(laws.scores(pairs) @ weights)


def test_water_filling_is_slsqp_on_random_problems() -> None:
    generator = np.random.default_rng(7)
    for _ in range(PROBLEMS):
        laws, weights, limits = _problem(generator, int(generator.integers(2, 9)))
        ours = best_mean(laws, weights, limits)
        theirs = _solve_by_slsqp(laws, weights, limits)
        assert float(np.sum(ours * limits.costs)) == pytest.approx(
            min(limits.budget, float(np.sum(limits.upper * limits.costs))), rel=1e-12
        )
        assert (ours >= limits.lower).all()
        assert (ours <= limits.upper).all()
        assert float(np.sum(theirs * limits.costs)) <= limits.budget * (1 + 1e-6)
        assert _goal(laws, weights, ours) == pytest.approx(_goal(laws, weights, theirs), abs=1e-6)


def _flat_problem(generator: np.random.Generator, count: int) -> tuple[Laws, AllocationLimits]:
    """Return laws with floors as refits draw them, of any rate down to the flattest that a fit may have."""
    beta = np.exp(generator.uniform(-6.0, 0.5, count))
    ceiling, rise = generator.uniform(40.0, 100.0, count), generator.uniform(5.0, 40.0, count)
    log_alpha = np.log(rise) - np.abs(generator.normal(0.0, 0.7, count)) * generator.choice([1, 1, -1], count)
    offset = np.exp(np.minimum((log_alpha - np.log(rise)) / beta + np.log(1e4), 200.0))
    laws = Laws(log_alpha=log_alpha + beta * np.log(1e4), beta=beta, ceiling=ceiling, offset=offset)
    upper = np.where(generator.random(count) < 0.5, 10 ** generator.uniform(3.5, 5.5, count), np.inf)
    lower = np.where(generator.random(count) < 0.3, 100.0, 0.0)
    budget = float(round(10 ** generator.uniform(3.5, 5.5)))
    return laws, AllocationLimits(budget=budget, costs=np.ones(count), lower=lower, upper=upper)


def test_flat_laws_spend_the_budget_and_no_more() -> None:
    """Where a law has a floor and is flat, an amount is nothing beside the offset of its law, 1e10 to 1e87."""
    generator = np.random.default_rng(0)
    for _ in range(150):
        laws, limits = _flat_problem(generator, int(generator.integers(2, 6)))
        even = np.ones(laws.count)
        found = {"mean": best_mean(laws, even, limits), "worst": best_worst(laws, limits)}
        for goal, pairs in found.items():
            assert pairs.sum() == pytest.approx(min(limits.budget, limits.upper.sum()), rel=1e-9)
            assert ((pairs >= limits.lower) & (pairs <= limits.upper)).all()
            for _ in range(20):
                other = spread(generator.dirichlet(even), limits, surplus=True).clip(limits.lower)
                if other.sum() <= limits.budget:
                    ours, theirs = laws.scores(pairs), laws.scores(other)
                    assert (ours - theirs).sum() >= -1e-7 if goal == "mean" else ours.min() >= theirs.min() - 1e-7


def test_marginal_gains_are_equal_between_the_bounds() -> None:
    generator = np.random.default_rng(3)
    laws, weights, limits = _problem(generator, 40)
    pairs = best_mean(laws, weights, limits)
    gains = weights * laws.beta * np.exp(laws.log_alpha - (laws.beta + 1) * np.log(pairs)) / limits.costs
    at_upper, at_lower = pairs >= limits.upper, pairs <= limits.lower
    free = ~(at_upper | at_lower)
    assert free.sum() > 5
    level = gains[free].mean()
    assert gains[free] == pytest.approx(level, rel=1e-9)
    assert (gains[at_upper] >= level * (1 - 1e-9)).all()
    assert (gains[at_lower] <= level * (1 + 1e-9)).all()


def test_two_languages_by_hand() -> None:
    # Equal laws but twice the alpha: x1 / x2 = 2 ** (1 / (beta + 1)) = 2 ** (2 / 3) at beta = 1/2.
    laws = Laws(log_alpha=np.log([200.0, 100.0]), beta=np.array([0.5, 0.5]), ceiling=np.array([80.0, 80.0]))
    limits = AllocationLimits(budget=30_000.0, costs=np.ones(2), lower=np.zeros(2), upper=np.full(2, np.inf))
    pairs = best_mean(laws, np.ones(2), limits)
    assert pairs[0] / pairs[1] == pytest.approx(2 ** (2 / 3), rel=1e-12)
    assert pairs.sum() == pytest.approx(30_000.0, rel=1e-14)
    # Equal scores: 200 / sqrt(x1) = 100 / sqrt(x2), so x1 = 4 x2.
    assert best_worst(laws, limits) == pytest.approx([24_000.0, 6_000.0], rel=1e-12)


def test_the_worst_score_is_best_where_levels_are_equal() -> None:
    generator = np.random.default_rng(11)
    for _ in range(50):
        laws, _, limits = _problem(generator, 6)
        pairs = best_worst(laws, limits)
        spent = float(np.sum(pairs * limits.costs))
        assert spent <= limits.budget * (1 + 1e-9)
        scores = laws.scores(pairs)
        between = (pairs > limits.lower * (1 + 1e-9)) & (pairs < limits.caps * (1 - 1e-9))
        if between.any():
            assert spent == pytest.approx(limits.budget, rel=1e-9)
            assert scores[between] == pytest.approx(scores[between].mean(), abs=1e-6)
        # No other split that keeps to the bounds has a better worst score.
        for _ in range(200):
            other = spread(generator.dirichlet(np.ones(6)), limits, surplus=True).clip(limits.lower)
            if np.sum(other * limits.costs) <= limits.budget:
                assert laws.scores(other).min() <= scores.min() + 1e-7


def test_a_stack_of_fits_is_each_fit() -> None:
    generator = np.random.default_rng(1)
    laws, weights, limits = _problem(generator, 5)
    stack = Laws(
        log_alpha=laws.log_alpha + generator.normal(0, 0.1, (30, 5)),
        beta=laws.beta * np.exp(generator.normal(0, 0.1, (30, 5))),
        ceiling=np.broadcast_to(laws.ceiling, (30, 5)),
    )

    def mean(each: Laws) -> FloatArray:
        return best_mean(each, weights, limits)

    def worst(each: Laws) -> FloatArray:
        return best_worst(each, limits)

    for solve in (mean, worst):
        together = solve(stack)
        for row in range(30):
            one = Laws(log_alpha=stack.log_alpha[row], beta=stack.beta[row], ceiling=stack.ceiling[row])
            assert together[row] == pytest.approx(solve(one), rel=1e-9)


def test_a_hundred_languages_take_milliseconds() -> None:
    laws, weights, limits = _problem(np.random.default_rng(2), 100)
    times = []
    for _ in range(10):
        begun = time.perf_counter()
        best_mean(laws, weights, limits)
        times.append(time.perf_counter() - begun)
    assert min(times) < 0.05


def test_a_language_of_no_weight_gets_its_minimum() -> None:
    laws = Laws(log_alpha=np.log([200.0, 200.0]), beta=np.array([0.5, 0.5]), ceiling=np.array([80.0, 80.0]))
    limits = AllocationLimits(budget=1_000.0, costs=np.ones(2), lower=np.array([50.0, 0.0]), upper=np.full(2, np.inf))
    assert best_mean(laws, np.array([0.0, 1.0]), limits) == pytest.approx([50.0, 950.0])


def test_bounds_that_cannot_be_kept() -> None:
    limits = AllocationLimits(budget=99.0, costs=np.ones(2), lower=np.full(2, 50.0), upper=np.full(2, 100.0))
    with pytest.raises(UsageError, match="100 together, more than the budget"):
        limits.check()


@pytest.mark.parametrize(
    ("weights", "surplus", "expected"),
    [
        # UniMax (Chung et al. 2023): 10 is full at 10, of the other 290 each takes 145, of which 120 are there.
        ([1.0, 1.0, 1.0], True, [10.0, 120.0, 170.0]),
        ([1.0, 1.0, 1.0], False, [10.0, 100.0, 100.0]),
        ([10.0, 120.0, 1000.0], False, [300 * 10 / 1130, 300 * 120 / 1130, 300 * 1000 / 1130]),
    ],
)
def test_usual_splits(weights: list[float], surplus: bool, expected: list[float]) -> None:
    upper = np.array([10.0, 120.0, 1000.0])
    limits = AllocationLimits(budget=300.0, costs=np.ones(3), lower=np.zeros(3), upper=upper)
    assert spread(np.array(weights), limits, surplus=surplus) == pytest.approx(expected)


def test_rows_sum_to_the_budget() -> None:
    generator = np.random.default_rng(4)
    for _ in range(100):
        laws, weights, limits = _problem(generator, 7)
        whole = AllocationLimits(
            budget=float(round(limits.budget / limits.costs.mean())),
            costs=np.ones(7),
            lower=np.floor(limits.lower),
            upper=np.floor(limits.upper),
        )
        rows = round_to_rows(best_mean(laws, weights, whole), whole)
        assert sum(rows) == min(whole.budget, whole.upper.sum())
        assert (np.array(rows) >= whole.lower).all()
        assert (np.array(rows) <= whole.upper).all()


def test_rows_of_a_token_budget_never_overspend() -> None:
    generator = np.random.default_rng(6)
    for _ in range(100):
        laws, weights, limits = _problem(generator, 5)
        limits = AllocationLimits(
            budget=round(limits.budget), costs=limits.costs * 1.37, lower=np.zeros(5), upper=np.floor(limits.upper)
        )
        rows = np.array(round_to_rows(best_mean(laws, weights, limits), limits))
        spent = float(np.sum(rows * limits.costs))
        assert spent <= limits.budget + 1e-6
        assert spent > limits.budget - limits.costs.max() or (rows == limits.upper).all()
