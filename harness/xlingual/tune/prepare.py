"""From a recipe and a base to a plan and tokenized rows in a folder, before any weight is loaded.

    OUT/RECIPE-xxxxxxxx/     the name has the first digits of the plan's id
        plan.json            the MixPlan
        rows/*.npy           the EncodedRows, one array a file
        held_out/*.npy       those that are held out, where the recipe holds out any

Every rank of a training reads them from there.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from ..errors import DataError, ModelError, UsageError
from ..files import pretty_json, read_json, write_atomically
from ..identity import slug
from ..plugin import DataSource, Model, ModelOptions, Source, Trainable
from ..plugin_checks import checked_source
from ..records import Examples, ModelSpec
from ..registry import SOURCES
from ..selection import open_model
from ..serial import from_json, to_json
from ..store import prepare_folder
from .contamination.benchmarks import gather_held_out
from .encoding import Encoder, TrainableModel, corpus_of
from .hold_out.choice import HeldOutRows, SourceRowsToSplit, choose_held_out
from .plan import (
    ONE_PROCESS,
    PackLayout,
    concatenate_rows,
    evaluated_rows,
    held_out_report,
    identify,
    make_plan,
    sample_rows,
)
from .recipe_records import Recipe, SourceUse
from .records import BenchmarkCheck, EncodedRows, MixPlan, OnRepetition
from .rows_file import RESTORE_HINT, read_rows, write_rows
from .source_rows import SourceRows

PLAN = "plan.json"
ROWS = "rows"
HELD_OUT = "held_out"


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A plan with the rows that it trains on."""

    plan: MixPlan
    rows: EncodedRows
    folder: Path | None
    """Where both are stored; None where they are not."""
    held_out: EncodedRows | None = None
    """The rows that it is evaluated on; None where the recipe holds out none."""


def open_base(word: str, *, offline: bool) -> Model:
    """Open the base that a recipe or the user names; ModelError where it cannot be tuned.

    In float32 on the CPU, so that its fingerprint is the same on every machine.
    """
    return trainable(open_model(word, ModelOptions(dtype="float32", device="cpu", offline=offline)))


def open_recipe_base(recipe: Recipe, *, offline: bool) -> Model:
    """Open the base that a recipe names, as `open_base`; DataError where the recipe's word names none."""
    try:
        return open_base(recipe.base, offline=offline)
    except UsageError as error:
        raise DataError(error.what, where=f"base of the recipe {recipe.name}", hint=error.hint) from error


def trainable(model: Model) -> TrainableModel:
    """Return `model` as one that can be tuned; ModelError where it cannot."""
    if not isinstance(model, Trainable):
        raise ModelError("cannot be tuned", where=model.spec.word, hint="name a local folder or hf:org/name")
    return cast(TrainableModel, model)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Encoded:
    """All rows of a recipe's sources, tokenized: mixtures of any amounts are sampled from them."""

    base: ModelSpec
    sources: tuple[SourceRows, ...]
    """In the order of the recipe."""
    checks: tuple[BenchmarkCheck, ...]
    on_repetition: OnRepetition = OnRepetition.DROP
    held_out: tuple[HeldOutRows, ...] = ()
    """What of each source is not trained on; () where the recipe holds out none."""


def plan_mix(
    recipe: Recipe,
    model: Model,
    data_source: DataSource,
    *,
    layout: PackLayout = ONE_PROCESS,
    on_repetition: OnRepetition = OnRepetition.DROP,
    note: Callable[[str], None] = lambda _: None,
) -> Prepared:
    """Read, decontaminate and tokenize the sources of `recipe` for the base `model`, and plan; write nothing.

    Packs are counted for `layout`; `note` receives a line on each thing that is done. Raises DataError, UsageError,
    ModelError or EnvironmentFault where recipe, data or model cannot be used.
    """
    encoded = encode_mix(recipe, model, data_source, note, on_repetition=on_repetition)
    return plan_encoded(recipe, encoded, layout)


def encode_mix(
    recipe: Recipe,
    model: Model,
    data_source: DataSource,
    note: Callable[[str], None],
    *,
    on_repetition: OnRepetition = OnRepetition.DROP,
) -> Encoded:
    """Read, decontaminate and tokenize all rows of the sources of `recipe`, whatever their amounts.

    Raises DataError where rows repeat test data and `on_repetition` is to refuse them.
    """
    base = trainable(model)
    languages = [code for use in recipe.sources for code in (*(use.direction or ()), use.language)]
    note(
        f"reading {len(recipe.sources)} sources, and what leaderboards test on in {' '.join(dict.fromkeys(languages))}"
    )
    readers = [checked_source(SOURCES.find(use.reader)) for use in recipe.sources]
    read = [_read_source(reader, use, data_source) for reader, use in zip(readers, recipe.sources, strict=True)]
    held_out = gather_held_out(languages, data_source)
    for use, found in zip(recipe.sources, read, strict=True):
        held_out.refuse_files(found.files, use.name)
    encoder = Encoder(recipe, base, held_out, on_repetition)
    sources: list[SourceRows] = []
    for use, reader, found in zip(recipe.sources, readers, read, strict=True):
        note(f"{use.name}: encoding {len(found.rows):,} rows")
        sources.append(encoder.encode(use, reader, found))
        if on_repetition is OnRepetition.REFUSE:
            _refuse_repetitions(sources[-1])
    checks = held_out.report()
    return Encoded(
        base=base.spec,
        sources=tuple(sources),
        checks=checks,
        on_repetition=on_repetition,
        held_out=_split(recipe, read, sources, note),
    )


