"""From run records to a leaderboard: which runs enter, in which column, and what is said of those that do not."""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from ..escape import show_hidden
from ..records import RunRecord
from .cells import make_cell
from .collection import CollectedRun, Collection
from .comparison import METRIC_SIGNATURE, find_differences, find_estimate, is_higher_better, run_signature
from .controls import find_control
from .headline import Shown, combine_tables
from .inference import infer_table
from .integrity import IntegrityFinding, check_run
from .notes import describe_rows
from .protocols import choose_asking, choose_column, differs_from_table
from .ranking import TableModels, choose_columns, least_baseline, leave_none_alone, make_rows
from .rates import fill_rates
from .rows import (
    Board,
    BoardModel,
    BoardTable,
    Cell,
    CellState,
    Column,
    LeftOut,
    NotRanked,
    ProtocolDifference,
    RateTable,
)
from .samples import ScoreReader
from .spec import BoardOrigin, BoardSpec

LABEL_LENGTH = 150
_FINGERPRINT_DIGITS = 8


@dataclass(frozen=True, slots=True)
class _EligibleRuns:
    """The runs that a board may show, and what is said of the others."""

    runs: tuple[CollectedRun, ...]
    left_out: tuple[LeftOut, ...]


@dataclass(frozen=True, slots=True)
class _FilledTable:
    """A table, the runs behind its cells by fingerprint and task, and the runs that do not compare."""

    table: BoardTable
    shown: Mapping[str, Mapping[str, CollectedRun]]
    not_ranked: tuple[NotRanked, ...]
    left_out: tuple[LeftOut, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _TaskRuns:
    """The runs on one task: those of the column by fingerprint, and what is said of the others."""

    column: Mapping[str, CollectedRun]
    not_ranked: tuple[NotRanked, ...]
    left_out: tuple[LeftOut, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _SortedOut:
    """The columns of a table, the runs of its cells by fingerprint and task, and what is said of the others."""

    columns: tuple[Column, ...]
    shown: Mapping[str, Mapping[str, CollectedRun]]
    not_ranked: tuple[NotRanked, ...]
    left_out: tuple[LeftOut, ...]


@dataclass(frozen=True, slots=True)
class _Context:
    """What all tables of a board share."""

    spec: BoardSpec
    labels: Mapping[str, str]
    baseline: str | None
    """A fingerprint."""


def build_board(
    spec: BoardSpec, collection: Collection, *, baseline: str | None = None, include_limited: bool = False
) -> Board:
    """Make the leaderboard that `spec` describes of the collected runs.

    `baseline` goes before the one of the spec. `include_limited` shows limited runs, marked and unranked, where the
    model has no whole run.
    """
    entered = _select_runs(spec, collection, include_limited=include_limited)
    labels = label_models(run.record for run in entered.runs)
    wanted = baseline or spec.baseline
    found, notes = _find_baseline(wanted, entered.runs)
    context = _Context(spec=spec, labels=labels, baseline=found)
    tables: list[BoardTable] = []
    shown: list[tuple[BoardTable, Shown]] = []
    rates: list[RateTable] = []
    not_ranked: list[NotRanked] = []
    left_out = [*collection.left_out, *entered.left_out]
    for family, members in _by_family(spec, entered.runs).items():
        for metrics, runs in _by_metrics(spec, family, members).items():
            filled = [_fill_table(context, family, metric, runs) for metric in metrics]
            tables += [each.table for each in filled]
            shown += [(each.table, each.shown) for each in filled]
            rates += fill_rates(filled[0].table, filled[0].shown, labels)
            not_ranked += [item for each in filled for item in each.not_ranked]
            left_out += [item for each in filled for item in each.left_out]
    models = {run.record.model.fingerprint: run.record.model for run in entered.runs}
    return Board(
        name=spec.name,
        title=spec.title,
        description=spec.description,
        origin=spec.origin.value,
        newest=max(entered.runs, key=lambda run: run.finished).record.finished_at if entered.runs else None,
        tables=tuple(tables),
        rates=tuple(rates),
        models=tuple(
            BoardModel(label=label, spec=models[fingerprint])
            for label, fingerprint in sorted((labels[fingerprint], fingerprint) for fingerprint in models)
        ),
        not_ranked=tuple(not_ranked),
        left_out=tuple(sorted(set(left_out), key=lambda item: (item.where, item.reason))),
        superseded=len(collection.superseded),
        notes=notes,
        reported=spec.reported,
        headlines=combine_tables(shown, labels, found),
    )


def label_models(records: Iterable[RunRecord]) -> dict[str, str]:
    """Return a label for each fingerprint: the model's name, with digits of the fingerprint where names look alike."""
    names = {record.model.fingerprint: record.model.name[:LABEL_LENGTH] for record in records}
    looks = {fingerprint: _look(name) for fingerprint, name in names.items()}
    shared = Counter(looks.values())
    return {
        fingerprint: name if shared[looks[fingerprint]] == 1 else f"{name} ({fingerprint[:_FINGERPRINT_DIGITS]})"
        for fingerprint, name in names.items()
    }


def _look(name: str) -> str:
    """Return what a reader sees of `name`: names that differ in width, case or outer spaces look the same."""
    return unicodedata.normalize("NFKC", show_hidden(name)).strip().casefold()


def _select_runs(spec: BoardSpec, collection: Collection, *, include_limited: bool) -> _EligibleRuns:
    runs: list[CollectedRun] = []
    left_out: list[LeftOut] = []
    for run in collection.runs:
        if spec.position(run.record.protocol.task) is None:
            continue
        if spec.languages is not None and run.record.language not in spec.languages:
            continue
        if run.sample and spec.origin is BoardOrigin.REAL:
            left_out.append(LeftOut(where=run.where, reason="sample data never enter a board of real scores"))
        elif not run.sample and spec.origin is BoardOrigin.SAMPLE:
            left_out.append(LeftOut(where=run.where, reason="real data never enter a board of sample scores"))
        elif run.record.protocol.limit is not None and not include_limited:
            left_out.append(LeftOut(where=run.where, reason=f"limited to {run.record.protocol.limit}"))
        else:
            runs.append(run)
    return _EligibleRuns(tuple(sorted(runs, key=lambda run: run.where)), tuple(left_out))


def _find_baseline(word: str | None, runs: Sequence[CollectedRun]) -> tuple[str | None, tuple[str, ...]]:
    """Return the fingerprint of the model that `word` names, or None and a note that says why there is none."""
    if word is None:
        return None, ()
    models = [run.record.model for run in runs]
    by_name = {model.fingerprint for model in models if model.name == word}
    found = by_name or {model.fingerprint for model in models if model.word == word}
    if len(found) == 1:
        return found.pop(), ()
    if found:
        return None, (f"No gains: {len(found)} models are called {word}.",)
    return None, (f"No gains: the baseline {word} has no run here.",)


def _by_family(spec: BoardSpec, runs: Sequence[CollectedRun]) -> dict[str, list[CollectedRun]]:
    """Sort runs into families, in the order of the patterns that take them in.

    A group of tasks is a family of its own, after all others: an average over it and its tasks would count them twice.
    """

    def place(run: CollectedRun) -> tuple[bool, int, str]:
        task = run.record.protocol.task
        return run.is_group, spec.position(task) or 0, task

    families: dict[str, list[CollectedRun]] = {}
    for run in sorted(runs, key=place):
        task = run.record.protocol.task
        family = task.partition("/")[0] if not run.is_group else f"{task}, a group"
        families.setdefault(family, []).append(run)
    return families


def _by_metrics(
    spec: BoardSpec, family: str, runs: Sequence[CollectedRun]
) -> dict[tuple[str, ...], list[CollectedRun]]:
    """Return the metrics of the tables of `family`, each with the runs that they show.

    Those of the spec show all runs. Without any, each task is shown by the main metric of most of its runs, and tasks
    with one and the same main metric share a table: perplexities and accuracies have no average.
    """
    if family in spec.metrics:
        return {spec.metrics[family]: list(runs)}
    votes: dict[str, Counter[str]] = {}
    for run in runs:
        votes.setdefault(run.record.protocol.task, Counter())[run.record.main_metric] += 1
    shared: dict[tuple[str, ...], list[CollectedRun]] = {}
    for run in runs:
        counts = votes[run.record.protocol.task]
        shared.setdefault((min(counts, key=lambda metric: (-counts[metric], metric)),), []).append(run)
    return shared


def _fill_table(context: _Context, family: str, metric: str, runs: Sequence[CollectedRun]) -> _FilledTable:
    sorted_out = _sort_out(context, metric, runs)
    shown, columns = sorted_out.shown, sorted_out.columns
    higher_is_better = metric not in context.spec.lower_is_better and is_higher_better(
        metric, [run.record for run in runs]
    )
    scores = ScoreReader()
    findings = {
        fingerprint: {task: check_run(run, metric, scores) for task, run in found.items()}
        for fingerprint, found in shown.items()
    }
    cells = {
        fingerprint: {
            task: make_cell(run.record, metric, findings[fingerprint][task].fault) for task, run in found.items()
        }
        for fingerprint, found in shown.items()
    }
    models = _table_models(context, sorted_out, findings, cells)
    if columns:
        models = replace(models, least_baseline=least_baseline(metric, columns[0].task))
    table = BoardTable(
        family=family,
        metric=metric,
        higher_is_better=higher_is_better,
        baseline=context.labels[models.baseline] if models.baseline is not None else None,
        columns=columns,
        rows=make_rows(cells, columns, models, higher_is_better=higher_is_better),
        ranked_columns=models.ranked_columns,
    )
    table = infer_table(table, shown, scores)
    beside = {run.record.model.fingerprint for run in runs if find_control(run.record.model) is None} - shown.keys()
    table = replace(table, rows=leave_none_alone(table.rows, others=bool(beside)))
    return _FilledTable(table=table, shown=shown, not_ranked=sorted_out.not_ranked, left_out=sorted_out.left_out)


def _sort_out(context: _Context, metric: str, runs: Sequence[CollectedRun]) -> _SortedOut:
    """Choose the protocol of a table and the runs of its cells; a column without a run by that protocol is none."""
    wanted = context.spec.protocol
    groups = _by_task(context.spec, runs)
    asking = choose_asking(groups, wanted)
    columns: list[Column] = []
    shown: dict[str, dict[str, CollectedRun]] = {}
    not_ranked: list[NotRanked] = []
    left_out: list[LeftOut] = []
    for task, group in groups.items():
        reference = choose_column(group, metric, asking, wanted)
        if reference is None:
            not_ranked += [
                _not_ranked(context, run.record, metric, differs_from_table(run.record, asking, wanted))
                for run in sorted(group, key=_preference)
            ]
            continue
        found = _split_runs(context, metric, group, reference.record)
        columns.append(_make_column(reference.record, metric, tuple(found.column.values())))
        not_ranked += found.not_ranked
        left_out += found.left_out
        for fingerprint, run in found.column.items():
            shown.setdefault(fingerprint, {})[task] = run
    return _SortedOut(columns=tuple(columns), shown=shown, not_ranked=tuple(not_ranked), left_out=tuple(left_out))


def _table_models(
    context: _Context,
    sorted_out: _SortedOut,
    findings: Mapping[str, Mapping[str, IntegrityFinding]],
    cells: Mapping[str, Mapping[str, Cell]],
) -> TableModels:
    shown = sorted_out.shown
    controls = {
        fingerprint: control
        for fingerprint, found in shown.items()
        if (control := find_control(next(iter(found.values())).record.model)) is not None
    }
    competing = {
        fingerprint: found
        for fingerprint, found in cells.items()
        if fingerprint not in controls and any(cell.state is CellState.COMPLETE for cell in found.values())
    }
    return TableModels(
        labels=context.labels,
        controls=controls,
        notes=describe_rows(shown, findings, cells, sorted_out.columns),
        baseline=context.baseline if context.baseline in shown else None,
        ranked_columns=choose_columns(competing or cells, sorted_out.columns),
    )


def _split_runs(context: _Context, metric: str, runs: Sequence[CollectedRun], reference: RunRecord) -> _TaskRuns:
    """Divide the runs on one task: one a model into the column, those unlike `reference` beside it."""
    column: dict[str, CollectedRun] = {}
    not_ranked: list[NotRanked] = []
    left_out: list[LeftOut] = []
    for run in sorted(runs, key=_preference):
        record = run.record
        if differences := find_differences(record, reference, metric):
            not_ranked.append(_not_ranked(context, record, metric, differences))
        elif record.model.fingerprint in column:
            left_out.append(LeftOut(where=run.where, reason="another run of the model shows more of the task"))
        else:
            column[record.model.fingerprint] = run
    order = sorted(not_ranked, key=lambda item: (item.model, str(item.differences)))
    return _TaskRuns(column=column, not_ranked=tuple(order), left_out=tuple(left_out))


def _not_ranked(
    context: _Context, record: RunRecord, metric: str, differences: tuple[ProtocolDifference, ...]
) -> NotRanked:
    estimate = find_estimate(record, metric)
    return NotRanked(
        model=context.labels[record.model.fingerprint],
        task=record.protocol.task,
        metric=metric,
        value=estimate.value if estimate else None,
        differences=differences,
    )


def _by_task(spec: BoardSpec, runs: Sequence[CollectedRun]) -> dict[str, list[CollectedRun]]:
    """Group runs by task, in the order of the columns: languages as the spec has them, then names."""
    languages = spec.languages or ()

    def place(run: CollectedRun) -> tuple[int, int, str]:
        language, task = run.record.language, run.record.protocol.task
        return spec.position(task) or 0, languages.index(language) if language in languages else 0, task

    tasks: dict[str, list[CollectedRun]] = {}
    for run in sorted(runs, key=place):
        tasks.setdefault(run.record.protocol.task, []).append(run)
    return tasks


def _preference(run: CollectedRun) -> tuple[bool, int, float, str]:
    """Complete runs first, then the longer of limited ones, then the newest."""
    return run.record.protocol.limit is not None, -run.record.protocol.n, -run.finished.timestamp(), run.where


def _make_column(reference: RunRecord, metric: str, runs: Sequence[CollectedRun]) -> Column:
    signature = run_signature(reference, metric).get(METRIC_SIGNATURE)
    return Column(
        task=reference.protocol.task,
        variant=reference.protocol.task.partition("/")[2],
        language=reference.language,
        signature=signature if isinstance(signature, str) else None,
        protocol=reference.protocol,
        origins=tuple(sorted({run.record.origin.value for run in runs})),
    )
