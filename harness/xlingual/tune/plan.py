"""From encoded sources to the plan of a training: which rows, how often, in how many packs and steps; and its id."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import DataError
from ..identity import Json, content_hash
from ..records import ModelSpec
from ..serial import to_json
from .encoding import SourceRows
from .mix import Stock, draws_per_row, permute, solve
from .order import steps_of_epoch
from .packing import pack
from .records import BenchmarkCheck, EncodedRows, IntArray, MixPlan, Recipe, Schedule, SourceReport
from .rows_file import hash_rows

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SCHEMA = 1
"""Of `plan.json`; goes up when a field changes its meaning."""
PACK_ROWS = 4
"""A pack has room for so many rows of the recipe's length, unless told otherwise."""


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """The rows of one source that are learnt."""

    source: SourceRows
    rows: IntArray
    """Places in `source`, in the order of its files."""
    draws: IntArray
    """Of each of `rows`."""


def draw(sources: Sequence[SourceRows], recipe: Recipe) -> list[Drawn]:
    """Choose the rows of each source and how often each comes; DataError where amounts or budget cannot be met."""
    for source in sources:
        if not len(source.places):
            raise _nothing_left(source, recipe)
    orders = [_taking_order(source, recipe.seed) for source in sources]
    stocks = [Stock(source.use, source.lengths[order]) for source, order in zip(sources, orders, strict=True)]
    drawn = []
    for source, order, count in zip(sources, orders, solve(stocks, recipe.budget), strict=True):
        draws = draws_per_row(count, len(order))
        drawn.append(_in_file_order(source, order[draws > 0], draws[draws > 0]))
    return drawn


def _nothing_left(source: SourceRows, recipe: Recipe) -> DataError:
    left = source.left
    reasons = (
        f"{left.skipped:,} skipped, {left.contaminated:,} contaminated, "
        f"{left.duplicates:,} duplicates, {left.dropped:,} dropped"
    )
    return DataError(
        f"no row is left to learn from: {reasons}",
        where=f"source {source.use.name}",
        hint=f"a row has room for {recipe.length:,} tokens: raise length" if left.dropped else "",
    )


def _taking_order(source: SourceRows, seed: int) -> IntArray:
    """Return the rows of a source in the order in which they are taken.

    It is that of all examples, so that a row which is left out moves no other.
    """
    import numpy as np  # noqa: PLC0415 - the command line stays light

    rank: IntArray = np.argsort(permute(source.total, seed, source.use.name))
    order: IntArray = np.argsort(rank[source.places], kind="stable")
    return order


def _in_file_order(source: SourceRows, rows: IntArray, draws: IntArray) -> Drawn:
    import numpy as np  # noqa: PLC0415 - the command line stays light

    order = np.argsort(rows, kind="stable")
    return Drawn(source, rows[order], draws[order])


def join(drawn: Sequence[Drawn]) -> EncodedRows:
    """Return the rows of all sources behind one another."""
    import numpy as np  # noqa: PLC0415 - the command line stays light

    lengths = np.concatenate([each.source.lengths[each.rows] for each in drawn])
    return EncodedRows(
        tokens=np.concatenate([_tokens(each) for each in drawn]),
        offsets=np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)]),
        answer_starts=np.concatenate([each.source.answer_starts[each.rows] for each in drawn]),
        sources=np.repeat(np.arange(len(drawn)), [len(each.rows) for each in drawn]),
        draws=np.concatenate([each.draws for each in drawn]),
    )


def _tokens(drawn: Drawn) -> "NDArray[np.int32]":
    """Return the tokens of the chosen rows of a source."""
    import numpy as np  # noqa: PLC0415 - the command line stays light

    source = drawn.source
    chosen = np.zeros(len(source.places), dtype=bool)
    chosen[drawn.rows] = True
    tokens: NDArray[np.int32] = source.tokens[np.repeat(chosen, source.lengths)]
    return tokens


