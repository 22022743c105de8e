"""Asking the judge: its questions as a plan of the run machinery, with a journal of their own and, if set, a budget.

    RUN FOLDER/../judge_pairwise-xquad-en-1a2b3c4d/verdicts/     run.json, journal.jsonl, lock: what the judge was asked

A verdict that is in the journal is never asked for again, whatever stopped the command.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..identity import Json, content_hash
from ..planning import RunSettings, TaskPlan, plan_task
from ..plugin import DataSource, GenerationTask, Model
from ..pricing import TokenPrice, cost, estimate_tokens
from ..question_settings import QuestionSettings
from ..records import Example, Examples, ModelSpec, Request, Response, TaskSpec
from ..run import OpenPlan, RunObserver, ask_pending
from .cases import Screening
from .prompts import JudgePrompt
from .records import JudgeIdentity, JudgeKind, Spending

VERDICTS = "verdicts"
"""The folder of the judge's own journal."""
METRICS = {
    JudgeKind.CORRECTNESS: "judge_correct",
    JudgeKind.PAIRWISE: "judge_win",
    JudgeKind.TRANSLATION: "judge_translation",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgingBudget:
    """What a command may spend; without `most` it is only counted."""

    price: TokenPrice
    most: float | None
    """In the money of the prices."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeSettings:
    """How a judge is asked."""

    prompt: JudgePrompt
    screening: Screening = field(default_factory=Screening)
    question: QuestionSettings = field(default_factory=QuestionSettings)
    template: str = "auto"
    max_new_tokens: int | None = None
    """None: the prompt's own."""
    fresh: bool = False
    max_errors: int | None = None
    budget: JudgingBudget | None = None


def identify(model: ModelSpec, settings: JudgeSettings) -> JudgeIdentity:
    """Return all that tells this judge from others."""
    prompt, question = settings.prompt, settings.question
    chosen = question.sampling
    parameters = {"temperature": chosen.temperature, "top_p": chosen.top_p, "seed": chosen.seed}
    sampling = ",".join(f"{name}:{value:g}" for name, value in parameters.items() if value is not None)
    return JudgeIdentity(
        kind=prompt.kind,
        model=model.name,
        fingerprint=model.fingerprint,
        backend=model.backend,
        prompt=prompt.label,
        prompt_hash=prompt.hash,
        template=settings.template,
        sampling=sampling if chosen.temperature else "greedy",
        max_new_tokens=_answer_limit(settings),
        thinking=_thinking(question),
        language_gate=settings.screening.language_gate,
        longest=settings.screening.longest,
    )


def _answer_limit(settings: JudgeSettings) -> int:
    return settings.max_new_tokens or settings.prompt.max_new_tokens if settings.prompt.max_new_tokens else 0


def _thinking(question: QuestionSettings) -> str:
    words = [
        "auto" if question.thinking is None else question.thinking.value,
        *([] if question.max_thinking_tokens is None else [f"at most {question.max_thinking_tokens}"]),
    ]
    return ", ".join(words)


def plan_questions(
    name: str, examples: Sequence[Example], model: Model, settings: JudgeSettings, folder: Path
) -> TaskPlan | None:
    """Return the plan of the judge's questions, with its journal in `folder`; None where there is nothing to ask.

    A question that does not fit the judge's window is not asked and counts as failed: nothing of it may be cut.
    """
    if not examples:
        return None
    prompt = settings.prompt
    spec = TaskSpec(
        name=name,
        language="en",
        prompt_language="en",
        metrics=(METRICS[prompt.kind],),
        version=f"{prompt.label}#{prompt.hash}",
        split="answers",
        max_new_tokens=prompt.max_new_tokens,
        licence="that of the judged answers",
        citation=prompt.citation or "none",
        stop=(),
    )
    found = Examples(rows=tuple(examples), files=())
    task = GenerationTask(spec=spec, read=lambda _split, _source: found, ask=lambda each: prompt.fill(each.fields))
    run_settings = RunSettings(
        data_source=DataSource(folder=None, sample=False, offline=True),
        out=folder,
        template=settings.template,
        max_new_tokens=settings.max_new_tokens,
        on_overflow="skip",
        question=settings.question,
    )
    return replace(plan_task(task, model, run_settings), folder=folder)


def ask_judge(model: Model, opened: Sequence[OpenPlan], settings: JudgeSettings, observer: RunObserver) -> None:
    """Ask what has no verdict yet, within the budget where there is one."""
    if settings.budget is None or settings.budget.most is None:
        ask_pending(model, opened, settings.max_errors, observer)
        return
    left, price = settings.budget.most, settings.budget.price
    tried: set[str] = set()
    observer.begin(
        {each.plan.name: len(each.plan.fitted) for each in opened},
        {each.plan.name: each.finished for each in opened},
    )
    while True:
        pending = [each for each in pending_requests(opened) if each.key not in tried]
        worst = dict(zip([each.key for each in pending], _worst_costs(model, pending, price), strict=True))
        chosen = _afford(worst, left)
        if not chosen:
            break
        ask_pending(model, [_only(each, chosen) for each in opened], settings.max_errors, _Begun(observer))
        responses = {key: response for key in chosen if (response := _response(opened, key)) is not None}
        left -= sum(_cost(response, worst[key], price) for key, response in responses.items())
        tried |= chosen
        if len(responses) < len(chosen):
            return  # too many failures, which was said
    if pending:
        what = f"stopped before {len(pending)} of the judge's questions: the budget of {settings.budget.most:g}"
        observer.note(f"{what} may not hold the next one; the same command again goes on")


@dataclass(frozen=True, slots=True)
class _Begun:
    """An observer that has been told of all that there is to do: parts of it are no news."""

    observer: RunObserver

    def begin(self, totals: Mapping[str, int], finished: Mapping[str, int]) -> None:
        """Say nothing."""

    def answered(self, task: str, response: Response) -> None:
        """Pass it on."""
        self.observer.answered(task, response)

    def note(self, message: str) -> None:
        """Pass it on."""
        self.observer.note(message)

    def end(self) -> None:
        """Pass it on."""
        self.observer.end()


def pending_requests(opened: Sequence[OpenPlan]) -> list[Request]:
    """Return the requests that have no answer yet and fit the window, each once."""
    found: dict[str, Request] = {}
    for each in opened:
        for fitted in each.plan.fitted:
            if not fitted.overflow and each.answer_of(fitted.request) is None:
                found.setdefault(fitted.request.key, fitted.request)
    return list(found.values())


def prompt_tokens(model: Model, requests: Sequence[Request]) -> tuple[list[int], bool]:
    """Return the prompt tokens of each request, and whether they were counted; else they are estimated, too high."""
    counted = model.count_tokens(requests) if requests else []
    if counted is not None:
        return counted, True
    return [estimate_tokens(message.text for message in each.messages) for each in requests], False


def most_tokens(request: Request) -> int:
    """Return the most tokens that an answer may have, its thinking included."""
    return request.max_new_tokens + (request.max_thinking_tokens or 0)


def _worst_costs(model: Model, requests: Sequence[Request], price: TokenPrice) -> list[float]:
    lengths, _ = prompt_tokens(model, requests)
    return [
        cost(price, prompt_tokens=length, tokens=most_tokens(request))
        for length, request in zip(lengths, requests, strict=True)
    ]


def _afford(worst: dict[str, float], left: float) -> set[str]:
    """Return the first requests that together cost no more than what is left, however long their answers are."""
    chosen: set[str] = set()
    for key, most in worst.items():
        left -= most
        if left < 0:
            break
        chosen.add(key)
    return chosen


def _only(opened: OpenPlan, keys: set[str]) -> OpenPlan:
    pairs = [
        (example, fitted)
        for example, fitted in zip(opened.plan.examples, opened.plan.fitted, strict=True)
        if fitted.request.key in keys or fitted.overflow
    ]
    examples, fitted = tuple(each for each, _ in pairs), tuple(each for _, each in pairs)
    return replace(opened, plan=replace(opened.plan, examples=examples, fitted=fitted))


def _response(opened: Sequence[OpenPlan], key: str) -> Response | None:
    return next((each.journal.responses[key] for each in opened if key in each.journal.responses), None)


def _cost(response: Response, worst: float, price: TokenPrice) -> float:
    """Return what a reply cost, at worst where the backend does not count tokens."""
    if response.prompt_tokens is None or response.tokens is None:
        return worst
    return cost(price, prompt_tokens=response.prompt_tokens, tokens=response.tokens)


def spending(opened: OpenPlan, budget: JudgingBudget | None) -> Spending:
    """Return what all verdicts of a plan took, those of earlier commands included."""
    keys = [fitted.request.key for fitted in opened.plan.fitted if not fitted.overflow]
    found = [opened.journal.responses[key] for key in keys if key in opened.journal.responses]
    read = [each.prompt_tokens for each in found if each.prompt_tokens is not None]
    written = [each.tokens for each in found if each.tokens is not None]
    known = bool(read) and bool(written)
    total = cost(budget.price, prompt_tokens=sum(read), tokens=sum(written)) if budget is not None and known else None
    return Spending(
        requests=len(found),
        prompt_tokens=sum(read) if read else None,
        tokens=sum(written) if written else None,
        cost=total,
    )


def hash_identity(identity: JudgeIdentity, *more: Json) -> str:
    """Return the content hash that tells folders of judged results apart."""
    return content_hash([identity.signature, identity.fingerprint, *more])
