"""From a task, a model and settings to a plan: which examples, which demonstrations, which requests, which folder."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from .demonstrations import DemonstrationChoice, choose_demonstrations
from .errors import DataError, UsageError
from .example_hash import hash_examples, hash_prompts
from .identity import content_hash, slug
from .metrics.extra import choose_extra, unfit
from .plugin import ChatTask, DataSource, Model, SelfScoredTask, Task
from .prompt import FittedRequest, Rendering, choose_template, cut_beginning, fit, request_key, require_room
from .question_settings import QuestionProtocol, QuestionSettings, sampling_notes, settle_question
from .records import (
    DataFile,
    Demonstration,
    Example,
    Examples,
    Form,
    ModelSpec,
    Origin,
    Protocol,
    Request,
    TaskSpec,
    Translation,
    label_task,
)
from .redaction import redact_name
from .registry import SAMPLING, THINKING, used_options
from .sampling import sample_sampling
from .serial import to_json
from .thinking import ThinkingMode

OWN_TEMPLATE = "own"
"""The template of tasks that word their requests themselves."""
OWN_CHAT = "own, chat"
"""That of such tasks where their words are put through the model's chat template."""
CHAT_TEMPLATE = "chat"


@dataclass(frozen=True, slots=True)
class Limit:
    """A slice of the examples, counted from 1, both ends included."""

    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSettings:
    """What the user chose for a run, besides model and tasks."""

    data_source: DataSource
    out: Path
    split: str | None = None
    """None: each task's own."""
    template: str = "auto"
    shots: int = 0
    seed: int = 0
    max_new_tokens: int | None = None
    """None: each task's own."""
    stop: tuple[str, ...] | None = None
    """None: the template's own."""
    limit: Limit | None = None
    on_overflow: str = "truncate"
    fresh: bool = False
    """Ask everything again."""
    max_errors: int | None = None
    """Failed samples after which a run stops; None: 20 or 5%, whichever is more."""
    question: QuestionSettings = field(default_factory=QuestionSettings)
    """How questions are put."""
    metrics: tuple[str, ...] = ()
    """What answers are scored by besides the metrics of their task."""

    @property
    def demonstrations(self) -> DemonstrationChoice:
        """What the choice of demonstrations goes by."""
        return DemonstrationChoice(shots=self.shots, seed=self.seed, data_source=self.data_source)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskPlan:
    """Everything about one model on one task that is known before the first answer."""

    task: Task
    model: ModelSpec
    protocol: Protocol
    template: str
    examples: tuple[Example, ...]
    """One for each answer: with repeats, each example as often as it is asked."""
    fitted: tuple[FittedRequest, ...]
    """In the order of `examples`."""
    evaluated: tuple[Example, ...]
    """All examples of the split, whatever the limit."""
    files: tuple[DataFile, ...]
    demonstrations: tuple[Demonstration, ...]
    folder: Path
    notes: tuple[str, ...] = ()
    """What a user should know of the plan."""
    also: tuple[str, ...] = ()
    """Metrics besides those of the task."""

    @property
    def name(self) -> str:
        """The task's name, with the wording where that is not its first."""
        return label_task(self.task.spec.name, self.task.spec.asked_in, self.task.spec.variant)

    @property
    def suffix(self) -> str:
        """What summary files are marked with: a limited run never replaces a whole one."""
        return f"-limit-{self.protocol.limit}" if self.protocol.limit else ""

    @property
    def origin(self) -> Origin:
        """Where the data came from."""
        return self.files[0].origin if self.files else Origin.LOCAL


def parse_limit(word: str) -> Limit:
    """Return the limit that `word` means: "40" or "11-20"; UsageError otherwise."""
    first, dash, last = word.partition("-")
    try:
        limit = Limit(int(first), int(last)) if dash else Limit(1, int(first))
    except ValueError:
        limit = Limit(0, 0)
    if limit.first < 1 or limit.last < limit.first:
        raise UsageError(f"{word!r} is not a number of examples", where="--limit", hint="use N or A-B, counted from 1")
    return limit


