"""Models by tasks, a table a family: which run stands in which cell, and what is said beside the numbers.

A row is a model, asked in one way. What a run does otherwise than the column's reference (board.comparison) makes a row
of its own, marked with the difference in words: nothing unlike ever stands unmarked beside another number.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..board.assembly import label_models
from ..board.cells import make_cell
from ..board.collection import CollectedRun
from ..board.comparison import (
    choose_reference,
    find_differences,
    find_estimate,
    is_higher_better,
    run_signature,
)
from ..board.controls import KINDS, find_control
from ..board.notes import describe_backend
from ..board.rows import CellState
from ..board.spec import RATES
from ..identity import Json
from ..judging.judged import JUDGED_PREFIX
from ..languages import LANGUAGES
from ..records import Protocol, RunRecord
from ..serial import to_json
from .provenance import clean_text

_WORDS = 100
"""Characters of a difference that are shown."""
_HASHED = frozenset({"data", "prompts"})
_UNSAID = frozenset({"task", "data", "prompts", "n", "limit"})
"""Fields of a protocol that a table says of each column, or not at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewRow:
    """A row of a table: a model, asked in one way."""

    model: str
    fingerprint: str
    control: str | None
    """"floor", "copy" or "ceiling" of a control; None of a model."""
    remark: str | None
    """What its backend cannot know of it."""
    notes: tuple[str, ...]
    """Why it does not compare: differences in words, a limit."""
    runs: tuple[int | None, ...]
    """By column, an index into the runs of the page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewColumn:
    """A column of a table: a task."""

    task: str
    variant: str
    language: str
    lang: str
    """Its tag for browsers, which choose letter shapes and line breaks by it."""
    name: str
    """Of the language, in English; the code where we do not know it."""
    n: int
    reference: int
    """Index of the run that others are compared with."""
    protocol: tuple[str, ...]
    """Of the reference, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewMetric:
    """A metric that runs of a table have."""

    name: str
    higher_is_better: bool
    bounded: bool
    """Whether all its values lie between 0 and 100."""
    signatures: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewTable:
    """One family on real or on sample data."""

    family: str
    sample: bool
    metrics: tuple[ViewMetric, ...]
    """The main one first."""
    columns: tuple[ViewColumn, ...]
    rows: tuple[ViewRow, ...]


def build_tables(runs: Sequence[CollectedRun]) -> tuple[ViewTable, ...]:
    """Arrange runs in tables; cells hold their indexes."""
    labels = label_models(run.record for run in runs)
    groups: dict[tuple[bool, str], list[int]] = {}
    for index, run in enumerate(runs):
        groups.setdefault((run.sample, run.record.protocol.task.partition("/")[0]), []).append(index)
    return tuple(_build(runs, labels, *group, groups[group]) for group in sorted(groups, key=_table_place))


def _table_place(group: tuple[bool, str]) -> tuple[bool, bool, str]:
    """Return what tables are sorted by: real data first, what judges say of answers last, then by family."""
    sample, family = group
    return sample, family.startswith(JUDGED_PREFIX), family


def _build(
    runs: Sequence[CollectedRun], labels: Mapping[str, str], sample: bool, family: str, indexes: Sequence[int]
) -> ViewTable:
    votes = Counter(runs[index].record.main_metric for index in indexes)
    main = min(votes, key=lambda metric: (-votes[metric], metric))
    tasks: dict[str, list[int]] = {}
    for index in sorted(indexes, key=lambda index: (runs[index].record.protocol.task, runs[index].where)):
        tasks.setdefault(runs[index].record.protocol.task, []).append(index)
    references = {task: choose_reference([runs[index] for index in found], main) for task, found in tasks.items()}
    rows = [
        ViewRow(
            model=clean_text(labels[fingerprint]) or "(no name)",
            fingerprint=fingerprint,
            control=find_control(runs[next(iter(found.values()))].record.model),
            remark=describe_backend(runs[next(iter(found.values()))].record.model),
            notes=notes,
            runs=tuple(found.get(task) for task in tasks),
        )
        for (fingerprint, notes), found in _group_rows(runs, tasks, references, main).items()
    ]
    return ViewTable(
        family=family,
        sample=sample,
        metrics=_metrics([runs[index].record for index in indexes], main),
        columns=tuple(
            _column(references[task].record, _find(runs, found, references[task])) for task, found in tasks.items()
        ),
        rows=tuple(sorted(rows, key=_place)),
    )


