"""`xlingual judge`: a model says how good the answers of runs are, and the report says how far to believe it."""

from contextlib import ExitStack, closing
from pathlib import Path

import click

from ...errors import UsageError
from ...files import pretty_json
from ...judging.calibration import read_labels
from ...judging.judged import JudgedRun, find_opponent, find_runs, first_answers, require_golds
from ...judging.judgement import Assignment, JudgePlan, Outlook, foresee, judge_runs, plan_judging
from ...judging.prompts import JudgePrompt, find_prompt
from ...judging.records import JudgeKind, JudgeReport
from ...judging.sources import read_fields
from ...judging.tables import report_tables
from ...plugin import Model
from ...pricing import format_money
from ...selection import open_model, split_words
from ...serial import to_json
from .. import printable
from ..display import show_table
from ..evaluation.summary import resume_command
from ..options import read_data_source, takes
from ..progress import choose_observer, loading
from ..signals import orderly_signals
from .options import OPTIONS, JudgeOptions, judge_settings, model_options


def run_judge(options: JudgeOptions) -> int:
    """Judge every run; 0 where each answer was judged or ruled on, else 1."""
    kind = JudgeKind(options.kind)
    if (options.against is None) == (kind is JudgeKind.PAIRWISE):
        hint = "name the run, or the folder of the model, that answers are compared with"
        raise UsageError("goes with --kind pairwise, and with no other", where="--against", hint=hint)
    if options.data is not None and kind is not JudgeKind.TRANSLATION:
        raise UsageError("only translations are shown with their source", where="--data", hint="leave --data out")
    prompt = find_prompt(options.prompt, kind)
    labelled = None if options.calibration is None else read_labels(Path(options.calibration).expanduser(), prompt)
    observer = choose_observer("none" if options.as_json else options.progress)
    with ExitStack() as endings:
        endings.enter_context(loading(observer, options.judge))
        model = endings.enter_context(closing(_open(options)))
        settings = judge_settings(options, prompt, model.spec.name)
        assignments, notes = _assign(options, prompt)
        for note in notes:
            observer.note(note)
        plans, labels = plan_judging(model, assignments, settings, labelled)
        outlook = foresee(model, plans, labels, settings)
        observer.end()
        _show_outlook(options, outlook, model)
        if options.dry_run:
            _show_first(options, plans, outlook)
            return 0
        with orderly_signals(f"the same command again resumes: {resume_command()}"):
            reports = judge_runs(model, plans, None if labelled is None else (labelled, labels), settings, observer)
    _show(options, reports, plans)
    return 1 if any(each.counts.failed or each.counts.unasked for each in reports) else 0


def _open(options: JudgeOptions) -> Model:
    """Open the judge; what is wrong with its name is said of the option that it stands in here."""
    try:
        return open_model(options.judge, model_options(options))
    except UsageError as error:
        where = "--judge" if error.where == "--model" else error.where
        raise UsageError(error.what, where=where, hint=error.hint) from error


def _assign(options: JudgeOptions, prompt: JudgePrompt) -> tuple[list[Assignment], list[str]]:
    """Return what is to be judged, and why other runs are not; UsageError where none is left.

    Of several runs, one that this kind is not for is left out with a note: a folder of a model has runs of all kinds.
    """
    runs, notes = find_runs(options.runs, split_words(options.tasks))
    others: list[JudgedRun] = [] if options.against is None else find_runs([options.against])[0]
    given = None if options.data is None else read_data_source(options.data, offline=options.offline)
    found: list[Assignment] = []
    refused: list[UsageError] = []
    for run in runs if options.limit is None else [first_answers(run, options.limit) for run in runs]:
        if any(run.folder.resolve() == other.folder.resolve() for other in others) and len(runs) > 1:
            notes.append(f"{run.name} is what the others are compared with")
            continue
        try:
            if prompt.kind is JudgeKind.CORRECTNESS and prompt.uses_reference:
                require_golds(run)
            other = find_opponent(run, others) if others else None
            fields = read_fields(run, given) if prompt.kind is JudgeKind.TRANSLATION else {}
        except UsageError as error:
            refused.append(error)
            notes.append(f"left out: {run.name}: {error.what}")
        else:
            found.append(Assignment(run=run, other=other, fields=fields))
    if not found and refused:
        raise refused[0]
    return found, notes


def _show_outlook(options: JudgeOptions, outlook: Outlook, model: Model) -> None:
    """Say on stderr what will be asked and what it costs, before anything is."""
    if options.as_json:
        return
    about = "" if outlook.is_exact else "about "
    stored = f"; {outlook.finished} have a verdict already" if outlook.finished else ""
    long = f"; {outlook.too_long} do not fit its window and are not asked" if outlook.too_long else ""
    tokens = f"{about}{outlook.prompt_tokens:,} tokens read, up to {outlook.most_new_tokens:,} written"
    click.echo(printable(f"judge {model.spec.name}: {outlook.requests} questions, {tokens}{stored}{long}"), err=True)
    if outlook.cost is not None:
        words = f"{about}{format_money(outlook.cost.least)} to {format_money(outlook.cost.most)}"
        limit = "" if options.budget is None else f", of which this command spends at most {options.budget:g}"
        click.echo(f"costs {words}{limit}", err=True)


def _show_first(options: JudgeOptions, plans: list[JudgePlan], outlook: Outlook) -> None:
    if options.as_json:
        document = {"outlook": to_json(outlook), "folders": [str(each.folder) for each in plans]}
        click.echo(pretty_json({"schema": 1, **document}), nl=False)
        return
    for plan in plans:
        ruled = sum(case.rule is not None for case in plan.cases)
        asked = 0 if plan.questions is None else len(plan.questions.fitted)
        counts = f"{len(plan.cases)} answers, {ruled} decided without the judge, {asked} questions"
        click.echo(printable(f"{plan.assignment.run.name}: {counts}"))
        click.echo(f"  goes to: {plan.folder}")
    first = next((each.questions for each in plans if each.questions is not None), None)
    if first is not None:
        for message in first.fitted[0].request.messages:
            click.echo(printable(f"  [{message.role}]\n{message.text}"))


def _show(options: JudgeOptions, reports: list[JudgeReport], plans: list[JudgePlan]) -> None:
    if options.as_json:
        click.echo(pretty_json({"schema": 1, "reports": to_json(tuple(reports))}), nl=False)
        return
    for table in report_tables(reports):
        show_table(table.title, table.header, table.rows)
    for report in reports:
        for note in report.notes:
            click.echo(printable(f"note: {report.model} on {report.task}: {note}"), err=True)
    for plan in plans:
        click.echo(f"judged: {plan.folder}", err=True)


COMMAND = click.Command(
    "judge",
    params=OPTIONS,
    callback=takes(JudgeOptions, run_judge),
    help="Let a model judge the answers of finished runs, and report how far it can be believed: its two orders "
    "against each other, its verdicts against gold answers and labels. The same command again resumes; no verdict is "
    "asked for twice.",
    epilog="Example: xlingual judge runs/A --judge openai:NAME@http://host/v1 --kind pairwise --against runs/B",
)
