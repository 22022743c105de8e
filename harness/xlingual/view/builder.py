"""From collected runs to the file: read samples, choose texts, write the page."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from ..analysis.sections import PageSection
from ..board.collection import CollectedRun, Collection
from ..errors import XlingualError
from ..files import read_json
from ..identity import Json, content_hash
from ..records import RunRecord
from ..serial import to_json
from .document import TextChunk, write_page
from .faults import find_faults
from .ordering import MainScores, TaskOrder, example_names, order_task, rank_samples, sort_samples
from .provenance import clean_text, show_record
from .samples import RunSamples, TaskExamples, read_run_samples
from .tables import ViewTable, build_tables, describe_protocol, language_tag, show_estimate
from .texts import CHUNK_ROWS, ChosenTexts, RunTexts, TaskTexts, choose_texts, encode

VIEW_SCHEMA = 1
SAMPLE_LICENCE = "Apache-2.0"
"""Of the packaged sample, which was written for this project, whatever the licence of the benchmark."""
DEFAULT_TEXTS = 64 * 10**6
"""Bytes of texts in a page: what a browser opens in less than a second and a mail may still carry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewOptions:
    """What goes into the page."""

    texts: int = DEFAULT_TEXTS
    """Bytes of texts at most, compressed as they are in the file."""
    golds: bool = True
    """False: gold answers are left out, so that the page does not publish them."""
    analyses: tuple[PageSection, ...] = ()
    """What lies beside the runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewSummary:
    """What a page holds."""

    models: int
    tasks: int
    samples: int
    texts: int
    """Samples whose texts are in the page."""
    size: int
    """Bytes of the file."""
    notes: tuple[str, ...]
    """Runs whose samples could not be read, with the reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _ReadRun:
    """A run of the page with its samples, where it has any."""

    task: int
    main: MainScores | None
    note: str | None
    """Why there are no samples."""
    faults: Mapping[str, str]
    """By metric, why its number is not believed: the results were edited."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Page:
    """All that is written down."""

    collection: Collection
    tables: tuple[ViewTable, ...]
    tasks: tuple[TaskTexts, ...]
    runs: tuple[_ReadRun, ...]
    texts: tuple[RunTexts | None, ...]
    chosen: ChosenTexts


def write_view(
    collection: Collection, target: Path, options: ViewOptions, on_run: Callable[[str], object] | None = None
) -> ViewSummary:
    """Write the page of `collection` to `target`, replaced whole; the same runs and options give the same bytes.

    `on_run` is told the place of each run before its samples are read. A run whose samples cannot be read stays with
    its scores and a note. EnvironmentFault where the file cannot be written.
    """
    page = _read(collection, options, on_run)
    size = write_page(target, _index(page, options), _chunks(page), options.analyses)
    names = {run.record.model.fingerprint for run in collection.runs}
    return ViewSummary(
        models=len(names),
        tasks=len({run.record.protocol.task for run in collection.runs}),
        samples=sum(_count(run) for run in page.runs),
        texts=sum(_texts_here(page)),
        size=size,
        notes=tuple(
            read.note
            for run, read in zip(collection.runs, page.runs, strict=True)
            if read.note is not None and not run.is_group
        ),
    )


def _read(collection: Collection, options: ViewOptions, on_run: Callable[[str], object] | None) -> _Page:
    tables = build_tables(collection.runs)
    metrics = {
        index: table.metrics[0] for table in tables for row in table.rows for index in row.runs if index is not None
    }
    tasks: dict[tuple[bool, str], int] = {}
    examples: list[TaskExamples] = []
    runs: list[_ReadRun] = []
    for index, run in enumerate(collection.runs):
        if on_run is not None:
            on_run(run.where)
        task = tasks.setdefault((run.sample, run.record.protocol.task), len(tasks))
        if task == len(examples):
            examples.append(TaskExamples())
        kept: list[Mapping[str, Json]] = []
        samples, note = _read_samples(run, examples[task], kept)
        metric = metrics[index]
        main = None if samples is None else MainScores(samples, metric.name, metric.higher_is_better)
        faults = {} if samples is None else find_faults(run, kept)
        runs.append(_ReadRun(task=task, main=main, note=note, faults=faults))
    orders = [_order(number, each, runs) for number, each in enumerate(examples)]
    texts = tuple(_run_texts(run, orders) for run in runs)
    shared = tuple(
        TaskTexts(examples=each, order=order, golds=options.golds) for each, order in zip(examples, orders, strict=True)
    )
    chosen = choose_texts(shared, texts, options.texts)
    return _Page(collection=collection, tables=tables, tasks=shared, runs=tuple(runs), texts=texts, chosen=chosen)


def _read_samples(
    run: CollectedRun, examples: TaskExamples, kept: list[Mapping[str, Json]]
) -> tuple[RunSamples | None, str | None]:
    if run.path is None:
        return None, "a group of tasks: its samples are those of the tasks" if run.is_group else "read from no file"
    path = run.path.with_name(f"samples{run.path.stem.removeprefix('results')}.jsonl")
    try:
        return read_run_samples(path, examples, kept), None
    except XlingualError as error:
        return None, clean_text(f"{run.where}: {error.what}".partition("\n")[0])


def _order(task: int, examples: TaskExamples, runs: Sequence[_ReadRun]) -> TaskOrder:
    return order_task(
        example_names(examples.indexes), [run.main for run in runs if run.task == task and run.main is not None]
    )


def _run_texts(run: _ReadRun, orders: Sequence[TaskOrder]) -> RunTexts | None:
    if run.main is None:
        return None
    priorities = rank_samples(run.main, orders[run.task])
    rows = sort_samples(run.main, priorities, orders[run.task])
    return RunTexts(task=run.task, scores=run.main, rows=rows, priorities=priorities)


def _count(run: _ReadRun) -> int:
    return 0 if run.main is None else len(run.main.samples.examples)


def _texts_here(page: _Page) -> list[int]:
    """Return how many samples of each run have their texts in the page."""
    chunks = Counter(run for run, _ in page.chosen.runs)
    return [min(_count(run), chunks[number] * CHUNK_ROWS) for number, run in enumerate(page.runs)]


def _index(page: _Page, options: ViewOptions) -> Json:
    """Return what the page knows before anything is clicked on."""
    newest = max((run.finished for run in page.collection.runs), default=None)
    references = {
        index: page.collection.runs[column.reference].record
        for table in page.tables
        for row in table.rows
        for index, column in zip(row.runs, table.columns, strict=True)
        if index is not None
    }
    here = _texts_here(page)
    return {
        "schema": VIEW_SCHEMA,
        "version": version("xlingual"),
        "newest": None if newest is None else newest.isoformat(timespec="seconds"),
        "golds": options.golds,
        "chunk_rows": CHUNK_ROWS,
        "tables": [_show_table(table, page) for table in page.tables],
        "runs": [
            {
                **_show_run(run),
                "task_number": read.task,
                "scores": {
                    each.metric: show_estimate(
                        run.record, each.metric, references[number], read.faults.get(each.metric)
                    )
                    for each in run.record.estimates
                },
                "samples": _count(read),
                "texts": here[number],
                "note": read.note,
                "is_group": run.is_group,
            }
            for number, (run, read) in enumerate(zip(page.collection.runs, page.runs, strict=True))
        ],
        "left_out": [[clean_text(each.where), clean_text(each.reason)] for each in page.collection.left_out],
        "superseded": len(page.collection.superseded),
        "texts": {"here": sum(here), "all": sum(_count(run) for run in page.runs), "bytes": page.chosen.size},
    }


def _show_table(table: ViewTable, page: _Page) -> Json:
    data = to_json(table)
    if not isinstance(data, dict):
        raise TypeError("a table is a record")
    runs = [page.collection.runs[column.reference] for column in table.columns]
    licences = [SAMPLE_LICENCE] if table.sample else [_licence(run) for run in runs]
    return {**data, "licences": sorted({each for each in licences if each})}


def _licence(run: CollectedRun) -> str:
    """Return the licence of a run's data, as its run.json names it; "" where there is none."""
    try:
        data = read_json(run.path.with_name("run.json")) if run.path is not None else None
    except XlingualError:
        return ""
    match data:
        case {"task": {"licence": str(licence)}}:
            return licence
    return ""


