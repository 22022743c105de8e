"""Fits that hold nothing say so, and splits by them get no verdict."""

import pytest

from xlingual.scaling.budget import BudgetOptions, allocate
from xlingual.scaling.doubts import doubts_of
from xlingual.scaling.fit import FitOptions, fit_laws
from xlingual.scaling.records import LawFit
from xlingual.scaling.tables import allocation_tables

from .simulation import SIZES, TRUTHS, Truth, make_point, simulate

QUICK = FitOptions(resamples=100, test_largest=False)


def fit_of(scores: dict[str, tuple[float, ...]]) -> LawFit:
    """Return the fit of scores at SIZES, two models each."""
    points = [
        make_point(code, pairs, score + (0.0 if min(row) == max(row) else 0.1 * seed), seed=seed)
        for code, row in scores.items()
        for pairs, score in zip(SIZES, row, strict=True)
        for seed in (0, 1)
    ]
    return fit_laws(points, QUICK)


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        ((0.0, 0.0, 0.0, 0.0), "all 8 scores are 0.0: nothing to fit"),
        ((31.5, 31.5, 31.5, 31.5), "all 8 scores are 31.5: nothing to fit"),
        ((20.0, 14.0, 9.0, 4.0), "scores fall with more data, from 20.1 at 1,000 to 4.0 at 64,000 pairs"),
        ((9.0, 9.2, 8.6, 8.9), "scores fall with more data"),
    ],
)
def test_what_holds_nothing(scores: tuple[float, ...], words: str) -> None:
    fit = fit_of({"zh": scores, "tr": (10.0, 20.0, 28.0, 34.0)})
    doubts = doubts_of(fit)
    assert any(words in line for line in doubts), doubts
    assert all(line.startswith("zh: ") for line in doubts), doubts
    found = allocate(fit, BudgetOptions(budget=30_000))
    assert found.doubts == doubts
    shares, rivals = allocation_tables(found)
    assert "no prediction" in shares.title
    assert {row[-1] for row in rivals.rows} == {"no verdict"}
    assert not any("ahead" in cell for row in rivals.rows for cell in row)


def test_models_that_score_less_than_the_untuned_one_have_no_law() -> None:
    """Their ceiling lies below the floor, and so would predictions, whatever R2 is."""
    points = [make_point("zh", 0, 45.0, seed=0)]
    points += [
        make_point("zh", pairs, 20.0 + place + 0.1 * seed, seed=seed)
        for place, pairs in enumerate(SIZES)
        for seed in (0, 1)
    ]
    fit = fit_laws(points, QUICK)
    [law] = fit.laws
    assert law.floor == 45.0
    assert law.ceiling.value < law.floor
    [line] = doubts_of(fit)
    assert "the untuned model scores 45.0: not this law" in line
    assert allocate(fit, BudgetOptions(budget=30_000)).doubts[0] == line


def test_saturating_points_and_a_tiny_budget_predict_no_score_below_0() -> None:
    truths = {"zh": Truth(20.0, 0.9, 40.0), "ar": Truth(20.0, 0.9, 42.0)}
    found = allocate(fit_laws(simulate(truths, noise=0.05), QUICK), BudgetOptions(budget=2))
    assert any("which is no score" in line for line in found.doubts)
    shares, rivals = allocation_tables(found)
    assert not any(
        "-" in cell and cell.lstrip().startswith("-") for row in (*shares.rows, *rivals.rows) for cell in row
    )
    assert {row[-1] for row in rivals.rows} == {"no verdict"}


def test_good_laws_are_not_doubted() -> None:
    fit = fit_laws(simulate(TRUTHS, noise=0.3), QUICK)
    assert doubts_of(fit) == ()
    found = allocate(fit, BudgetOptions(budget=60_000))
    assert found.doubts == ()
    assert "predicted" in allocation_tables(found)[0].title
