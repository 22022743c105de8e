"""From amounts to rows: how often each row of each source comes in one epoch of the mix; exact in whole numbers.

The rows of a source are taken in the order of a seeded permutation, so that a larger amount holds a smaller one.
`rest` shares what the others leave of the budget in proportion to rows to a power, no source more than its epochs
allow; what a capped source cannot take goes to the others, as in UniMax (Chung et al. 2023, arXiv 2304.09151).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import DataError
from .records import Budget, IntArray, SourceUse, Unit

if TYPE_CHECKING:
    pass

_EPSILON = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Stock:
    """What a source has to give."""

    use: SourceUse
    lengths: IntArray
    """Tokens of each usable row, in the order in which rows are taken."""

    @property
    def rows(self) -> int:
        """Usable rows."""
        return len(self.lengths)

    @property
    def most_rows(self) -> int:
        """Draws that the source's epochs allow."""
        return int(self.rows * self.use.max_epochs + _EPSILON)

    def tokens_of(self, draws: int) -> int:
        """Tokens of the first `draws` draws, which go through the rows again and again."""
        rounds, rest = divmod(draws, self.rows)
        return rounds * int(self.lengths.sum()) + int(self.lengths[:rest].sum())

    def draws_within(self, tokens: float) -> int:
        """Most draws that hold no more than `tokens`."""
        import numpy as np  # noqa: PLC0415 - the command line stays light

        total = int(self.lengths.sum())
        rounds = int(tokens // total) if total else 0
        ends = np.cumsum(self.lengths)
        return rounds * self.rows + int(np.searchsorted(ends, tokens - rounds * total, side="right"))


def solve(stocks: Sequence[Stock], budget: Budget | None) -> list[int]:
    """Return the draws of each source in one epoch; DataError where a source or the budget cannot be met."""
    for stock in stocks:
        if stock.rows == 0:
            raise DataError("no row is left to learn from", where=f"source {stock.use.name}")
    draws = {place: _fixed(stock) for place, stock in enumerate(stocks) if stock.use.amount.unit in _FIXED}
    if budget is not None:
        size = budget.rows if budget.rows is not None else budget.tokens or 0
        _take_shares(stocks, draws, size, in_tokens=budget.tokens is not None)
        _take_rest(stocks, draws, size, in_tokens=budget.tokens is not None)
    return [draws[place] for place in range(len(stocks))]


def draws_per_row(draws: int, rows: int) -> IntArray:
    """Return how often each of `rows` rows comes, the first ones once more where `draws` is no multiple."""
    import numpy as np  # noqa: PLC0415 - the command line stays light

    counts = np.full(rows, draws // rows, dtype=np.int64)
    counts[: draws % rows] += 1
    return counts


def permute(rows: int, seed: int, name: str) -> IntArray:
    """Return the order in which the rows of the source `name` are taken: the same for any amount."""
    import numpy as np  # noqa: PLC0415 - the command line stays light

    return np.random.default_rng([seed, *name.encode("utf-8")]).permutation(rows)


_FIXED = (Unit.ALL, Unit.ROWS, Unit.TOKENS)


def _fixed(stock: Stock) -> int:
    amount = stock.use.amount
    if amount.unit is Unit.ALL or amount.value is None:
        return stock.rows
    if amount.unit is Unit.ROWS:
        draws = int(amount.value)
    else:
        if amount.value > _most_tokens(stock) + _EPSILON:
            raise _too_much(stock, f"{amount.value:,.0f} tokens", f"{_most_tokens(stock):,}")
        draws = stock.draws_within(amount.value)
    return _checked(stock, draws)


def _checked(stock: Stock, draws: int) -> int:
    if draws > stock.most_rows:
        raise _too_much(stock, f"{draws:,} rows", f"{stock.most_rows:,}")
    if draws < 1:
        raise DataError(
            "the amount does not hold a single row", where=f"source {stock.use.name}", hint="give it more, or leave it"
        )
    return draws


def _most_tokens(stock: Stock) -> int:
    return stock.tokens_of(stock.most_rows)


def _too_much(stock: Stock, wanted: str, most: str) -> DataError:
    epochs = stock.use.max_epochs
    return DataError(
        f"{wanted} are asked for, and it has {most} (usable rows: {stock.rows:,}, at most {epochs:g} epochs)",
        where=f"source {stock.use.name}",
        hint="ask for less, or raise max_epochs",
    )


def _take_shares(stocks: Sequence[Stock], draws: dict[int, int], size: int, *, in_tokens: bool) -> None:
    """Give each share its part of the budget; the parts of rows add up as the percentages do."""
    places = [place for place, stock in enumerate(stocks) if stock.use.amount.unit is Unit.SHARE]
    exact = [size * (stocks[place].use.amount.value or 0) / 100 for place in places]
    parts = exact if in_tokens else [float(part) for part in round_parts(exact, [size] * len(exact))]
    for place, part in zip(places, parts, strict=True):
        stock = stocks[place]
        if in_tokens and part > _most_tokens(stock) + _EPSILON:
            raise _too_much(stock, f"{part:,.0f} tokens", f"{_most_tokens(stock):,}")
        draws[place] = _checked(stock, stock.draws_within(part) if in_tokens else int(part))


def _take_rest(stocks: Sequence[Stock], draws: dict[int, int], size: int, *, in_tokens: bool) -> None:
    """Share out what is left of the budget; DataError where the mix would not come to the budget's size."""
    unit = "tokens" if in_tokens else "rows"
    taken = sum(stocks[place].tokens_of(count) if in_tokens else count for place, count in draws.items())
    places = [place for place, stock in enumerate(stocks) if stock.use.amount.unit is Unit.REST]
    left = size - taken
    slack = _slack(stocks, draws) if in_tokens else 0
    if left < 0 or (places and left == 0):
        raise DataError(
            f"the sources take {taken:,} {unit}, and the budget is {size:,}", where="budget", hint="raise the budget"
        )
    if not places:
        if left > slack:
            what = f"the sources make {taken:,} of {size:,} {unit}"
            raise DataError(what, where="budget", hint='let a source use "rest", or lower the budget')
        return
    rest = [stocks[place] for place in places]
    caps = [float(_most_tokens(stock) if in_tokens else stock.most_rows) for stock in rest]
    weights = [float(stock.rows) ** (stock.use.amount.value or 0) for stock in rest]
    if sum(caps) < left:
        what = (
            f"{left:,} {unit} are left for {', '.join(stock.use.name for stock in rest)}, which have {sum(caps):,.0f}"
        )
        raise DataError(what, where="budget", hint="lower the budget, or raise max_epochs")
    parts = fill(float(left), weights, caps)
    whole = [float(each) for each in round_parts(parts, caps)] if not in_tokens else parts
    for place, part in zip(places, whole, strict=True):
        stock = stocks[place]
        draws[place] = _checked(stock, stock.draws_within(part + _EPSILON) if in_tokens else int(part))


def _slack(stocks: Sequence[Stock], draws: dict[int, int]) -> int:
    """Tokens by which whole rows may stay below a budget: a longest row for each source that is counted in tokens."""
    return sum(int(stocks[place].lengths.max()) for place in draws)


def fill(total: float, weights: Sequence[float], caps: Sequence[float]) -> list[float]:
    """Return parts of `total` in proportion to `weights`, none over its cap; the caps together hold `total`."""
    parts = [0.0] * len(weights)
    open_places = list(range(len(weights)))
    left = total
    while open_places:
        scale = left / sum(weights[place] for place in open_places)
        full = [place for place in open_places if weights[place] * scale >= caps[place] - _EPSILON]
        if not full:
            for place in open_places:
                parts[place] = weights[place] * scale
            break
        for place in full:
            parts[place] = caps[place]
            left -= caps[place]
            open_places.remove(place)
        left = max(left, 0.0)
    return parts


def round_parts(parts: Sequence[float], caps: Sequence[float]) -> list[int]:
    """Return whole parts with the rounded sum of `parts`: the largest fractions are rounded up, the first of equals."""
    whole = [int(part + _EPSILON) for part in parts]
    missing = round(sum(parts)) - sum(whole)
    by_fraction = sorted(range(len(parts)), key=lambda place: (whole[place] - parts[place], place))
    for place in by_fraction:
        if missing <= 0:
            break
        if whole[place] + 1 <= caps[place] + _EPSILON:
            whole[place] += 1
            missing -= 1
    return whole
