"""From tokenized sources to the plan of a training: which rows, how often, in how many steps and packs; and its id."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..errors import DataError
from ..identity import Json, content_hash
from ..records import ModelSpec
from ..serial import to_json
from .hold_out.choice import HeldOutRows
from .hold_out.records import HeldOutReport
from .mix import AvailableRows, draws_per_row, sampling_permutation, solve_mixture
from .order import steps_of_epoch
from .packing import PackCounts, assign_packs
from .recipe_records import Recipe, Schedule
from .records import BenchmarkCheck, EncodedRows, IntArray, MixPlan, SourceReport
from .rows_file import hash_rows
from .source_rows import SourceRows, concatenate_learnt

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SCHEMA = 1
"""Of `plan.json`; goes up when a field changes its meaning."""
PACK_ROWS = 4
"""The default pack length is that of so many rows of the recipe's length."""
GPU_PACK_LENGTH = 8192
"""Tokens: in shorter packs a GPU spends longer on FSDP's collectives than on computing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackLayout:
    """The ranks and the pack length that packs are counted for."""

    pack_length: int | None = None
    """Tokens; None: the default of the device."""
    ranks: int = 1
    """World size."""
    on_gpu: bool = False

    def length(self, default: int, row_length: int) -> int:
        """Return the pack length in tokens, never under `row_length`; `default` holds for a CPU."""
        if self.pack_length is None and self.on_gpu:
            default = max(default, GPU_PACK_LENGTH)
        return max(self.pack_length or default, row_length)


ONE_PROCESS = PackLayout()


@dataclass(frozen=True, slots=True, eq=False)
class SampledRows:
    """The rows of one source that are trained on."""

    source: SourceRows
    rows: IntArray
    """Indices into `source`, in the order of its files."""
    draws: IntArray
    """Of each of `rows`, in one epoch."""


def sample_rows(
    sources: Sequence[SourceRows], recipe: Recipe, held_out: Sequence[HeldOutRows] = ()
) -> list[SampledRows]:
    """Sample the rows of each source and how often each is drawn; DataError where amounts or budget cannot be met.

    What is `held_out` of each source, where any is, is not sampled.
    """
    for source in sources:
        if not len(source.example_indices):
            raise _nothing_left(source, recipe)
    orders = [_sampling_order(source, recipe.seed) for source in sources]
    if held_out:
        orders = [_without(order, held) for order, held in zip(orders, held_out, strict=True)]
    available = [
        AvailableRows(each.use, each.lengths[order], len(each.lengths) - len(order))
        for each, order in zip(sources, orders, strict=True)
    ]
    sampled = []
    for source, order, count in zip(sources, orders, solve_mixture(available, recipe.budget), strict=True):
        draws = draws_per_row(count, len(order))
        sampled.append(_in_file_order(source, order[draws > 0], draws[draws > 0]))
    return sampled


def _nothing_left(source: SourceRows, recipe: Recipe) -> DataError:
    excluded = source.excluded
    reasons = (
        f"{excluded.skipped:,} skipped, {excluded.contaminated:,} contaminated, "
        f"{excluded.duplicates:,} duplicates, {excluded.dropped:,} dropped"
    )
    if excluded.filtered:
        reasons += "".join(f", {count:,} filtered by {key}" for key, count in excluded.filtered.items())
    hint = ""
    if excluded.duplicates:
        hint = "earlier rows say the same; of one file for two languages, filter = { language = true } keeps each apart"
    if excluded.dropped:
        hint = f"a row has room for {recipe.length:,} tokens: raise length"
    return DataError(f"no row is left to learn from: {reasons}", where=f"source {source.use.name}", hint=hint)


def _sampling_order(source: SourceRows, seed: int) -> IntArray:
    """Return the rows of a source in the order in which they are sampled, (rows,).

    All examples are permuted, the excluded ones too, so that an excluded row changes the place of no other.
    """
    import numpy as np  # noqa: PLC0415 - the command line stays light

    rank: IntArray = np.argsort(sampling_permutation(source.total, seed, source.use.name))
    order: IntArray = np.argsort(rank[source.example_indices], kind="stable")
    return order


def _without(order: IntArray, held: HeldOutRows) -> IntArray:
    import numpy as np  # noqa: PLC0415 - the command line stays light

    kept: IntArray = order[~np.isin(order, [*held.evaluated, *held.twins])]
    return kept


def evaluated_rows(sources: Sequence[SourceRows], held_out: Sequence[HeldOutRows]) -> EncodedRows:
    """Return the rows that are evaluated, of all sources in the order of their files, each drawn once."""
    import numpy as np  # noqa: PLC0415 - the command line stays light

    sampled = []
    for source, held in zip(sources, held_out, strict=True):
        rows = np.array(held.evaluated, dtype=np.int64)
        sampled.append(SampledRows(source, rows, np.ones(len(rows), dtype=np.int64)))
    return concatenate_rows(sampled)


def held_out_report(rows: EncodedRows, source: int, held: HeldOutRows) -> HeldOutReport:
    """Return what is held out of a source, the one with that index, in numbers; `rows` are those of all sources."""
    own = rows.sources == source
    return HeldOutReport(
        rows=int(own.sum()),
        tokens=int(rows.lengths[own].sum()),
        supervised=int(rows.supervised[own].sum()),
        twins=len(held.twins),
    )


def _in_file_order(source: SourceRows, rows: IntArray, draws: IntArray) -> SampledRows:
    import numpy as np  # noqa: PLC0415 - the command line stays light

    order = np.argsort(rows, kind="stable")
    return SampledRows(source, rows[order], draws[order])


def concatenate_rows(sampled: Sequence[SampledRows]) -> EncodedRows:
    """Return the rows of all sources, one source after the other."""
    import numpy as np  # noqa: PLC0415 - the command line stays light

    lengths = np.concatenate([each.source.lengths[each.rows] for each in sampled])
    return EncodedRows(
        tokens=np.concatenate([each.source.tokens[_chosen(each)] for each in sampled]),
        offsets=np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)]),
        answer_starts=np.concatenate([each.source.answer_starts[each.rows] for each in sampled]),
        sources=np.repeat(np.arange(len(sampled)), [len(each.rows) for each in sampled]),
        draws=np.concatenate([each.draws for each in sampled]),
        learnt=concatenate_learnt(
            [None if each.source.learnt is None else each.source.learnt[_chosen(each)] for each in sampled],
            [each.source.answer_starts[each.rows] for each in sampled],
            [each.source.lengths[each.rows] for each in sampled],
        ),
    )


def _chosen(sampled: SampledRows) -> "NDArray[np.bool_]":
    """Return for each token of a source whether it is of a sampled row, (tokens,)."""
    import numpy as np  # noqa: PLC0415 - the command line stays light

    source = sampled.source
    chosen = np.zeros(len(source.example_indices), dtype=bool)
    chosen[sampled.rows] = True
    return np.repeat(chosen, source.lengths)


def identify(recipe: Recipe, base: ModelSpec, rows: EncodedRows, held_out: EncodedRows | None = None) -> str:
    """Return the id of a training, 64 hex digits: a hash of the recipe, the base's fingerprint and the tokenized rows.

    Held-out rows are a part of it where there are any.

    The name that a machine has for the base, the description, and how rows lie in packs are no part of it.
    """
    hashed = {key: value for key, value in _fields(recipe).items() if key not in ("base", "description")}
    content: dict[str, Json] = {
        "schema": SCHEMA,
        "recipe": hashed,
        "base": base.fingerprint,
        "rows": hash_rows(rows),
    }
    if held_out is not None:
        content["held_out"] = hash_rows(held_out)
    return content_hash(content)


def _fields(recipe: Recipe) -> dict[str, Json]:
    # Licences change nothing of what is learnt: no id has them.
    uses = tuple(replace(use, license=None) for use in recipe.sources)
    value = to_json(replace(recipe, license=None, sources=uses))
    return dict(value) if isinstance(value, dict) else {}


def count_steps(rows: EncodedRows, schedule: Schedule, seed: int) -> int:
    """Return the optimizer steps of the whole training; a fraction of a last epoch counts at least one."""
    whole, fraction = divmod(schedule.epochs, 1)
    if schedule.rows_per_step is not None:
        per_epoch = -(-int(rows.draws.sum()) // schedule.rows_per_step)
        counts = [per_epoch] * int(whole)
        last = per_epoch
    else:
        counts = [len(steps_of_epoch(rows, schedule, seed, epoch)) for epoch in range(int(whole))]
        last = len(steps_of_epoch(rows, schedule, seed, int(whole))) if fraction else 0
    return sum(counts) + (max(1, round(fraction * last)) if fraction else 0)


def pack_epoch(rows: EncodedRows, recipe: Recipe, pack_length: int, ranks: int) -> PackCounts:
    """Return what the packs of the first epoch come to: those that a training on `ranks` ranks makes, step by step."""
    lengths = rows.lengths
    counts = PackCounts()
    for step in steps_of_epoch(rows, recipe.schedule, recipe.seed, 0):
        counts += assign_packs(step.tolist(), lengths[step].tolist(), pack_length, ranks).counts
    return counts


def make_plan(
    recipe: Recipe,
    base: ModelSpec,
    sampled: Sequence[SampledRows],
    rows: EncodedRows,
    checks: tuple[BenchmarkCheck, ...],
    layout: PackLayout,
) -> MixPlan:
    """Return the plan; its pack length is PACK_ROWS times the recipe's length, unless `layout` says otherwise."""
    reports = tuple(source_report(each) for each in sampled)
    plan = MixPlan(
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
        pack_length=PACK_ROWS * recipe.length,
        packs=0,
        fill=0.0,
    )
    return _count_packs(plan, rows, layout)


