"""A judge on the answers of runs: plan, ask, score, write down.

    judge_runs(model, [run], settings, observer)      one JudgeReport a run

Results go into a folder beside that of the judged run, in the form of a run of the judged model, so that boards,
comparisons and pages read them; nothing of the judged run is touched.

    MODEL-1a2b3c4d/judge_correctness-xquad-en-9f8e7d6c/
        results.json, samples.jsonl      as of a run: the model is the judged one, the metric `judge_correct`
        judge.json                       the JudgeReport
        verdicts/                        the judge's own journal
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import AuthError, DataError, EnvironmentFault, UsageError, XlingualError
from ..identity import content_hash, slug
from ..planning import TaskPlan, identifying_part
from ..plugin import Model
from ..pricing import Forecast, forecast
from ..prompt import FittedRequest
from ..run import OpenPlan, RunObserver, open_plans
from ..serial import to_json
from ..store import answered_keys
from .asking import (
    VERDICTS,
    JudgeSettings,
    ask_judge,
    hash_identity,
    identify,
    most_tokens,
    plan_questions,
    prompt_tokens,
)
from .calibration import LabelledSet
from .cases import Case, make_cases, shown_examples
from .judged import JUDGED_PREFIX, JudgedRun
from .recording import Outcome, record_outcome
from .records import JudgeIdentity, JudgeReport

Fields = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """What a judge is to do with one run."""

    run: JudgedRun
    other: JudgedRun | None
    """Of pairs."""
    fields: Fields
    """Of the examples, by id, where the prompt shows the source."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgePlan:
    """Everything about a judge on one run that is known before the first question."""

    assignment: Assignment
    identity: JudgeIdentity
    cases: tuple[Case, ...]
    questions: TaskPlan | None
    """None: rules decide everything."""
    folder: Path
    against: str | None
    """Model and hash of the answers that pairs are against, for the signature."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What a command would ask."""

    requests: int
    """Without those that have a verdict."""
    finished: int
    too_long: int
    """Questions that do not fit the judge's window."""
    prompt_tokens: int
    is_exact: bool
    """Whether the tokens of prompts were counted."""
    most_new_tokens: int
    cost: Forecast | None
    """None without prices."""


def plan_judging(
    model: Model, assignments: Sequence[Assignment], settings: JudgeSettings, labelled: LabelledSet | None
) -> tuple[list[JudgePlan], TaskPlan | None]:
    """Lay out the judging of every run, and of the labelled items; nothing is asked or written yet.

    Raises UsageError where two runs would have one folder, DataError or UsageError for a run that cannot be judged.
    """
    identity = identify(model.spec, settings)
    plans = [_plan(model, each, identity, settings) for each in assignments]
    folders = [each.folder for each in plans]
    twice = next((each for each in folders if folders.count(each) > 1), None)
    if twice is not None:
        raise UsageError("two of the runs are the same", where=str(twice), hint="name each run once")
    if labelled is None:
        return plans, None
    name = f"{JUDGED_PREFIX}calibration/{Path(labelled.file).stem}"
    folder = _runs_folder(assignments[0].run) / slug(name, hash_identity(identity, labelled.sha256)) / VERDICTS
    examples = [example for item in labelled.items for example in item.shown]
    return plans, plan_questions(name, examples, model, settings, folder)


def _runs_folder(run: JudgedRun) -> Path:
    """Return the folder of all models, whose runs share verdicts on labels; of a run that was moved, that around it."""
    model = run.record.model
    inside = run.folder.resolve().parent.name == slug(model.name, model.fingerprint)
    return run.folder.parent.parent if inside else run.folder.parent


