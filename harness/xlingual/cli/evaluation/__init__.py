"""`xlingual eval`: run models on tasks, or show with `--dry-run` what would be run."""

import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import click

from ...files import pretty_json
from ...groups import aggregate, groups_of
from ...metrics.comet.metric import watch_scoring
from ...planning import RunSettings, run_folder
from ...plugin import Model
from ...pricing import read_prices
from ...records import RunRecord
from ...run import evaluate
from ...selection import open_model, select_tasks, split_words, untouched_languages
from ...serial import to_json
from ...store import TRACKING
from .. import printable
from ..display import show_records
from ..options import ScoringLines, takes
from ..progress import choose_observer, loading
from ..signals import orderly_signals
from .endings import show_bill, show_spread, warn
from .options import OPTIONS, EvalOptions, model_options, run_settings
from .preview import show_plans
from .summary import resume_command, show_next, show_scores, warn_shortly

if TYPE_CHECKING:
    from ...tracking import Tracker

LM_EVAL_PATH = "XLINGUAL_LM_EVAL_PATH"
"""The variable that names folders of lm-eval's tasks."""


def run_evaluation(options: EvalOptions) -> int:
    """Evaluate every model on every task; 0 where all samples have answers, else 1."""
    settings = run_settings(options)
    _include(options.include_path)
    languages = split_words(options.langs)
    tasks = select_tasks(split_words(options.tasks), languages, settings.data_source, settings.split)
    prices = None if options.price is None else read_prices(options.price)
    watch_scoring(None if options.as_json or options.progress == "none" else ScoringLines())
    records: list[RunRecord] = []
    shown_plans: list[dict[str, object]] = []
    observer = choose_observer("none" if options.as_json else options.progress)
    for code in untouched_languages(tasks, languages):
        observer.note(f"no chosen task answers in {code}")
    words = tuple(dict.fromkeys(options.model))  # a model that is named twice is one
    for number, word in enumerate(words, start=1):
        with ExitStack() as endings:
            endings.enter_context(loading(observer, word))
            model = endings.enter_context(closing(open_model(word, model_options(options))))
            if options.dry_run:
                observer.end()
                shown_plans += show_plans(model, tasks, settings, prices, as_json=options.as_json)
                continue
            tracker = _open_tracker(options, settings, model)
            if tracker is not None:
                endings.callback(tracker.close)
            with orderly_signals(_resume_hint(options, words[number:])):
                found = evaluate(model, tasks, settings, observer)
            records += found
            if tracker is not None:
                _mirror(tracker, found, settings, samples=options.track_samples)
    if options.dry_run:
        if options.as_json:
            click.echo(pretty_json({"schema": 1, "plans": to_json(shown_plans)}), nl=False)
        return 0
    groups = aggregate(groups_of(tasks), records)
    _show_results(options, records, groups)
    show_bill(records, prices)
    if not options.as_json:
        _show_origins(records)
        click.echo(f"runs: {settings.out}", err=True)
        if _is_short(options):
            show_next(records, options.out, limited=options.limit is not None)
    return 0 if all(record.counts.failed == record.counts.missing == 0 for record in records) else 1


def _is_short(options: EvalOptions) -> bool:
    """Whether the command ends for a person: on a terminal that did not ask for everything."""
    return sys.stdout.isatty() and not options.show_all and not options.as_json


def _show_results(options: EvalOptions, records: list[RunRecord], groups: list[RunRecord]) -> None:
    if _is_short(options):
        show_scores([*records, *groups])
        show_spread(records)
        warn_shortly(records)
        return
    warn(records)
    if options.as_json:
        shown = {"schema": 1, "runs": to_json(tuple(records))}
        click.echo(pretty_json({**shown, "groups": to_json(tuple(groups))} if groups else shown), nl=False)
    else:
        show_records([*records, *groups])
        show_spread(records)


def _show_origins(records: list[RunRecord]) -> None:
    """Say of each model that was tuned here what it was tuned from."""
    for name, parent in dict.fromkeys((each.model.name, each.model.parent) for each in records):
        if parent is not None:
            click.echo(printable(f"{name}: tuned from {parent}"), err=True)


def _include(folders: Sequence[str]) -> None:
    """Add folders to those that lm-eval's tasks are looked for in."""
    if folders:
        before = os.environ.get(LM_EVAL_PATH, "")
        os.environ[LM_EVAL_PATH] = os.pathsep.join([*folders, *filter(None, [before])])


def _open_tracker(options: EvalOptions, settings: RunSettings, model: Model) -> "Tracker | None":
    if options.track is None:
        return None
    from ...tracking import open_tracker  # noqa: PLC0415 (only where it is asked for)

    return open_tracker(options.track, settings.out / TRACKING, model.spec.name, _warn_line)


def _mirror(tracker: "Tracker", records: list[RunRecord], settings: RunSettings, *, samples: bool) -> None:
    from ...tracking import mirror_runs  # noqa: PLC0415 (only where it is asked for)

    folders = [(each, run_folder(settings.out, each.model, each.protocol, each.template)) for each in records]
    mirror_runs(tracker, folders, samples=samples)


def _warn_line(message: str) -> None:
    click.echo(f"warning: {printable(message)}", err=True)


def _resume_hint(options: EvalOptions, later: Sequence[str]) -> str:
    """Say how to go on with this run.

    Of models that come `later`, earlier answers are still there: only --fresh asks them again.
    """
    hint = f"the same command again resumes: {resume_command()}"
    return f"{hint}; before it, --fresh for {', '.join(later)}, not begun" if options.fresh and later else hint


COMMAND = click.Command(
    "eval",
    params=OPTIONS,
    callback=takes(EvalOptions, run_evaluation),
    help="Run models on tasks. The same command again resumes and never asks a finished sample twice.",
    epilog="Example: xlingual eval -m smollm2 -t xquad,flores101/en-* -l zh,ar --data DIR --limit 40",
)