def identify(recipe: Recipe, base: ModelSpec, rows: EncodedRows) -> str:
    """Return the id of a training, 64 hex digits: what is learnt, from what, and how.

    The words by which recipe and base are called, which differ from machine to machine, are no part of it.
    """
    said: dict[str, Json] = {key: value for key, value in _fields(recipe).items() if key not in ("base", "description")}
    return content_hash({"schema": SCHEMA, "recipe": said, "base": base.fingerprint, "rows": hash_rows(rows)})


def _fields(recipe: Recipe) -> dict[str, Json]:
    value = to_json(recipe)
    return dict(value) if isinstance(value, dict) else {}


def count_steps(rows: EncodedRows, schedule: Schedule, seed: int) -> int:
    """Return the steps of the whole training; of a last epoch that is a fraction, the first steps, at least one."""
    whole, fraction = divmod(schedule.epochs, 1)
    if schedule.rows_per_step is not None:
        per_epoch = -(-int(rows.draws.sum()) // schedule.rows_per_step)
        counts = [per_epoch] * int(whole)
        last = per_epoch
    else:
        counts = [len(steps_of_epoch(rows, schedule, seed, epoch)) for epoch in range(int(whole))]
        last = len(steps_of_epoch(rows, schedule, seed, int(whole))) if fraction else 0
    return sum(counts) + (max(1, round(fraction * last)) if fraction else 0)


@dataclass(frozen=True, slots=True)
class Packing:
    """How the rows of the first epoch lie in packs, step by step."""

    packs: int
    fill: float
    """Share of the packs' room that holds tokens."""


def pack_epoch(rows: EncodedRows, recipe: Recipe, pack_length: int) -> Packing:
    """Pack every step of the first epoch."""
    lengths = rows.lengths
    packs = tokens = 0
    for step in steps_of_epoch(rows, recipe.schedule, recipe.seed, 0):
        of_step = lengths[step].tolist()
        packs += len(pack(of_step, pack_length))
        tokens += sum(of_step)
    return Packing(packs, tokens / (packs * pack_length))


def make_plan(
    recipe: Recipe,
    base: ModelSpec,
    drawn: Sequence[Drawn],
    rows: EncodedRows,
    checks: tuple[BenchmarkCheck, ...],
    pack_length: int | None,
) -> MixPlan:
    """Return the plan; `pack_length` in tokens, None for PACK_ROWS times the recipe's length."""
    length = max(pack_length or PACK_ROWS * recipe.length, recipe.length)
    packing = pack_epoch(rows, recipe, length)
    reports = tuple(report(each) for each in drawn)
    return MixPlan(
        schema=SCHEMA,
        id=identify(recipe, base, rows),
        recipe=recipe,
        base=base,
        sources=reports,
        checks=checks,
        rows=sum(each.draws for each in reports),
        tokens=sum(each.tokens for each in reports),
        supervised=sum(each.supervised for each in reports),
        steps=count_steps(rows, recipe.schedule, recipe.seed),
        pack_length=length,
        packs=packing.packs,
        fill=packing.fill,
    )


def report(drawn: Drawn) -> SourceReport:
    """Return how a source stands in the mix."""
    source, rows = drawn.source, drawn.rows
    lengths = source.lengths[rows]
    answer_tokens = int(source.answer_tokens[rows].sum())
    return SourceReport(
        name=source.use.name,
        language=source.use.language,
        files=source.files,
        available=len(source.places),
        distinct=len(rows),
        draws=int(drawn.draws.sum()),
        tokens=int((lengths * drawn.draws).sum()),
        supervised=int(((lengths - source.answer_starts[rows]) * drawn.draws).sum()),
        truncated=int(source.cut[rows].sum()),
        dropped=source.left.dropped,
        skipped=source.left.skipped,
        duplicates=source.left.duplicates,
        contaminated=source.left.contaminated,
        characters_per_token=int(source.characters[rows].sum()) / answer_tokens if answer_tokens else None,
    )