def _plan(model: Model, assignment: Assignment, identity: JudgeIdentity, settings: JudgeSettings) -> JudgePlan:
    run, other = assignment.run, assignment.other
    record = run.record
    cases = make_cases(run, other, settings.prompt, settings.screening, assignment.fields)
    against = None
    if other is not None:
        answers = content_hash(
            [[each.answer.name, each.other.text if each.other is not None else None] for each in cases]
        )
        against = f"{other.record.model.name}#{other.record.model.fingerprint[:8]}/{answers[:8]}"
    task = f"{JUDGED_PREFIX}{identity.kind}/{record.protocol.task}"
    whole = None if other is None else [other.record.model.fingerprint, other.folder.name]
    digest = hash_identity(identity, run.folder.name, to_json(identifying_part(record.protocol)), whole)
    folder = run.folder.parent / slug(task, digest)
    name = f"{task} of {run.folder.parent.name}"
    questions = plan_questions(name, shown_examples(cases), model, settings, folder / VERDICTS)
    return JudgePlan(
        assignment=assignment, identity=identity, cases=cases, questions=questions, folder=folder, against=against
    )


def foresee(model: Model, plans: Sequence[JudgePlan], labels: TaskPlan | None, settings: JudgeSettings) -> Outlook:
    """Return what would be asked, and what it costs at least and at most; stored verdicts are left out."""
    questions = [each for each in (*(plan.questions for plan in plans), labels) if each is not None]
    pending: dict[str, FittedRequest] = {}
    finished = 0
    for each in questions:
        known = frozenset() if settings.fresh else answered_keys(each.folder)
        for fitted in each.fitted:
            if fitted.request.key in known:
                finished += 1
            else:
                pending.setdefault(fitted.request.key, fitted)
    requests = [each.request for each in pending.values() if not each.overflow]
    lengths, is_exact = prompt_tokens(model, requests)
    most = sum(map(most_tokens, requests))
    bill = None
    if settings.budget is not None:
        total = sum(lengths)
        bill = forecast(settings.budget.price, prompt_tokens=total, most_new_tokens=most, is_exact=is_exact)
    return Outlook(
        requests=len(requests),
        finished=finished,
        too_long=sum(each.overflow for each in pending.values()),
        prompt_tokens=sum(lengths),
        is_exact=is_exact,
        most_new_tokens=most,
        cost=bill,
    )


def judge_runs(
    model: Model,
    plans: Sequence[JudgePlan],
    labels: tuple[LabelledSet, TaskPlan | None] | None,
    settings: JudgeSettings,
    observer: RunObserver,
) -> list[JudgeReport]:
    """Ask the judge what has no verdict yet, and return and write a report for every run.

    What is stored is never asked again. Where the judge fails on the way, what there is is written down before the
    error is raised. Raises UsageError for a budget that allows no question at all.
    """
    questions = [each.questions for each in plans if each.questions is not None]
    calibrating = None if labels is None else labels[1]
    # Labels come first: a budget that ends in the middle of a run has not left out what says whether to believe it.
    with open_plans([*([] if calibrating is None else [calibrating]), *questions], settings.fresh, observer) as opened:
        fault: XlingualError | None = None
        try:
            ask_judge(model, opened, settings, observer)
        except (AuthError, EnvironmentFault, DataError) as error:
            fault = error
        finally:
            observer.end()
        by_folder = {each.plan.folder: each for each in opened}
        labelled = None if labels is None or calibrating is None else (labels[0], by_folder[calibrating.folder])
        known = [plan for plan in plans if fault is None or _has_verdicts(plan, by_folder)]
        reports = [_record(plan, by_folder, labelled, settings) for plan in known]
        if fault is not None:
            raise fault
    return reports


def _has_verdicts(plan: JudgePlan, opened: Mapping[Path, OpenPlan]) -> bool:
    """Whether anything was said of a run; of a judge that could not be asked at all there is nothing to write down."""
    return plan.questions is None or bool(opened[plan.questions.folder].journal.responses)


def _record(
    plan: JudgePlan,
    opened: Mapping[Path, OpenPlan],
    labelled: tuple[LabelledSet, OpenPlan] | None,
    settings: JudgeSettings,
) -> JudgeReport:
    outcome = Outcome(
        run=plan.assignment.run,
        other=plan.assignment.other,
        identity=plan.identity,
        against=plan.against,
        cases=plan.cases,
        opened=None if plan.questions is None else opened[plan.questions.folder],
        labelled=labelled,
        settings=settings,
        folder=plan.folder,
    )
    return record_outcome(outcome)