def _split(
    recipe: Recipe, read: Sequence[Examples], sources: Sequence[SourceRows], note: Callable[[str], None]
) -> tuple[HeldOutRows, ...]:
    """Return what the recipe holds out of each source; () where it holds out nothing."""
    if all(use.hold_out is None for use in recipe.sources):
        return ()
    note("choosing held-out rows")
    to_split = [
        SourceRowsToSplit(
            name=use.name,
            wanted=use.hold_out,
            rows=[found.rows[index] for index in rows.example_indices.tolist()],
        )
        for use, found, rows in zip(recipe.sources, read, sources, strict=True)
    ]
    return tuple(choose_held_out(to_split))


def _refuse_repetitions(source: SourceRows) -> None:
    """Raise DataError where rows of a source would be left out because they repeat test data."""
    count = next((each for each in source.repetitions if each.left_out), None)
    if count is not None:
        first = count.examples[0]
        total = source.excluded.contaminated
        what = f"{total:,} {'row repeats' if total == 1 else 'rows repeat'} test data, such as {first.text}"
        raise DataError(
            what,
            where=f"source {source.use.name}: {first.row}",
            hint="take them out of the file, or use --contamination drop",
        )


def _read_source(reader: Source, use: SourceUse, data_source: DataSource) -> Examples:
    """Return the rows of a source; what is wrong with its path, columns or languages is a DataError of the recipe."""
    try:
        return reader.examples(corpus_of(use), data_source)
    except UsageError as error:
        if error.where != use.name:  # --data is a word of the command line
            raise
        raise DataError(error.what, where=f"source {use.name}", hint=error.hint) from error


def plan_encoded(recipe: Recipe, encoded: Encoded, layout: PackLayout = ONE_PROCESS) -> Prepared:
    """Sample the mixture of `recipe`, which differs from the tokenized one in amounts, seed, name or schedule only."""
    sources = [replace(rows, use=use) for rows, use in zip(encoded.sources, recipe.sources, strict=True)]
    sampled = sample_rows(sources, recipe, encoded.held_out)
    rows = concatenate_rows(sampled)
    plan = replace(
        make_plan(recipe, encoded.base, sampled, rows, encoded.checks, layout),
        repetitions=tuple(count for source in encoded.sources for count in source.repetitions),
        on_repetition=encoded.on_repetition,
    )
    prepared = Prepared(plan=plan, rows=rows, folder=None)
    return _with_held_out(prepared, encoded) if encoded.held_out else prepared


def _with_held_out(prepared: Prepared, encoded: Encoded) -> Prepared:
    """Return a plan with its held-out rows, which are a part of its id."""
    plan = prepared.plan
    held_out = evaluated_rows(encoded.sources, encoded.held_out)
    reports = []
    for place, (report, held) in enumerate(zip(plan.sources, encoded.held_out, strict=True)):
        available = report.available - len(held.evaluated) - len(held.twins)
        reports.append(replace(report, available=available, held_out=held_out_report(held_out, place, held)))
    found = identify(plan.recipe, plan.base, prepared.rows, held_out)
    return replace(prepared, plan=replace(plan, id=found, sources=tuple(reports)), held_out=held_out)


def plan_folder(plan: MixPlan, out: Path) -> Path:
    """Return the folder of a plan below `out`."""
    return out / slug(plan.recipe.name, plan.id)


def store_plan(prepared: Prepared, out: Path) -> Prepared:
    """Write rows and plan below `out`, the plan last, so that a plan has its rows. EnvironmentFault on failure."""
    folder = plan_folder(prepared.plan, out)
    prepare_folder(folder)
    write_rows(prepared.rows, folder / ROWS)
    if prepared.held_out is not None:
        write_rows(prepared.held_out, folder / HELD_OUT)
    write_atomically(folder / PLAN, pretty_json(to_json(prepared.plan)))
    return replace(prepared, folder=folder)


def load_plan(folder: Path) -> Prepared:
    """Read plan and rows, the rows memory-mapped; DataError where rows, recipe or base do not hash to the plan's id."""
    plan = from_json(MixPlan, read_json(folder / PLAN), where=str(folder / PLAN))
    rows = read_rows(folder / ROWS)
    is_evaluated = any(use.hold_out is not None for use in plan.recipe.sources)
    held_out = read_rows(folder / HELD_OUT) if is_evaluated else None
    if identify(plan.recipe, plan.base, rows, held_out) != plan.id:
        raise DataError("rows, recipe or base are not those of the plan's id", where=str(folder), hint=RESTORE_HINT)
    return Prepared(plan=plan, rows=rows, folder=folder, held_out=held_out)


def prepare(
    recipe: Recipe,
    model: Model,
    data_source: DataSource,
    out: Path,
    *,
    note: Callable[[str], None] = lambda _: None,
) -> Prepared:
    """Plan, store, and return what was stored, as every rank will read it."""
    stored = store_plan(plan_mix(recipe, model, data_source, note=note), out)
    return load_plan(plan_folder(stored.plan, out))
