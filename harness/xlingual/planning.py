"""From a task, a model and settings to a plan: which examples, which demonstrations, which requests, which folder."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from .errors import DataError, UsageError
from .identity import Json, content_hash, slug
from .plugin import DataSource, Model, SelfScoredTask, Task
from .prompt import FittedRequest, Rendering, choose_template, cut_beginning, fit, request_key, require_room
from .records import DataFile, Demonstration, Example, ModelSpec, Origin, Prompt, Protocol, Request
from .serial import to_json
from .text import for_scoring

OWN_TEMPLATE = "own"
"""The template of tasks that word their requests themselves."""
SHOTS_PER_GROUP = 5
"""Demonstrations taken from one held-out article before another is held out."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskPlan:
    """Everything about one model on one task that is known before the first answer."""

    task: Task
    model: ModelSpec
    protocol: Protocol
    template: str
    examples: tuple[Example, ...]
    fitted: tuple[FittedRequest, ...]
    """In the order of `examples`."""
    files: tuple[DataFile, ...]
    demonstrations: tuple[Demonstration, ...]
    folder: Path

    @property
    def name(self) -> str:
        """The task's name."""
        return self.task.spec.name

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
    split = settings.split or task.spec.split
    found = task.examples(split, settings.data_source)
    shots, evaluated = choose_demonstrations(task, found.rows, split, settings)
    if not evaluated:
        raise DataError("no examples are left to evaluate", where=task.spec.name)
    chosen = _slice(len(evaluated), settings.limit, task.spec.name)
    part = slice(chosen.first - 1, chosen.last)
    max_new_tokens = (settings.max_new_tokens or task.spec.max_new_tokens) if task.spec.max_new_tokens else 0
    if isinstance(task, SelfScoredTask):
        requests = _own_requests(task, task.spec.name, model, settings, evaluated, part)
    else:
        require_room(model.spec, max_new_tokens, where=task.spec.name)
        prompts = [task.prompt(example) for example in evaluated]
        template = choose_template(settings.template, model.spec)
        rendering = Rendering(
            model=model.spec,
            template=template,
            stop=settings.stop,
            max_new_tokens=max_new_tokens,
            on_overflow=settings.on_overflow,
        )
        fitted = fit(prompts[part], shots, rendering, model.count_tokens)
        requests = _TaskRequests(template, _prompts_hash(prompts, shots), fitted)
    protocol = Protocol(
        task=task.spec.name,
        task_version=task.spec.version,
        split=split,
        data=hash_examples(evaluated),
        n=chosen.last - chosen.first + 1,
        limit=None if chosen == Limit(1, len(evaluated)) else f"{chosen.first}-{chosen.last}",
        prompts=requests.prompts,
        template="native" if requests.template in (model.spec.template, OWN_TEMPLATE) else requests.template,
        shots=settings.shots,
        seed=settings.seed if settings.shots else None,
        max_new_tokens=max_new_tokens,
        stop=settings.stop if task.spec.max_new_tokens else None,
        on_overflow=settings.on_overflow,
    )
    return TaskPlan(
        task=task,
        model=model.spec,
        protocol=protocol,
        template=requests.template,
        examples=evaluated[part],
        fitted=_number_repeats(requests.fitted),
        files=found.files,
        demonstrations=shots,
        folder=run_folder(settings.out, model.spec, protocol, requests.template),
    )


@dataclass(frozen=True, slots=True)
class _TaskRequests:
    """How the examples are asked for."""

    template: str
    prompts: str
    """Content hash of what is asked, before any template or cut."""
    fitted: Sequence[FittedRequest]
    """Of the chosen examples."""