def _show_run(run: CollectedRun) -> Mapping[str, Json]:
    record = run.record
    return {
        "id": content_hash([run.where, record.model.fingerprint, to_json(record.protocol)])[:12],
        "where": clean_text(run.where),
        "task": record.protocol.task,
        "lang": language_tag(record.language),
        "prompt_lang": language_tag(_prompt_language(record)),
        "expected": record.protocol.n,
        "protocol": list(describe_protocol(record.protocol)),
        "finished_at": record.finished_at,
    }


def _prompt_language(record: RunRecord) -> str:
    """Return the language that most of a prompt is in: of a translation that of its source."""
    source, _, target = record.protocol.task.partition("/")[2].partition("-")
    return record.protocol.prompt_language or (source if target else record.language)


def _chunks(page: _Page) -> list[TextChunk]:
    """Return all chunks: first what every click needs, then texts."""
    chunks = [
        TextChunk(f"t{number}", encode({"positions": list(task.order.positions)}))
        for number, task in enumerate(page.tasks)
    ]
    chunks += [TextChunk(f"r{number}", encode(_run_facts(page, number))) for number in range(len(page.runs))]
    chunks += [TextChunk(f"s{task}-{chunk}", text) for (task, chunk), text in sorted(page.chosen.tasks.items())]
    chunks += [TextChunk(f"o{run}-{chunk}", text) for (run, chunk), text in sorted(page.chosen.runs.items())]
    return chunks


def _run_facts(page: _Page, number: int) -> Json:
    """Return the record of a run and the scores of all its samples."""
    texts, run = page.texts[number], page.runs[number].main
    facts: dict[str, Json] = {"record": show_record(page.collection.runs[number])}
    if texts is None or run is None:
        return facts
    samples = run.samples
    repeats = page.collection.runs[number].record.protocol.repeats or 1
    usual = all(example == row // repeats for row, example in enumerate(samples.examples))
    return {
        **facts,
        "repeats": repeats,
        "examples": None if usual else list(samples.examples),
        "flags": list(samples.flags) if any(samples.flags) else None,
        "priorities": [int(each) for each in texts.priorities],
        "scores": {name: list(values) for name, values in samples.scores.items() if any(v is not None for v in values)},
    }
