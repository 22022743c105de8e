"""`xlingual score`: a predictions file against a task, or the saved answers of runs again."""

import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click

from ..errors import UsageError
from ..files import pretty_json, write_atomically
from ..metrics.comet.metric import DEVICE, DTYPE, DTYPES, watch_scoring
from ..records import Estimate
from ..rescore import PredictionScores, recorded_task, rescore_run, results_of, score_predictions
from ..selection import select_tasks, split_words
from ..serial import to_json
from .display import show_records, show_table
from .options import ScoringLines, data_option, json_option, metrics_option, offline_option, read_data_source, takes


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreOptions:
    """The words of the command line."""

    paths: tuple[str, ...]
    task: str | None
    data: str | None
    split: str | None
    missing: str
    partial: bool
    metrics: str
    device: str | None
    dtype: str | None
    items: str | None
    offline: bool
    as_json: bool


def run_score(options: ScoreOptions) -> int:
    """Score files or run folders; 1 where a predictions file lacks examples that nothing was said of."""
    data_source = read_data_source(options.data, offline=options.offline)
    metrics = split_words(options.metrics)
    watch_scoring(None if options.as_json else ScoringLines())
    for variable, word in ((DEVICE, options.device), (DTYPE, options.dtype)):
        if word is not None:
            os.environ[variable] = word
    if options.task is None:
        records = []
        for path in (path for word in options.paths for path in results_of(Path(word))):
            task = select_tasks([recorded_task(path)], [])[0]
            note = partial(click.echo, err=True)
            records.append(rescore_run(path.parent, task, data_source, metrics, path.name, note))
        if options.as_json:
            click.echo(pretty_json({"schema": 1, "runs": to_json(tuple(records))}), nl=False)
        else:
            show_records(records)
        return 0
    tasks = select_tasks([options.task], [])
    if len(tasks) != 1 or len(options.paths) != 1:
        raise UsageError("one predictions file is scored on one task", where="--task", hint="name it whole: xquad/de")
    path = Path(options.paths[0])
    report, items = score_predictions(
        tasks[0], data_source, path, split=options.split, missing=options.missing, metrics=metrics
    )
    if options.items is not None:
        write_atomically(Path(options.items), items)
    if options.as_json:
        click.echo(pretty_json(to_json(report)), nl=False)
    else:
        show_table(f"{report.task}: {report.n} of {report.total}", ["metric", "signature", "value", "low", "high"],
                   [_row(each) for each in report.scores])  # fmt: skip
    if report.unknown:
        click.echo(f"warning: {len(report.unknown)} ids are in no example, first {report.unknown[0]!r}", err=True)
    return _partial_code(report, partial=options.partial, missing=options.missing)


def _partial_code(report: PredictionScores, *, partial: bool, missing: str) -> int:
    """Warn of examples without a prediction, and return 1 unless they were asked to be left out or count as wrong."""
    left = report.total - report.n
    if not left or missing == "zero":
        return 0
    what = "1 example has" if left == 1 else f"{left:,} of {report.total:,} examples have"
    click.echo(
        f"warning: {what} no prediction: the scores are of the other {report.n:,} alone, and no score of {report.task}",
        err=True,
    )
    if not partial:
        click.echo("hint: --missing zero counts them as wrong; --partial says that a part is what you want", err=True)
    return 0 if partial else 1


def _row(estimate: Estimate) -> list[str]:
    numbers = (estimate.value, estimate.low, estimate.high)
    if estimate.reason is not None:
        return [estimate.metric, estimate.signature, estimate.reason, "", ""]
    return [estimate.metric, estimate.signature, *("" if each is None else f"{each:.2f}" for each in numbers)]


COMMAND = click.Command(
    "score",
    params=[
        click.Argument(["paths"], nargs=-1, required=True, metavar="PRED.jsonl | RUN..."),
        click.Option(["--task", "-t"], default=None, help="Task that the predictions answer: xquad/de."),
        data_option(),
        click.Option(["--split"], default=None, help="Split instead of the task's own."),
        click.Option(
            ["--missing"],
            type=click.Choice(("skip", "zero")),
            default="skip",
            show_default=True,
            help="Examples without a prediction: leave out, or count as wrong as the official scripts do.",
        ),
        click.Option(["--partial"], is_flag=True, help="A part of the examples is wanted: exit code 0 for it, too."),
        metrics_option(),
        click.Option(["--device"], default=None, help="Of metrics with a model: auto, cpu, cuda, cuda:1."),
        click.Option(["--dtype"], type=click.Choice(DTYPES), default=None, help="Of the same; default: float32."),
        click.Option(["--items"], default=None, metavar="FILE", help="Write the statistics of every example as JSONL."),
        offline_option(),
        json_option(),
    ],
    callback=takes(ScoreOptions, run_score),
    help='Score a predictions file, lines of {"id": ..., "prediction": ...}, on a task; or, without --task, the saved '
    "answers of finished run folders again.",
    epilog="Example: xlingual score PRED.jsonl --task flores101/en-zh --data DIR --metrics comet22",
)
