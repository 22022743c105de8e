"""Requests to lm-eval's three calls and back: answers are matched by what was asked, a failed call is halved."""

import inspect
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from xlingual.errors import XlingualError
from xlingual.records import Failure, Finish, Form, Likelihood, Request, Response, failed_response
from xlingual.redaction import redact_message
from xlingual.sampling import Sampling
from xlingual.text import find_stop
from xlingual.thinking import ThinkingMode

from .loading import LanguageModel

GENERATE, LOGLIKELIHOOD, ROLLING = "generate_until", "loglikelihood", "loglikelihood_rolling"
"""lm-eval's request types: a text, the log-likelihood of a continuation, that of a whole text."""


@dataclass(frozen=True, slots=True)
class Job:
    """What becomes one Instance of lm-eval: a request, or one choice of it."""

    request: Request
    number: int
    """Of the choice."""
    call: str
    texts: tuple[object, ...]
    """The first of lm-eval's arguments: a context, a context and a continuation, or a whole text."""

    @property
    def key(self) -> tuple[str, ...]:
        """What identifies it among the jobs of one call."""
        return tuple(str(text) for text in self.texts)


@dataclass(slots=True)
class AnswerHook:
    """A cache hook: lm-eval calls it with every answer as it comes, and with what was asked."""

    call: str
    found: dict[tuple[str, ...], object] = field(default_factory=dict)

    def add_partial(self, attr: str, req: Sequence[object], res: object) -> None:
        """Keep an answer; the settings of a generation, the last argument, are the same for a whole call."""
        if attr == self.call:
            texts = req[:1] if attr == GENERATE else req
            self.found[tuple(str(text) for text in texts)] = res


@dataclass(frozen=True, slots=True)
class Settings:
    """How the answers of a call are generated; a drawn answer is a call by itself, so that its seed is its own."""

    max_new_tokens: int
    stop: tuple[str, ...]
    sampling: Sampling | None


Outcome = tuple[Job, object]


def ask(lm: LanguageModel, requests: Sequence[Request], *, max_requests: int | None) -> Iterator[Response]:
    """Answer every request; `max_requests` is the most jobs of a call, None: all of them."""
    groups: dict[tuple[str, Settings, str], list[Job]] = {}
    left = {request.key: len(request.choices or (None,)) for request in requests}
    gathered: dict[str, dict[int, object]] = {request.key: {} for request in requests}
    for request in requests:
        jobs = _jobs(lm, request)
        if isinstance(jobs, Failure):
            yield failed_response(request, jobs)
            continue
        for job in jobs:
            settings = Settings(request.max_new_tokens, request.stop, request.sampling)
            alone = "" if request.sampling is None else request.key
            groups.setdefault((job.call, settings, alone), []).append(job)
    for (_, settings, _), jobs in groups.items():
        ordered = sorted(jobs, key=lambda job: -len("".join(job.key)))
        for job, value in _results_or_retries(lm, ordered, settings, max_requests):
            found = gathered[job.request.key]
            found[job.number] = value
            if len(found) == left[job.request.key]:
                yield _respond(job.request, [found[number] for number in sorted(found)])


def _results_or_retries(
    lm: LanguageModel, jobs: Sequence[Job], settings: Settings, max_requests: int | None
) -> Iterator[Outcome]:
    """Yield the results of `jobs`; a blank text is asked for again without stop strings.

    lm-eval cuts at the very first character, so that an answer that begins with a newline would come back empty.
    """
    for job, value in _results(lm, jobs, settings, max_requests):
        if job.request.stop and isinstance(value, str) and not value.strip():
            yield from _results(lm, [job], replace(settings, stop=()), max_requests)
        else:
            yield job, value


def _jobs(lm: LanguageModel, request: Request) -> list[Job] | Failure:
    if request.form is Form.CHAT:
        history = [{"role": message.role.value, "content": message.text} for message in request.messages]
        try:
            with _thinking(lm, request.thinking):
                context = lm.apply_chat_template(history)
        except Exception as error:  # noqa: BLE001 - the model call: any error is this sample's failure
            return Failure(kind="chat template", message=f"{type(error).__name__}: {error}")
    else:
        context = "".join(message.text for message in request.messages)
    if request.choices is None:
        return [Job(request, 0, GENERATE, (context,))]
    if not isinstance(context, str):
        return Failure(kind="no likelihoods", message="a chat server gives no log-likelihoods of given texts")
    return [
        Job(request, number, LOGLIKELIHOOD, (context + choice.before, choice.text))
        if context + choice.before
        else Job(request, number, ROLLING, (choice.text,))
        for number, choice in enumerate(request.choices)
    ]


@contextmanager
def _thinking(lm: LanguageModel, mode: ThinkingMode | None) -> Iterator[None]:
    """Have the model's chat template think or not; ValueError where it takes no such argument."""
    if mode is None:
        yield
        return
    before = getattr(lm, "chat_template_args", None)
    if not isinstance(before, dict):
        raise ValueError("this backend's thinking cannot be switched on or off")
    lm.chat_template_args = {**before, "enable_thinking": mode is ThinkingMode.ON}  # type: ignore[attr-defined]  # lm-eval's
    try:
        yield
    finally:
        lm.chat_template_args = before  # type: ignore[attr-defined]  # lm-eval's