def plan_task(task: Task, model: Model, settings: RunSettings) -> TaskPlan:
    """Read the task's data and lay out the run; nothing is asked or written yet.

    Raises DataError, UsageError or EnvironmentFault with the task's name where its data or settings are unusable.
    """
    task = _through_chat(task, settings)
    spec = task.spec
    split = settings.split or spec.split
    found = task.examples(split, settings.data_source)
    shots, evaluated = choose_demonstrations(task, found.rows, split, settings.demonstrations)
    if not evaluated:
        raise DataError("no examples are left to evaluate", where=spec.name)
    chosen = _slice(len(evaluated), settings.limit, spec.name)
    part = slice(chosen.first - 1, chosen.last)
    question = settle_question(spec, model.spec, settings.question)
    _require_features(model.spec, question)
    rendering = _rendering(task, model.spec, settings, question)
    if isinstance(task, SelfScoredTask):
        requests = _own_requests(task, spec.name, model, settings, evaluated, part)
    else:
        require_room(model.spec, rendering.answer_tokens, where=spec.name)
        prompts = [task.prompt(example) for example in evaluated]
        fitted = fit(prompts[part], shots, rendering, model.count_tokens)
        requests = _TaskRequests(rendering.template, hash_prompts(prompts, shots), fitted)
    protocol = Protocol(
        task=spec.name,
        task_version=spec.version,
        split=split,
        data=hash_examples(evaluated),
        n=chosen.last - chosen.first + 1,
        limit=None if chosen == Limit(1, len(evaluated)) else f"{chosen.first}-{chosen.last}",
        prompts=requests.prompts,
        template="native" if requests.template in (model.spec.template, OWN_TEMPLATE) else requests.template,
        shots=settings.shots,
        seed=settings.seed if settings.shots else None,
        max_new_tokens=rendering.max_new_tokens,
        stop=rendering.stop if spec.max_new_tokens else None,
        on_overflow=settings.on_overflow,
        prompt_language=spec.asked_in,
        variant=spec.variant,
        shots_as_text=True if rendering.shots_as_text and settings.shots else None,
    )
    protocol = question.added_to(protocol)
    notes = list(_notes(spec, found, protocol, len(found.rows) - len(evaluated), settings))
    notes += sampling_notes(spec, model.spec, settings.question.sampling, question)
    examples, drawn = _draw(evaluated[part], requests.fitted, model.spec, question)
    return TaskPlan(
        task=task,
        model=model.spec,
        protocol=protocol,
        template=requests.template,
        examples=examples,
        fitted=_number_repeats(drawn),
        evaluated=tuple(evaluated),
        files=found.files,
        demonstrations=shots,
        folder=run_folder(settings.out, model.spec, protocol, requests.template),
        notes=tuple(notes),
        also=choose_extra(spec, settings.metrics),
    )


def _require_features(model: ModelSpec, question: QuestionProtocol) -> None:
    """Refuse to ask a model for what its backend says that it cannot do, and would leave out without a word.

    Raises UsageError naming the option.
    """
    used = used_options(model.backend)
    if used is None:
        return
    wanted = (
        (SAMPLING, question.sampling is not None, "--temperature", "it answers greedily: --sampling greedy"),
        (THINKING, question.thinking is not None, "--thinking", "leave the option out"),
        (THINKING, question.max_thinking_tokens is not None, "--max-thinking-tokens", "leave the option out"),
    )
    for feature, is_wanted, option, hint in wanted:
        if is_wanted and feature not in used:
            raise UsageError(f"{model.backend} models cannot follow it", where=option, hint=hint)


def _rendering(task: Task, model: ModelSpec, settings: RunSettings, question: QuestionProtocol) -> Rendering:
    """Return what shapes the requests of a task; one that words its own requests is not fitted to a window."""
    spec = task.spec
    window = None if isinstance(task, SelfScoredTask) else model.context_length
    return Rendering(
        model=model,
        template=choose_template(settings.template, model),
        stop=settings.stop if settings.stop is not None else spec.stop,
        max_new_tokens=_answer_limit(spec, settings, question, window),
        on_overflow=settings.on_overflow,
        system=question.system,
        shots_as_text=settings.question.shots_as_text,
        thinking=_thinking(question.thinking, model, is_chat=choose_template(settings.template, model) == "chat"),
        max_thinking_tokens=question.max_thinking_tokens,
        translation=_translation(spec),
    )