def repack(plan: MixPlan, rows: EncodedRows, layout: PackLayout) -> MixPlan:
    """Return `plan` with the packs of another layout; its id is the same, for the same is learnt in the same steps."""
    ranks = None if layout.ranks == 1 else layout.ranks
    if (layout.length(plan.pack_length, plan.recipe.length), ranks) == (plan.pack_length, plan.ranks):
        return plan
    return _count_packs(plan, rows, layout)


def _count_packs(plan: MixPlan, rows: EncodedRows, layout: PackLayout) -> MixPlan:
    length = layout.length(plan.pack_length, plan.recipe.length)
    counts = pack_epoch(rows, plan.recipe, length, layout.ranks)
    is_alone = layout.ranks == 1
    return replace(
        plan,
        pack_length=length,
        packs=counts.packs,
        fill=counts.fill(length),
        ranks=None if is_alone else layout.ranks,
        pad_share=None if is_alone else counts.pad_share,
        wait_share=None if is_alone else counts.wait_share,
    )


def source_report(sampled: SampledRows) -> SourceReport:
    """Return how a source is represented in the mixture."""
    source, rows, excluded = sampled.source, sampled.rows, sampled.source.excluded
    lengths = source.lengths[rows]
    answer_tokens = int(source.answer_tokens[rows].sum())
    return SourceReport(
        name=source.use.name,
        language=source.use.language,
        files=source.files,
        available=len(source.example_indices),
        distinct=len(rows),
        draws=int(sampled.draws.sum()),
        tokens=int((lengths * sampled.draws).sum()),
        supervised=int((source.supervised[rows] * sampled.draws).sum()),
        truncated=int(source.cut[rows].sum()),
        dropped=excluded.dropped,
        skipped=excluded.skipped,
        duplicates=excluded.duplicates,
        contaminated=excluded.contaminated,
        characters_per_token=int(source.characters[rows].sum()) / answer_tokens if answer_tokens else None,
        audit=source.audit,
        chats=source.chats,
    )
