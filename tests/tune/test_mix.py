"""The mixture: draws computed by hand, water filling against a bisection, and properties of any mixture."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from xlingual.errors import DataError
from xlingual.tune.mix import (
    AvailableRows,
    draws_per_row,
    round_parts,
    sampling_permutation,
    solve_mixture,
    water_fill,
)
from xlingual.tune.recipe_records import Amount, Budget, SourceUse, Unit

SETTINGS = settings(max_examples=200, deadline=None, derandomize=True)


def rows_of(unit: Unit, value: float | None, rows: int, *, tokens: int = 10, max_epochs: float = 1.0) -> AvailableRows:
    use = SourceUse(
        name=f"s{rows}", reader="alpaca", path="x", language="en", direction=None, columns=(),
        amount=Amount(unit=unit, value=value), max_epochs=max_epochs,
    )  # fmt: skip
    return AvailableRows(use, np.full(rows, tokens, dtype=np.int64))


def rows_budget(rows: int) -> Budget:
    return Budget(rows=rows, tokens=None)


@pytest.mark.parametrize(
    ("sources", "budget", "draws"),
    [
        ([rows_of(Unit.ALL, None, 7)], None, [7]),
        ([rows_of(Unit.ROWS, 5, 7), rows_of(Unit.TOKENS, 49, 7)], None, [5, 4]),
        ([rows_of(Unit.ROWS, 10, 7, max_epochs=1.5)], None, [10]),
        ([rows_of(Unit.TOKENS, 105, 7, max_epochs=2)], None, [10]),
        # 3 + 12% of 100 + the rest; thirds of a row go to the first of equals.
        (
            [rows_of(Unit.ALL, None, 3), rows_of(Unit.SHARE, 12, 50), rows_of(Unit.REST, 1, 90)],
            rows_budget(100),
            [3, 12, 85],
        ),
        ([rows_of(Unit.SHARE, 100 / 3, 50)] * 3, rows_budget(100), [34, 33, 33]),
        # Proportional: 40 rows among 10, 30 and 60 would be 4, 12, 24; to the power 0 it is equal shares.
        ([rows_of(Unit.REST, 1, each) for each in (10, 30, 60)], rows_budget(40), [4, 12, 24]),
        ([rows_of(Unit.REST, 0, each) for each in (10, 30, 60)], rows_budget(27), [9, 9, 9]),
        # UniMax: a budget of 90 in equal parts of 30; the source of 10 gives its 10, the surplus is shared: 40 and 40.
        ([rows_of(Unit.REST, 0, each) for each in (10, 50, 60)], rows_budget(90), [10, 40, 40]),
        # Caps in a chain: parts of 40, then 45, then all that is left.
        ([rows_of(Unit.REST, 0, each) for each in (30, 42, 100)], rows_budget(120), [30, 42, 48]),
        ([rows_of(Unit.REST, 0, each, max_epochs=4) for each in (10, 50)], rows_budget(100), [40, 60]),
        # A square root: 10 : 20, of 60 rows 20 and 40.
        ([rows_of(Unit.REST, 0.5, each) for each in (100, 400)], rows_budget(60), [20, 40]),
        # Tokens: rows of 10 and of 20 tokens; 25% and the rest of 1,000 tokens.
        (
            [rows_of(Unit.SHARE, 25, 90), rows_of(Unit.REST, 1, 90, tokens=20)],
            Budget(rows=None, tokens=1000),
            [25, 37],
        ),
    ],
)  # fmt: skip
def test_draws_by_hand(sources: list[AvailableRows], budget: Budget | None, draws: list[int]) -> None:
    assert solve_mixture(sources, budget) == draws


@pytest.mark.parametrize(
    ("sources", "budget", "error"),
    [
        ([rows_of(Unit.ROWS, 8, 7)], None, "8 rows are asked for, and it has 7"),
        ([rows_of(Unit.TOKENS, 71, 7)], None, "71 tokens are asked for, and it has 70"),
        ([rows_of(Unit.TOKENS, 9, 7)], None, "does not hold a single row"),
        ([rows_of(Unit.ALL, None, 0)], None, "no row is left to learn from"),
        ([rows_of(Unit.ALL, None, 7)], rows_budget(6), "the sources take 7 rows, and the budget is 6"),
        ([rows_of(Unit.ALL, None, 7), rows_of(Unit.REST, 1, 9)], rows_budget(7), "the sources take 7 rows"),
        ([rows_of(Unit.ALL, None, 7)], rows_budget(9), "the sources make 7 of 9 rows"),
        ([rows_of(Unit.SHARE, 50, 7)], rows_budget(10), "the sources make 5 of 10 rows"),
        ([rows_of(Unit.SHARE, 50, 7)], rows_budget(100), "50 rows are asked for, and it has 7"),
        ([rows_of(Unit.REST, 1, 7, max_epochs=2)], rows_budget(15), "15 rows are left for s7, which have 14"),
        (
            [replace(rows_of(Unit.REST, 1, 7), held_out=2)],
            rows_budget(8),
            "8 rows are left for s7, which have 7 without 2 held out",
        ),
        ([replace(rows_of(Unit.ALL, None, 7), held_out=2)], rows_budget(9), "make 7 of 9 rows without 2 held out"),
        (
            [replace(rows_of(Unit.ALL, None, 0), held_out=2)],
            None,
            "no row is left to learn from: 2 are held out, or say the same",
        ),
    ],
)
def test_amounts_that_cannot_be_met(sources: list[AvailableRows], budget: Budget | None, error: str) -> None:
    with pytest.raises(DataError, match=error):
        solve_mixture(sources, budget)


def bisect_level(total: float, weights: list[float], caps: list[float]) -> list[float]:
    """The same computed another way: the level at which the capped parts make the total."""
    low, high = 0.0, max(cap / weight for cap, weight in zip(caps, weights, strict=True))
    for _ in range(200):
        middle = (low + high) / 2
        whole = sum(min(cap, middle * weight) for cap, weight in zip(caps, weights, strict=True))
        low, high = (middle, high) if whole < total else (low, middle)
    return [min(cap, high * weight) for cap, weight in zip(caps, weights, strict=True)]


def weights_of(sources: list[AvailableRows]) -> list[float]:
    return [float(each.rows) ** (each.use.amount.value or 0) for each in sources]


sizes = st.lists(st.tuples(st.integers(1, 10_000), st.floats(0.5, 4)), min_size=1, max_size=8)


@SETTINGS
@given(sizes, st.floats(0, 1), st.floats(0.01, 1))
def test_water_filling_is_that_of_a_bisection(pairs: list[tuple[int, float]], power: float, part: float) -> None:
    weights = [rows**power for rows, _ in pairs]
    caps = [rows * epochs for rows, epochs in pairs]
    total = part * sum(caps)
    assert water_fill(total, weights, caps) == pytest.approx(bisect_level(total, weights, caps), rel=1e-6, abs=1e-6)


@SETTINGS
@given(sizes, st.floats(0, 1), st.floats(0.3, 1))
def test_a_budget_is_met_exactly(pairs: list[tuple[int, float]], power: float, part: float) -> None:
    sources = [rows_of(Unit.REST, power, rows, max_epochs=epochs) for rows, epochs in pairs]
    most = sum(each.max_draws for each in sources)
    budget = max(int(part * most), 1)
    assume(most > 0)
    try:
        draws = solve_mixture(sources, rows_budget(budget))
    except DataError:
        parts = water_fill(float(budget), weights_of(sources), [float(each.max_draws) for each in sources])
        assume(min(parts) >= 1)  # a part of less than a row is refused
        raise
    assert sum(draws) == budget
    assert all(count <= each.max_draws for count, each in zip(draws, sources, strict=True))


@SETTINGS
@given(st.lists(st.floats(0, 50), min_size=1, max_size=9))
def test_whole_parts_have_the_sum(parts: list[float]) -> None:
    whole = round_parts(parts, [100.0] * len(parts))
    assert sum(whole) == round(sum(parts))
    assert all(abs(got - wanted) < 1 + 1e-6 for got, wanted in zip(whole, parts, strict=True))


def test_draws_of_rows_differ_by_one_at_most() -> None:
    assert draws_per_row(7, 3).tolist() == [3, 2, 2]
    assert draws_per_row(2, 3).tolist() == [1, 1, 0]


@SETTINGS
@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=30),
    st.sampled_from([Unit.ROWS, Unit.TOKENS]),
    st.lists(st.floats(0, 1), min_size=2, max_size=2),
    st.sampled_from([1.0, 1.5, 3.0]),
)
def test_a_larger_amount_holds_a_smaller_one(
    lengths: list[int], unit: Unit, parts: list[float], max_epochs: float
) -> None:
    """Each row of a source is drawn at least as often; rows lie in the order in which they are sampled."""
    whole = replace(rows_of(unit, 1.0, 1, max_epochs=max_epochs), lengths=np.array(lengths, dtype=np.int64))
    most = whole.max_draws if unit is Unit.ROWS else whole.max_tokens
    found = []
    for part in sorted(parts):
        value = max(float(lengths[0]) if unit is Unit.TOKENS else 1.0, float(int(part * most)))  # one row at least
        use = replace(whole.use, amount=Amount(unit=unit, value=value))
        [draws] = solve_mixture([replace(whole, use=use)], None)
        found.append(draws_per_row(draws, len(lengths)))
    assert (found[1] >= found[0]).all()


def test_sampling_order_depends_on_seed_and_name() -> None:
    assert sampling_permutation(50, 1, "a").tolist() == sampling_permutation(50, 1, "a").tolist()
    assert sorted(sampling_permutation(50, 1, "a").tolist()) == list(range(50))
    assert len({tuple(sampling_permutation(50, seed, name).tolist()) for seed in (1, 2) for name in ("a", "b")}) == 4