def _own_requests(
    task: SelfScoredTask, name: str, model: Model, settings: RunSettings, examples: Sequence[Example], part: slice
) -> _TaskRequests:
    """Return the requests of a task that words its own; UsageError for settings that would change the words."""
    for option, is_set in (("--template", settings.template != "auto"), ("--stop", settings.stop is not None)):
        if is_set:
            raise UsageError("the task words its own requests", where=option, hint=f"leave {option} out")
    requests = [task.request(example) for example in examples]
    if settings.max_new_tokens is not None:
        limit = settings.max_new_tokens
        requests = [each if each.choices else replace(each, max_new_tokens=limit) for each in requests]
    fitted = [
        replace(each, request=replace(each.request, key=request_key(model.spec, each.request)))
        for each in _fit_own_requests(name, requests[part], model, settings)
    ]
    return _TaskRequests(OWN_TEMPLATE, content_hash([to_json(replace(each, key="")) for each in requests]), fitted)


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


def choose_demonstrations(
    task: Task, rows: Sequence[Example], split: str, settings: RunSettings
) -> tuple[tuple[Demonstration, ...], tuple[Example, ...]]:
    """Return `settings.shots` demonstrations and the examples to evaluate, which share nothing with them.

    Where demonstrations come from the evaluated split itself, the groups (articles) they are drawn from are left out of
    the evaluation; the choice goes by position and seed, so it is the same in every language of parallel data.
    """
    if settings.shots == 0:
        return (), tuple(rows)
    shot_split = task.spec.shot_split
    if shot_split is None:
        raise UsageError(f"{task.spec.name} has no few-shot form", where="--shots", hint="use --shots 0")
    generator = random.Random(settings.seed)  # noqa: S311 (a seeded draw of examples, not a secret)
    if shot_split == split:
        groups = list(dict.fromkeys(row.group for row in rows))
        held_out = set(generator.sample(groups, min(len(groups) - 1, -(-settings.shots // SHOTS_PER_GROUP))))
        pool = [row for row in rows if row.group in held_out]
        evaluated = tuple(row for row in rows if row.group not in held_out)
    else:
        evaluated = tuple(rows)
        seen = {for_scoring(text) for row in rows for text in (*row.fields.values(), *row.targets)}
        candidates = task.examples(shot_split, settings.data_source).rows
        pool = [row for row in candidates if not _texts(row) & seen]
    picked = _spread(pool, settings.shots, generator)
    if len(picked) < settings.shots:
        raise UsageError(
            f"{task.spec.name} has {len(pool)} examples for demonstrations in {shot_split}",
            where="--shots",
            hint=f"use --shots {len(pool)} or fewer",
        )
    shots = tuple(Demonstration(id=row.id, prompt=task.prompt(row), answer=row.targets[0]) for row in picked)
    return shots, evaluated


def _texts(row: Example) -> set[str]:
    """The texts by which a demonstration would give an evaluated example away; short answers are none."""
    return {for_scoring(text) for text in row.fields.values()}


def _spread(pool: Sequence[Example], count: int, generator: random.Random) -> list[Example]:
    """Return up to `count` examples, from as many clusters as there are before any cluster gives a second."""
    shuffled = generator.sample(list(pool), len(pool))
    rank: dict[str, int] = {}
    order = []
    for index, row in enumerate(shuffled):
        rank[row.cluster] = rank.get(row.cluster, -1) + 1
        order.append((rank[row.cluster], index))
    return [shuffled[index] for _, index in sorted(order)[:count]]


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


def hash_examples(examples: Sequence[Example]) -> str:
    """Return the content hash of what is asked and accepted; where the file came from and its layout do not matter."""
    return content_hash([_content(each) for each in examples])


def _content(example: Example) -> list[Json]:
    content: list[Json] = [example.id, example.language, dict(example.fields), list(example.targets)]
    return content if example.choices is None else [*content, list(example.choices)]


def _prompts_hash(prompts: Sequence[Prompt], shots: Sequence[Demonstration]) -> str:
    return content_hash([[to_json(prompt) for prompt in prompts], [to_json(shot) for shot in shots]])


def run_folder(out: Path, model: ModelSpec, protocol: Protocol, template: str) -> Path:
    """Return the run folder: another for anything that changes an answer or a score, the same for any limit."""
    identity = content_hash([model.fingerprint, template, to_json(identifying_part(protocol))])
    return out / slug(model.name, model.fingerprint) / slug(protocol.task, identity)
