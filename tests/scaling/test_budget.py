"""Allocations: shares with intervals, the lead over other splits and whether it is more than noise."""

from dataclasses import replace

import numpy as np
import pytest

from xlingual.errors import UsageError
from xlingual.scaling.budget import BudgetOptions, Goal, allocate
from xlingual.scaling.fit import FitOptions, fit_laws
from xlingual.scaling.laws import Ties
from xlingual.scaling.points import SizeUnit
from xlingual.scaling.records import LawFit

from .simulation import Truth, simulate

AVAILABLE = {"zh": 900_000, "ar": 1_000_000, "hi": 50_000}
OPTIONS = FitOptions(resamples=400, alpha=Ties.OWN, beta=Ties.OWN, test_largest=False)


@pytest.fixture(scope="module")
def fit() -> LawFit:
    truths = {"zh": Truth(6.0, 0.5, 60.0), "ar": Truth(30.0, 0.25, 70.0), "hi": Truth(15.0, 0.4, 55.0)}
    return fit_laws(simulate(truths, noise=0.3), OPTIONS)


def test_rows_sum_to_the_budget_and_lie_in_their_intervals(fit: LawFit) -> None:
    found = allocate(fit, BudgetOptions(budget=400_000, available=AVAILABLE))
    assert sum(share.rows for share in found.shares) == 400_000
    by_code = {share.language: share for share in found.shares}
    assert by_code["hi"].rows == 50_000
    assert by_code["hi"].limit == "upper"
    assert by_code["ar"].rows > by_code["zh"].rows > 0
    for share in found.shares:
        assert share.low is not None
        assert share.high is not None
        assert share.low <= share.rows <= share.high
        assert share.tokens == 20 * share.rows
        assert share.available == AVAILABLE[share.language]
        assert share.extrapolated == (not 1_000 <= share.rows <= 64_000)


def test_the_lead_is_that_of_the_fitted_laws_and_is_judged_over_the_draws(fit: LawFit) -> None:
    found = allocate(fit, BudgetOptions(budget=400_000, available=AVAILABLE))
    assert [rival.name for rival in found.rivals] == ["uniform", "proportional", "temperature 0.3", "UniMax"]
    for rival in found.rivals:
        assert rival.gain.value == pytest.approx(found.score.value - rival.score, abs=1e-12)
        assert rival.gain.value >= -1e-6
        assert sum(rival.rows) <= 400_000
    uniform, proportional, _, unimax = found.rivals
    assert uniform.rows == (133_334, 133_333, 50_000)
    assert unimax.rows == (175_000, 175_000, 50_000)
    assert proportional.rows == pytest.approx([400_000 * size / 1_950_000 for size in AVAILABLE.values()], abs=1)
    assert proportional.certain


def test_a_lead_over_an_equal_split_of_equal_laws_is_noise() -> None:
    truths = {code: Truth(20.0, 0.3, 60.0) for code in ("zh", "ar", "hi")}
    certain = 0
    for seed in range(10):
        points = simulate(truths, noise=0.5, generator=np.random.default_rng(seed))
        found = allocate(fit_laws(points, OPTIONS), BudgetOptions(budget=60_000))
        certain += found.rivals[0].certain
    assert certain <= 2


def test_worst_and_weights(fit: LawFit) -> None:
    worst = allocate(fit, BudgetOptions(budget=100_000, goal=Goal.WORST))
    scores = [share.score.value for share in worst.shares]
    assert max(scores) - min(scores) < 0.01
    assert worst.score.value == pytest.approx(min(scores))
    mean = allocate(fit, BudgetOptions(budget=100_000))
    assert min(share.score.value for share in mean.shares) < worst.score.value
    weighted = allocate(fit, BudgetOptions(budget=100_000, weights={"hi": 5.0}))
    assert weighted.shares[2].rows > mean.shares[2].rows


