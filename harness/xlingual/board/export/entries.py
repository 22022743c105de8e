"""A leaderboard as a flat list: an entry a model, task and metric."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ...metrics import LOWER_SUFFIX
from ...records import ModelSpec, Protocol, RunRecord
from ..collection import CollectedRun, Collection
from ..comparison import find_estimate
from ..rows import Board, BoardRow, Cell, CellState
from ..spec import BoardOrigin

NOT_COMPARABLE = "not comparable"
"""State of an entry whose run is beside the tables, for it was asked in another way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One model on one task by one metric, and where it stands."""

    model: str
    """The label on the board."""
    spec: ModelSpec
    task: str
    metric: str
    value: float | None
    state: str
    """One of `CellState`, or NOT_COMPARABLE."""
    reason: str | None
    higher_is_better: bool
    cell: Cell | None
    """None beside the tables."""
    row: BoardRow | None
    """The row of a table; None for diagnostics and beside the tables."""
    language: str
    signature: str | None
    protocol: Protocol | None
    """How this run was asked; None where its file is not known."""
    run: CollectedRun | None
    sample: bool
    """Whether the data are the packaged sample, which must not pass for the benchmark it was taken from."""

    @property
    def published(self) -> bool:
        """Whether it belongs into what says of a model how good it is: it is in a table, and no control."""
        return self.row is not None and self.row.control is None

    @property
    def whole(self) -> bool:
        """Whether the score may be published: every example was asked, answered and scored."""
        return self.state == CellState.COMPLETE.value and self.value is not None


def board_entries(board: Board, collection: Collection) -> list[Entry]:
    """Return the entries of `board`: tables, then diagnostics, then what cannot be compared; empty cells have none.

    Records come from `collection`, the one that the board was made of.
    """
    runs = _runs_of(collection)
    specs = {model.label: model.spec for model in board.models}
    found = list(_of_tables(board, specs, runs))
    known = {(each.model, each.task, each.metric) for each in found}
    found += [each for each in _of_rates(board, specs, runs) if (each.model, each.task, each.metric) not in known]
    return found + list(_of_unlike(board, specs, runs))


def _runs_of(collection: Collection) -> Mapping[tuple[str, str], list[CollectedRun]]:
    runs: dict[tuple[str, str], list[CollectedRun]] = {}
    for run in collection.runs:
        runs.setdefault((run.record.model.fingerprint, run.record.protocol.task), []).append(run)
    return runs


def _find_run(
    candidates: list[CollectedRun], metric: str, value: float | None, limit: str | None
) -> CollectedRun | None:
    """Return the run with that very score and limit; None where none or several have it."""
    fitting = [
        run
        for run in candidates
        if run.record.protocol.limit == limit
        and (estimate.value if (estimate := find_estimate(run.record, metric)) is not None else None) == value
    ]
    return fitting[0] if len(fitting) == 1 else None


def _of_tables(
    board: Board, specs: Mapping[str, ModelSpec], runs: Mapping[tuple[str, str], list[CollectedRun]]
) -> Iterator[Entry]:
    places = ((table, row) for table in board.tables for row in table.rows)
    for table, row in places:
        for cell, column in zip(row.cells, table.columns, strict=True):
            if cell.state is CellState.MISSING:
                continue
            run = _find_run(runs.get((row.fingerprint, cell.task), []), table.metric, cell.value, cell.limit)
            yield Entry(
                model=row.model,
                spec=specs[row.model],
                task=cell.task,
                metric=table.metric,
                value=cell.value,
                state=cell.state.value,
                reason=cell.reason,
                higher_is_better=table.higher_is_better,
                cell=cell,
                row=row,
                language=column.language,
                signature=column.signature,
                protocol=run.record.protocol if run is not None else column.protocol,
                run=run,
                sample=board.origin == BoardOrigin.SAMPLE.value,
            )


def _of_rates(
    board: Board, specs: Mapping[str, ModelSpec], runs: Mapping[tuple[str, str], list[CollectedRun]]
) -> Iterator[Entry]:
    for table in board.rates:
        for row in table.rows:
            spec = specs[row.model]
            for cell in row.cells:
                if cell.state is CellState.MISSING:
                    continue
                run = _find_run(runs.get((spec.fingerprint, cell.task), []), row.metric, cell.value, cell.limit)
                yield Entry(
                    model=row.model,
                    spec=spec,
                    task=cell.task,
                    metric=row.metric,
                    value=cell.value,
                    state=cell.state.value,
                    reason=cell.reason,
                    higher_is_better=False,
                    cell=cell,
                    row=None,
                    language=run.record.language if run is not None else "",
                    signature=_signature(run.record, row.metric) if run is not None else None,
                    protocol=run.record.protocol if run is not None else None,
                    run=run,
                    sample=board.origin == BoardOrigin.SAMPLE.value,
                )


def _of_unlike(
    board: Board, specs: Mapping[str, ModelSpec], runs: Mapping[tuple[str, str], list[CollectedRun]]
) -> Iterator[Entry]:
    directions = {table.metric: table.higher_is_better for table in board.tables}
    for item in board.not_ranked:
        if (spec := specs.get(item.model)) is None:
            continue
        candidates = runs.get((spec.fingerprint, item.task), [])
        limits = {run.record.protocol.limit for run in candidates}
        found = [run for limit in limits if (run := _find_run(candidates, item.metric, item.value, limit)) is not None]
        run = found[0] if len(found) == 1 else None
        yield Entry(
            model=item.model,
            spec=spec,
            task=item.task,
            metric=item.metric,
            value=item.value,
            state=NOT_COMPARABLE,
            reason="; ".join(f"{each.field}: {each.run}, ranked: {each.ranked}" for each in item.differences),
            higher_is_better=directions.get(item.metric, not item.metric.endswith(LOWER_SUFFIX)),
            cell=None,
            row=None,
            language=run.record.language if run is not None else "",
            signature=_signature(run.record, item.metric) if run is not None else None,
            protocol=run.record.protocol if run is not None else None,
            run=run,
            sample=board.origin == BoardOrigin.SAMPLE.value,
        )


def _signature(record: RunRecord, metric: str) -> str | None:
    estimate = find_estimate(record, metric)
    return estimate.signature if estimate is not None else None
