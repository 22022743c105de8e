"""The mixture: from the amounts of a recipe to how often each row of each source is drawn in one epoch.

`use = "100 rows"` of a source with 60 rows and `max_epochs = 2` draws every row once and 40 rows a second time. Rows
are sampled without replacement, in the order of a seeded permutation, so that a larger amount contains a smaller one;
the permutation starts over once a source is exhausted. `rest` shares what the others leave of the budget in proportion
to rows to a power, no source more than its epochs allow; what a capped source cannot take goes to the others, as in
UniMax (Chung et al. 2023, arXiv 2304.09151). Every count is a whole number and adds up exactly.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import DataError
from .recipe_records import Budget, SourceUse, Unit
from .records import IntArray

_EPSILON = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class AvailableRows:
    """The rows of a source that can be sampled, and how often."""

    use: SourceUse
    lengths: IntArray
    """Tokens of each row, (rows,), in sampling order."""
    held_out: int = 0
    """Rows besides that are held out, with what says the same."""

    @property
    def rows(self) -> int:
        """Distinct rows."""
        return len(self.lengths)

    @property
    def max_draws(self) -> int:
        """Draws that the source's epochs allow."""
        return int(self.rows * self.use.max_epochs + _EPSILON)

    @property
    def max_tokens(self) -> int:
        """Tokens of all draws that the source's epochs allow."""
        return self.tokens_of(self.max_draws)

    def tokens_of(self, draws: int) -> int:
        """Tokens of the first `draws` draws, which go through the rows again and again."""
        epochs, rest = divmod(draws, self.rows)
        return epochs * int(self.lengths.sum()) + int(self.lengths[:rest].sum())

    def draws_within(self, tokens: float) -> int:
        """Most draws that hold no more than `tokens`."""
        import numpy as np  # noqa: PLC0415 - the command line stays light

        per_epoch = int(self.lengths.sum())
        epochs = int(tokens // per_epoch) if per_epoch else 0
        cumulative = np.cumsum(self.lengths)
        return epochs * self.rows + int(np.searchsorted(cumulative, tokens - epochs * per_epoch, side="right"))


def solve_mixture(sources: Sequence[AvailableRows], budget: Budget | None) -> list[int]:
    """Return the draws of each source in one epoch; DataError where a source or the budget cannot be met."""
    for source in sources:
        if source.rows == 0:
            held = f": {source.held_out:,} are held out, or say the same" if source.held_out else ""
            hint = "hold out less, here or in the other sources" if held else ""
            raise DataError(f"no row is left to learn from{held}", where=f"source {source.use.name}", hint=hint)
    draws = {index: _fixed_draws(source) for index, source in enumerate(sources) if source.use.amount.unit in _FIXED}
    if budget is not None:
        size = budget.rows if budget.rows is not None else budget.tokens or 0
        _add_shares(sources, draws, size, in_tokens=budget.tokens is not None)
        _add_rest(sources, draws, size, in_tokens=budget.tokens is not None)
    return [draws[index] for index in range(len(sources))]


def draws_per_row(draws: int, rows: int) -> IntArray:
    """Return how often each of `rows` rows is drawn, (rows,); the first ones once more where `draws` is no multiple."""
    import numpy as np  # noqa: PLC0415 - the command line stays light

    counts = np.full(rows, draws // rows, dtype=np.int64)
    counts[: draws % rows] += 1
    return counts


def sampling_permutation(rows: int, seed: int, name: str) -> IntArray:
    """Return the order in which the rows of the source `name` are sampled, (rows,): the same for any amount."""
    import numpy as np  # noqa: PLC0415 - the command line stays light

    return np.random.default_rng([seed, *name.encode("utf-8")]).permutation(rows)


_FIXED = (Unit.ALL, Unit.ROWS, Unit.TOKENS)
"""Amounts that do not depend on the budget."""


def _fixed_draws(source: AvailableRows) -> int:
    amount = source.use.amount
    if amount.unit is Unit.ALL or amount.value is None:
        return source.rows
    if amount.unit is Unit.ROWS:
        draws = int(amount.value)
    else:
        if amount.value > source.max_tokens + _EPSILON:
            raise _too_much(source, f"{amount.value:,.0f} tokens", f"{source.max_tokens:,}")
        draws = source.draws_within(amount.value)
    return _checked(source, draws)


def _checked(source: AvailableRows, draws: int) -> int:
    if draws > source.max_draws:
        raise _too_much(source, f"{draws:,} rows", f"{source.max_draws:,}")
    if draws < 1:
        raise DataError(
            "the amount does not hold a single row", where=f"source {source.use.name}", hint="give it more, or leave it"
        )
    return draws


def _too_much(source: AvailableRows, wanted: str, most: str) -> DataError:
    epochs = source.use.max_epochs
    held = f" without {source.held_out:,} held out" if source.held_out else ""
    return DataError(
        f"{wanted} are asked for, and it has {most} (usable rows: {source.rows:,}{held}, at most {epochs:g} epochs)",
        where=f"source {source.use.name}",
        hint="ask for less, or raise max_epochs",
    )


def _add_shares(sources: Sequence[AvailableRows], draws: dict[int, int], size: int, *, in_tokens: bool) -> None:
    """Add the draws of sources with a percentage of the budget; parts of rows add up as the percentages do."""
    chosen = [index for index, source in enumerate(sources) if source.use.amount.unit is Unit.SHARE]
    exact = [size * (sources[index].use.amount.value or 0) / 100 for index in chosen]
    parts = exact if in_tokens else [float(part) for part in round_parts(exact, [size] * len(exact))]
    for index, part in zip(chosen, parts, strict=True):
        source = sources[index]
        if in_tokens and part > source.max_tokens + _EPSILON:
            raise _too_much(source, f"{part:,.0f} tokens", f"{source.max_tokens:,}")
        draws[index] = _checked(source, source.draws_within(part) if in_tokens else int(part))


def _add_rest(sources: Sequence[AvailableRows], draws: dict[int, int], size: int, *, in_tokens: bool) -> None:
    """Add the draws of the sources that share the rest; DataError where the mixture would not meet the budget."""
    unit = "tokens" if in_tokens else "rows"
    taken = sum(sources[index].tokens_of(count) if in_tokens else count for index, count in draws.items())
    chosen = [index for index, source in enumerate(sources) if source.use.amount.unit is Unit.REST]
    left = size - taken
    tolerance = _rounding_tolerance(sources, draws) if in_tokens else 0
    if left < 0 or (chosen and left == 0):
        raise DataError(
            f"the sources take {taken:,} {unit}, and the budget is {size:,}", where="budget", hint="raise the budget"
        )
    if not chosen:
        if left > tolerance:
            what = f"the sources make {taken:,} of {size:,} {unit}{_held_words(sources)}"
            raise DataError(what, where="budget", hint='let a source use "rest", or lower the budget')
        return
    rest = [sources[index] for index in chosen]
    caps = [float(source.max_tokens if in_tokens else source.max_draws) for source in rest]
    weights = [float(source.rows) ** (source.use.amount.value or 0) for source in rest]
    if sum(caps) < left:
        names = ", ".join(source.use.name for source in rest)
        what = f"{left:,} {unit} are left for {names}, which have {sum(caps):,.0f}{_held_words(rest)}"
        raise DataError(what, where="budget", hint="lower the budget, or raise max_epochs")
    parts = water_fill(float(left), weights, caps)
    if not in_tokens:
        parts = [float(each) for each in round_parts(parts, caps)]
    for index, part in zip(chosen, parts, strict=True):
        source = sources[index]
        draws[index] = _checked(source, source.draws_within(part + _EPSILON) if in_tokens else int(part))


def _held_words(sources: Sequence[AvailableRows]) -> str:
    """Return how many rows of the sources are held out, for whoever counts the rows of the files."""
    held = sum(source.held_out for source in sources)
    return f" without {held:,} held out" if held else ""


def _rounding_tolerance(sources: Sequence[AvailableRows], draws: dict[int, int]) -> int:
    """Return the tokens by which whole rows may stay below a budget: the longest row of each source in `draws`."""
    return sum(int(sources[index].lengths.max()) for index in draws)


def water_fill(total: float, weights: Sequence[float], caps: Sequence[float]) -> list[float]:
    """Return parts of `total` in proportion to `weights`, none over its cap; the caps together hold `total`."""
    parts = [0.0] * len(weights)
    uncapped = list(range(len(weights)))
    left = total
    while uncapped:
        scale = left / sum(weights[index] for index in uncapped)
        full = [index for index in uncapped if weights[index] * scale >= caps[index] - _EPSILON]
        if not full:
            for index in uncapped:
                parts[index] = weights[index] * scale
            break
        for index in full:
            parts[index] = caps[index]
            left -= caps[index]
            uncapped.remove(index)
        left = max(left, 0.0)
    return parts


def round_parts(parts: Sequence[float], caps: Sequence[float]) -> list[int]:
    """Return whole parts with the rounded sum of `parts`: the largest fractions are rounded up, the first of equals."""
    whole = [int(part + _EPSILON) for part in parts]
    missing = round(sum(parts)) - sum(whole)
    by_fraction = sorted(range(len(parts)), key=lambda index: (whole[index] - parts[index], index))
    for index in by_fraction:
        if missing <= 0:
            break
        if whole[index] + 1 <= caps[index] + _EPSILON:
            whole[index] += 1
            missing -= 1
    return whole