def test_budgets_in_tokens(fit: LawFit) -> None:
    dear = {"zh": 20.0, "ar": 20.0, "hi": 60.0}
    cheap = allocate(fit, BudgetOptions(budget=2_000_000, unit=SizeUnit.TOKENS))
    found = allocate(fit, BudgetOptions(budget=2_000_000, unit=SizeUnit.TOKENS, tokens_per_pair=dear))
    assert found.shares[2].rows < cheap.shares[2].rows
    assert 2_000_000 - 60 < sum(share.tokens or 0 for share in found.shares) <= 2_000_000
    same = allocate(fit, BudgetOptions(budget=100_000))
    assert [share.rows for share in cheap.shares] == pytest.approx([share.rows for share in same.shares], abs=2)


def test_a_law_of_tokens_allocates_as_one_of_pairs() -> None:
    points = simulate(noise=0.3)
    laws = [fit_laws(points, replace(OPTIONS, ceiling=Ties.OWN, unit=unit)) for unit in SizeUnit]
    first, second = ([share.rows for share in allocate(law, BudgetOptions(budget=90_000)).shares] for law in laws)
    assert first == pytest.approx(second, rel=1e-3)


def test_more_budget_than_data_is_said(fit: LawFit) -> None:
    found = allocate(fit, BudgetOptions(budget=10_000_000, available=AVAILABLE))
    assert [share.rows for share in found.shares] == list(AVAILABLE.values())
    assert "8,050,000 pairs are left: there is no more data" in found.notes
    repeated = allocate(fit, BudgetOptions(budget=10_000_000, available=AVAILABLE, max_epochs=4.0))
    assert [share.rows for share in repeated.shares] == [4 * count for count in AVAILABLE.values()]


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (BudgetOptions(budget=100, at_least=50), "what every language must get is 150 together"),
        (BudgetOptions(budget=100, available={"tr": 5}), "--available: no law of 'tr'"),
        (BudgetOptions(budget=100, weights={"zh": 0.0, "ar": 0.0, "hi": 0.0}), "--weight: all weights are 0"),
    ],
)
def test_what_cannot_be_allocated(fit: LawFit, options: BudgetOptions, what: str) -> None:
    with pytest.raises(UsageError) as caught:
        allocate(fit, options)
    assert what in str(caught.value)


def test_tokens_that_nobody_counted() -> None:
    points = [replace(point, tokens=None) for point in simulate()]
    with pytest.raises(UsageError) as caught:
        allocate(fit_laws(points, OPTIONS), BudgetOptions(budget=1_000, unit=SizeUnit.TOKENS))
    assert "the tokens of a pair in zh are not known" in str(caught.value)


def test_with_at_least_one_row_no_language_of_a_drawn_split_is_without() -> None:
    """The hint of a split that no recipe can have: some of these give a language nothing without it."""
    assert sum(_fewest_rows(seed, at_least=0) == 0 for seed in range(12)) > 2
    assert all(_fewest_rows(seed, at_least=1) >= 1 for seed in range(12))


def _fewest_rows(seed: int, *, at_least: int) -> int:
    chance = np.random.Generator(np.random.PCG64(seed))
    codes = ("zh", "ar", "hi", "tr")
    truths = {
        code: Truth(float(chance.uniform(0.01, 40)), float(chance.uniform(0.05, 1.5)), float(chance.uniform(41, 90)))
        for code in codes
    }
    fitted = fit_laws(simulate(truths, noise=0.3), replace(OPTIONS, resamples=20))
    budget = int(chance.integers(4, 2000))
    available = {code: int(chance.integers(1, 500)) for code in codes}
    weights = {code: float(chance.choice([0.0, 1.0])) for code in codes[1:]}
    found = allocate(fitted, BudgetOptions(budget=budget, available=available, weights=weights, at_least=at_least))
    assert all(share.rows <= available[share.language] for share in found.shares)
    assert sum(share.rows for share in found.shares) <= budget
    return min(share.rows for share in found.shares)