def _thinking(wanted: ThinkingMode | None, model: ModelSpec, *, is_chat: bool) -> ThinkingMode | None:
    """Return what a chat template is asked for: what the user wants, else what the model was tuned with."""
    return wanted if wanted is not None or not is_chat else model.tuned_thinking


def _notes(spec: TaskSpec, found: Examples, protocol: Protocol, held_out: int, settings: RunSettings) -> Iterator[str]:
    """Yield what a user should know of a plan that is not an error."""
    yield from (f"{name} judges translations, and is not computed" for name in unfit(spec, settings.metrics))
    if found.skipped:
        yield f"{found.skipped} of {found.skipped + len(found.rows)} entries hold nothing to ask and are left out"
    if held_out:
        yield f"{held_out} of {len(found.rows)} examples are held out: demonstrations come from their groups"
    if settings.max_new_tokens is None and protocol.max_new_tokens < spec.max_new_tokens:
        yield f"answers may have {protocol.max_new_tokens} tokens, the task's own limit is {spec.max_new_tokens}"


def _answer_limit(spec: TaskSpec, settings: RunSettings, question: QuestionProtocol, window: int | None) -> int:
    """Return the most tokens of an answer: the user's, or the task's own, at most half of the `window`."""
    if not spec.max_new_tokens:
        return 0
    if settings.max_new_tokens is not None or window is None:
        return settings.max_new_tokens or spec.max_new_tokens
    return max(1, min(spec.max_new_tokens, (window - (question.max_thinking_tokens or 0)) // 2))


def _translation(spec: TaskSpec) -> Translation | None:
    return None if spec.source_language is None else Translation(source=spec.source_language, target=spec.language)


def _draw(
    examples: Sequence[Example], fitted: Sequence[FittedRequest], model: ModelSpec, question: QuestionProtocol
) -> tuple[tuple[Example, ...], list[FittedRequest]]:
    """Return every answer's example and request: with repeats, several in a row for an example, each with its seed."""
    repeats = question.repeats or 1
    drawn = []
    for example, each in zip(examples, fitted, strict=True):
        sampling = each.request.sampling if question.sampling is None else question.sampling
        if sampling is None or each.request.choices is not None:
            drawn += [each] * repeats
            continue
        for repeat in range(repeats):
            request = replace(each.request, sampling=sample_sampling(sampling, example.id, repeat))
            drawn.append(replace(each, request=replace(request, key=request_key(model, request))))
    return tuple(example for example in examples for _ in range(repeats)), drawn


@dataclass(frozen=True, slots=True)
class _TaskRequests:
    """How the examples are asked for."""

    template: str
    prompts: str
    """Content hash of what is asked, before any template or cut."""
    fitted: Sequence[FittedRequest]
    """Of the chosen examples."""


def _through_chat(task: Task, settings: RunSettings) -> Task:
    """Return a task that words its own requests asked through the chat template and after the system message."""
    if not isinstance(task, SelfScoredTask) or not isinstance(task, ChatTask):
        return task
    question, template = settings.question, settings.template == CHAT_TEMPLATE
    if not template and not question.system:
        return task
    return task.with_chat(template=template, as_turns=not question.shots_as_text, system=question.system or None)


def _own_requests(
    task: SelfScoredTask, name: str, model: Model, settings: RunSettings, examples: Sequence[Example], part: slice
) -> _TaskRequests:
    """Return the requests of a task that words its own; UsageError for settings that would change the words."""
    takes_chat = isinstance(task, ChatTask)
    as_chat = takes_chat and settings.template == CHAT_TEMPLATE
    for option, is_set in (
        ("--template", settings.template != "auto" and not as_chat),
        ("--stop", settings.stop is not None),
        ("--system", bool(settings.question.system) and not takes_chat),
    ):
        if is_set:
            raise UsageError("the task words its own requests", where=option, hint=f"leave {option} out")
    requests = [_with_thinking(task.request(example), settings.question, name, model.spec) for example in examples]
    if settings.max_new_tokens is not None:
        limit = settings.max_new_tokens
        requests = [each if each.choices else replace(each, max_new_tokens=limit) for each in requests]
    fitted = [
        replace(each, request=replace(each.request, key=request_key(model.spec, each.request)))
        for each in _fit_own_requests(name, requests[part], model, settings)
    ]
    template = OWN_CHAT if as_chat else OWN_TEMPLATE
    return _TaskRequests(template, content_hash([to_json(replace(each, key="")) for each in requests]), fitted)


def _with_thinking(request: Request, question: QuestionSettings, name: str, model: ModelSpec) -> Request:
    """Return a request of a task's own with what the user says about thinking; UsageError where it is no chat."""
    thinking = _thinking(question.thinking, model, is_chat=request.form is Form.CHAT)
    if (thinking is None and question.max_thinking_tokens is None) or request.choices is not None:
        return request
    if question.thinking is not None and request.form is not Form.CHAT:
        where, hint = f"--thinking {question.thinking}", "--template chat, where the task can be put as a chat"
        raise UsageError(
            f"{name} is asked without the chat template, which is what asks for thinking", where=where, hint=hint
        )
    return replace(request, thinking=thinking, max_thinking_tokens=question.max_thinking_tokens)


def _fit_own_requests(
    name: str, requests: Sequence[Request], model: Model, settings: RunSettings
) -> list[FittedRequest]:
    """Cut what is too long from its beginning, as lm-eval does, or go by another policy; models cut before choices.

    Raises UsageError where a limit leaves no room for any prompt, which lm-eval refuses too; DataError for the policy
    `error` at the first overflow, and for `truncate` where nothing would be left of a prompt.
    """
    require_room(model.spec, max(each.max_new_tokens for each in requests), where=name)
    window = model.spec.context_length
    lengths = None if window is None else model.count_tokens(requests)
    fitted = []
    for place, request in enumerate(requests):
        room = (window or 0) - request.max_new_tokens
        if lengths is None or lengths[place] <= room or request.choices is not None:
            fitted.append(FittedRequest(request=request, shots_dropped=0, passage_cut=0, overflow=False))
            continue
        if settings.on_overflow == "error":
            where, hint = "--on-overflow error", "--on-overflow truncate cuts the beginning, as lm-eval does"
            raise DataError(f"a prompt is longer than {room} tokens", where=where, hint=hint)
        found = cut_beginning(request, room, model.count_tokens) if settings.on_overflow == "truncate" else None
        if found is None and settings.on_overflow == "truncate":
            what = f"no end of a prompt fits {room} tokens, what {request.max_new_tokens} new ones leave of {window}"
            hint = "--max-new-tokens N makes room; --on-overflow skip records such samples as failed"
            raise DataError(what, where=name, hint=hint)
        shorter, gone = found or (request, 0)
        fitted.append(FittedRequest(request=shorter, shots_dropped=0, passage_cut=gone, overflow=found is None))
    return fitted


def _number_repeats(fitted: Sequence[FittedRequest]) -> tuple[FittedRequest, ...]:
    """Give a question that is asked again a key of its own: XQuAD repeats a few, with another gold answer."""
    seen: Counter[str] = Counter()
    numbered = []
    for each in fitted:
        key = each.request.key
        repeat = seen[key]
        seen[key] += 1
        numbered.append(
            replace(each, request=replace(each.request, key=content_hash([key, repeat]))) if repeat else each
        )
    return tuple(numbered)


def identifying_part(protocol: Protocol) -> dict[str, object]:
    """Return the fields of a protocol that tell two runs apart: all but how many of the examples were asked."""
    return {each.name: getattr(protocol, each.name) for each in fields(protocol) if each.name not in ("limit", "n")}


def _slice(total: int, limit: Limit | None, name: str) -> Limit:
    if limit is None:
        return Limit(1, total)
    if limit.first > total:
        raise UsageError(f"{name} has only {total} examples", where="--limit", hint=f"use --limit 1-{total} or less")
    return replace(limit, last=min(limit.last, total))


def run_folder(out: Path, model: ModelSpec, protocol: Protocol, template: str) -> Path:
    """Return the run folder: another for anything that changes an answer or a score, the same for any limit."""
    identity = content_hash([model.fingerprint, template, to_json(identifying_part(protocol))])
    return out / slug(redact_name(model.name), model.fingerprint) / slug(protocol.task, identity)