def _group_rows(
    runs: Sequence[CollectedRun],
    tasks: Mapping[str, Sequence[int]],
    references: Mapping[str, CollectedRun],
    metric: str,
) -> dict[tuple[str, tuple[str, ...]], dict[str, int]]:
    """Return the run of each task, by row: the fingerprint of a model, and how it was asked unlike the reference.

    Of several runs of one model that were asked alike the newest comes first; the others have rows of their own.
    """
    cells: dict[tuple[str, tuple[str, ...]], dict[str, int]] = {}
    for task, found in tasks.items():
        for index in sorted(found, key=lambda index: (-runs[index].finished.timestamp(), runs[index].where)):
            record = runs[index].record
            notes = _notes(record, references[task].record, metric)
            row, number = (record.model.fingerprint, notes), 1
            while task in cells.get(row, {}):
                number += 1
                row = (record.model.fingerprint, (*notes, f"another run ({number})"))
            cells.setdefault(row, {})[task] = index
    return cells


def _place(row: ViewRow) -> tuple[int, int, str, str, tuple[str, ...]]:
    control = -1 if row.control is None else KINDS.index(row.control)
    return control, len(row.notes), row.model, row.fingerprint, row.notes


def _notes(record: RunRecord, reference: RunRecord, metric: str) -> tuple[str, ...]:
    limit = record.protocol.limit
    notes = [] if limit in (None, reference.protocol.limit) else [f"limited to examples {limit}"]
    for each in find_differences(record, reference, metric):
        words = f"other {each.field}" if each.field in _HASHED else f"{each.field}: {each.run}, not {each.ranked}"
        notes.append(clean_text(words)[:_WORDS])
    return tuple(notes)


def _find(runs: Sequence[CollectedRun], indexes: Sequence[int], wanted: CollectedRun) -> int:
    return next(index for index in indexes if runs[index] is wanted)


def _column(record: RunRecord, reference: int) -> ViewColumn:
    language = LANGUAGES.get(record.language)
    return ViewColumn(
        task=record.protocol.task,
        variant=record.protocol.task.partition("/")[2],
        language=record.language,
        lang=language_tag(record.language),
        name=language.name if language else record.language,
        n=record.protocol.n,
        reference=reference,
        protocol=describe_protocol(record.protocol),
    )


def language_tag(code: str) -> str:
    """Return the BCP 47 tag of a language of ours, "" for any other."""
    if code not in LANGUAGES:
        return ""
    script = LANGUAGES[code].script
    return f"zh-{script}" if script in ("Hans", "Hant") else code


def describe_protocol(protocol: Protocol) -> tuple[str, ...]:
    """Return what is set in a protocol, as "name: value"; what each column has of its own is left out."""
    data = to_json(protocol)
    fields = data.items() if isinstance(data, dict) else ()
    return tuple(
        clean_text(f"{name}: {_show(value)}")[:_WORDS]
        for name, value in fields
        if name not in _UNSAID and value not in (None, False)
    )


def _show(value: Json) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{name}={_show(item)}" for name, item in value.items() if item is not None)
    if isinstance(value, list | tuple):
        return " ".join(repr(item) if isinstance(item, str) else str(item) for item in value)
    return str(value)


def _metrics(records: Sequence[RunRecord], main: str) -> tuple[ViewMetric, ...]:
    names = dict.fromkeys([main, *(estimate.metric for record in records for estimate in record.estimates)])
    return tuple(_metric(name, records) for name in names)


def _metric(name: str, records: Sequence[RunRecord]) -> ViewMetric:
    found = [estimate for record in records if (estimate := find_estimate(record, name)) is not None]
    return ViewMetric(
        name=name,
        higher_is_better=name not in RATES and is_higher_better(name, records),
        bounded=all(estimate.bounds is None for estimate in found),
        signatures=tuple(sorted({clean_text(estimate.signature) for estimate in found if estimate.value is not None})),
    )


def show_estimate(record: RunRecord, metric: str, reference: RunRecord | None, fault: str | None = None) -> Json:
    """Return one number of a run for the page: value, low, high, n, state, and the reason or remark beside it.

    `fault` says why the number is not believed.
    """
    cell = make_cell(record, metric)
    reason, state = cell.reason, cell.state
    if fault is not None:
        reason, state = fault, CellState.MARKED
    elif reference is not None and cell.state is not CellState.NOT_COMPUTED:
        mine, theirs = run_signature(record, metric), run_signature(reference, metric)
        if mine.get("metric signature") != theirs.get("metric signature", mine.get("metric signature")):
            reason = "other metric signature"
    return [cell.value, cell.low, cell.high, cell.n, state.value, None if reason is None else clean_text(reason)]