def _arguments(lm: LanguageModel, call: str, settings: Settings) -> tuple[dict[str, object], ...]:
    """Return the last argument of a call: lm-eval's generation settings, or nothing for likelihoods."""
    if call != GENERATE:
        return ()
    given: dict[str, object] = {
        "until": [each for each in settings.stop if each],
        "max_gen_toks": settings.max_new_tokens,
    }
    sampling = settings.sampling
    if sampling is None:
        return ({**given, "do_sample": False, "temperature": 0.0},)
    named = {"top_p": sampling.top_p, "top_k": sampling.top_k, "min_p": sampling.min_p}
    given |= {"do_sample": True, "temperature": sampling.temperature}
    given |= {name: value for name, value in named.items() if value is not None}
    return ({**given} if _is_local(lm) else {**given, "seed": sampling.seed},)


def _is_local(lm: LanguageModel) -> bool:
    """Return whether transformers generates in this process, with its seed from torch; others take one as given."""
    return getattr(lm, "backend", None) in ("causal", "seq2seq")


def _results(lm: LanguageModel, jobs: Sequence[Job], settings: Settings, max_requests: int | None) -> Iterator[Outcome]:
    """Ask `jobs` in calls of at most `max_requests`; what a failed call has not answered is asked again in halves."""
    size = max_requests or len(jobs)
    batches = [list(jobs[start : start + size]) for start in range(0, len(jobs), size)][::-1]
    while batches:
        batch = batches.pop()
        hook = AnswerHook(batch[0].call)
        lm.set_cache_hook(hook)
        values = _call(lm, batch, settings)
        if not isinstance(values, Failure) and len(values) != len(batch):
            values = Failure(
                kind="wrong count", message=f"lm-eval gave {len(values)} answers to {len(batch)} questions"
            )
        if isinstance(values, Failure):
            yield from ((job, hook.found[job.key]) for job in batch if job.key in hook.found)
            unanswered = [job for job in batch if job.key not in hook.found]
            half = len(unanswered) // 2
            if half:
                batches += [unanswered[half:], unanswered[:half]]
            yield from ((job, values) for job in unanswered if not half)
        else:
            yield from ((job, hook.found.get(job.key, value)) for job, value in zip(batch, values, strict=True))


def _call(lm: LanguageModel, batch: Sequence[Job], settings: Settings) -> list[object] | Failure:
    from lm_eval.api.instance import Instance  # noqa: PLC0415 - optional, and heavy

    instances = [
        Instance(job.call, {}, (*job.texts, *_arguments(lm, job.call, settings)), index, ("xlingual", index, 1))
        for index, job in enumerate(batch)
    ]
    if settings.sampling is not None and _is_local(lm):
        import torch  # noqa: PLC0415 - heavy

        torch.manual_seed(settings.sampling.seed)
    call = getattr(lm, batch[0].call)
    quiet = {"disable_tqdm": True} if "disable_tqdm" in inspect.signature(call).parameters else {}
    try:
        return list(call(instances, **quiet))
    except XlingualError:
        raise
    except Exception as error:  # noqa: BLE001 - the model call: any error is the failure of these samples
        return Failure(kind=type(error).__name__, message=redact_message(str(error))[:300])


def _respond(request: Request, values: Sequence[object]) -> Response:
    failure = next((value for value in values if isinstance(value, Failure)), None)
    if failure is not None:
        return failed_response(request, failure)
    if request.choices is not None:
        likelihoods = [_likelihood(value) for value in values]
        known = tuple(each for each in likelihoods if each is not None)
        if len(known) < len(values):
            return failed_response(request, Failure(kind="no likelihood", message=f"lm-eval answered {values!r:.200}"))
        return Response(
            key=request.key, text=None, failure=None, finish=None, prompt_tokens=None, tokens=None, likelihoods=known
        )
    [text] = values
    if not isinstance(text, str):
        return failed_response(request, Failure(kind="no text", message=f"lm-eval answered {text!r:.200}"))
    cut = find_stop(text, request.stop)
    return Response(
        key=request.key,
        text=text[:cut],
        failure=None,
        finish=Finish.STOP if cut is not None else None,
        prompt_tokens=None,
        tokens=None,
    )


def _likelihood(value: object) -> Likelihood | None:
    """Read (log-likelihood, whether greedy), or a log-likelihood alone; None for anything else."""
    pair = value if isinstance(value, tuple | list) else (value, None)
    number, greedy = pair[0], pair[1] if len(pair) == 2 else None
    if not isinstance(number, int | float) or not math.isfinite(number):
        return None
    return Likelihood(logarithm=float(number), is_greedy=None if greedy is None else bool(greedy), tokens=None)
