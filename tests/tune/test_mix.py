"""The solver: amounts worked out by hand, water filling against a bisection, and what holds for any mix."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from xlingual.errors import DataError
from xlingual.tune.mix import Stock, draws_per_row, fill, permute, round_parts, solve
from xlingual.tune.records import Amount, Budget, SourceUse, Unit

SETTINGS = settings(max_examples=200, deadline=None, derandomize=True)


def stock(unit: Unit, value: float | None, rows: int, *, tokens: int = 10, max_epochs: float = 1.0) -> Stock:
    use = SourceUse(
        name=f"s{rows}", reader="alpaca", path="x", language="en", direction=None, columns=(),
        amount=Amount(unit=unit, value=value), max_epochs=max_epochs,
    )  # fmt: skip
    return Stock(use, np.full(rows, tokens, dtype=np.int64))


def rows_budget(rows: int) -> Budget:
    return Budget(rows=rows, tokens=None)


@pytest.mark.parametrize(
    ("stocks", "budget", "draws"),
    [
        ([stock(Unit.ALL, None, 7)], None, [7]),
        ([stock(Unit.ROWS, 5, 7), stock(Unit.TOKENS, 49, 7)], None, [5, 4]),
        ([stock(Unit.ROWS, 10, 7, max_epochs=1.5)], None, [10]),
        ([stock(Unit.TOKENS, 105, 7, max_epochs=2)], None, [10]),
        # 3 + 12% of 100 + the rest; thirds of a row go to the first of equals.
        ([stock(Unit.ALL, None, 3), stock(Unit.SHARE, 12, 50), stock(Unit.REST, 1, 90)], rows_budget(100), [3, 12, 85]),
        ([stock(Unit.SHARE, 100 / 3, 50)] * 3, rows_budget(100), [34, 33, 33]),
        # Proportional: 40 rows among 10, 30 and 60 would be 4, 12, 24; to the power 0 it is equal shares.
        ([stock(Unit.REST, 1, each) for each in (10, 30, 60)], rows_budget(40), [4, 12, 24]),
        ([stock(Unit.REST, 0, each) for each in (10, 30, 60)], rows_budget(27), [9, 9, 9]),
        # UniMax: a budget of 90 in equal parts of 30; the source of 10 gives its 10, the surplus is shared: 40 and 40.
        ([stock(Unit.REST, 0, each) for each in (10, 50, 60)], rows_budget(90), [10, 40, 40]),
        # Caps in a chain: parts of 40, then 45, then all that is left.
        ([stock(Unit.REST, 0, each) for each in (30, 42, 100)], rows_budget(120), [30, 42, 48]),
        ([stock(Unit.REST, 0, each, max_epochs=4) for each in (10, 50)], rows_budget(100), [40, 60]),
        # A square root: 10 : 20, of 60 rows 20 and 40.
        ([stock(Unit.REST, 0.5, each) for each in (100, 400)], rows_budget(60), [20, 40]),
        # Tokens: rows of 10 and of 20 tokens; 25% and the rest of 1,000 tokens.
        (
            [stock(Unit.SHARE, 25, 90), stock(Unit.REST, 1, 90, tokens=20)],
            Budget(rows=None, tokens=1000),
            [25, 37],
        ),
    ],
)  # fmt: skip
def test_by_hand(stocks: list[Stock], budget: Budget | None, draws: list[int]) -> None:
    assert solve(stocks, budget) == draws


@pytest.mark.parametrize(
    ("stocks", "budget", "error"),
    [
        ([stock(Unit.ROWS, 8, 7)], None, "8 rows are asked for, and it has 7"),
        ([stock(Unit.TOKENS, 71, 7)], None, "71 tokens are asked for, and it has 70"),
        ([stock(Unit.TOKENS, 9, 7)], None, "does not hold a single row"),
        ([stock(Unit.ALL, None, 0)], None, "no row is left to learn from"),
        ([stock(Unit.ALL, None, 7)], rows_budget(6), "the sources take 7 rows, and the budget is 6"),
        ([stock(Unit.ALL, None, 7), stock(Unit.REST, 1, 9)], rows_budget(7), "the sources take 7 rows"),
        ([stock(Unit.ALL, None, 7)], rows_budget(9), "the sources make 7 of 9 rows"),
        ([stock(Unit.SHARE, 50, 7)], rows_budget(10), "the sources make 5 of 10 rows"),
        ([stock(Unit.SHARE, 50, 7)], rows_budget(100), "50 rows are asked for, and it has 7"),
        ([stock(Unit.REST, 1, 7, max_epochs=2)], rows_budget(15), "15 rows are left for s7, which have 14"),
    ],
)
def test_refusals(stocks: list[Stock], budget: Budget | None, error: str) -> None:
    with pytest.raises(DataError, match=error):
        solve(stocks, budget)


def bisect_level(total: float, weights: list[float], caps: list[float]) -> list[float]:
    """The same by another road: the level at which the capped parts make the total."""
    low, high = 0.0, max(cap / weight for cap, weight in zip(caps, weights, strict=True))
    for _ in range(200):
        middle = (low + high) / 2
        whole = sum(min(cap, middle * weight) for cap, weight in zip(caps, weights, strict=True))
        low, high = (middle, high) if whole < total else (low, middle)
    return [min(cap, high * weight) for cap, weight in zip(caps, weights, strict=True)]


def weights_of(stocks: list[Stock]) -> list[float]:
    return [float(each.rows) ** (each.use.amount.value or 0) for each in stocks]


sizes = st.lists(st.tuples(st.integers(1, 10_000), st.floats(0.5, 4)), min_size=1, max_size=8)


@SETTINGS
@given(sizes, st.floats(0, 1), st.floats(0.01, 1))
def test_water_filling_is_that_of_a_bisection(pairs: list[tuple[int, float]], power: float, part: float) -> None:
    weights = [rows**power for rows, _ in pairs]
    caps = [rows * epochs for rows, epochs in pairs]
    total = part * sum(caps)
    assert fill(total, weights, caps) == pytest.approx(bisect_level(total, weights, caps), rel=1e-6, abs=1e-6)


@SETTINGS
@given(sizes, st.floats(0, 1), st.floats(0.3, 1))
def test_a_budget_is_met_exactly(pairs: list[tuple[int, float]], power: float, part: float) -> None:
    stocks = [stock(Unit.REST, power, rows, max_epochs=epochs) for rows, epochs in pairs]
    most = sum(each.most_rows for each in stocks)
    budget = max(int(part * most), 1)
    assume(most > 0)
    try:
        draws = solve(stocks, rows_budget(budget))
    except DataError:
        parts = fill(float(budget), weights_of(stocks), [float(each.most_rows) for each in stocks])
        assume(min(parts) >= 1)  # a part of less than a row is refused
        raise
    assert sum(draws) == budget
    assert all(count <= each.most_rows for count, each in zip(draws, stocks, strict=True))


@SETTINGS
@given(st.lists(st.floats(0, 50), min_size=1, max_size=9))
def test_whole_parts_have_the_sum(parts: list[float]) -> None:
    whole = round_parts(parts, [100.0] * len(parts))
    assert sum(whole) == round(sum(parts))
    assert all(abs(got - wanted) < 1 + 1e-6 for got, wanted in zip(whole, parts, strict=True))


def test_draws_of_rows_differ_by_one_at_most() -> None:
    assert draws_per_row(7, 3).tolist() == [3, 2, 2]
    assert draws_per_row(2, 3).tolist() == [1, 1, 0]


def test_orders_are_of_the_seed_and_the_name() -> None:
    assert permute(50, 1, "a").tolist() == permute(50, 1, "a").tolist()
    assert sorted(permute(50, 1, "a").tolist()) == list(range(50))
    assert len({tuple(permute(50, seed, name).tolist()) for seed in (1, 2) for name in ("a", "b")}) == 4
