"""What is written down when a run ends: counts of what happened, and a line for every answer."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from .answers import ReadAnswer
from .identity import Json, canonical_json
from .planning import TaskPlan
from .prompt import FittedRequest
from .records import Counts, FailureCount, ModelSpec, Response
from .redaction import redact_message, redact_name
from .scoring import Scores
from .serial import to_json

ANSWER_PARTS = ("reasoning", "thinking", "thinking_tokens", "unfinished_thinking", "scored")
"""Fields of a line that `parts_of_answer` writes."""


def count_answers(fitted: Sequence[FittedRequest], responses: Sequence[Response | None], scores: Scores) -> Counts:
    """Return what happened to the requests of a run; `fitted`, `responses` and the answers of `scores` go in step."""
    answers = [response for response in responses if response is not None and response.failure is None]
    failures = failure_counts(responses)
    failed = sum(each.count for each in failures)
    counts = Counts(
        answered=len(answers),
        failed=failed,
        missing=len(responses) - len(answers) - failed,
        shots_dropped=sum(each.shots_dropped > 0 for each in fitted),
        passages_cut=sum(each.passage_cut > 0 for each in fitted),
        prompt_tokens=_total([answer.prompt_tokens for answer in answers]),
        tokens=_total([answer.tokens for answer in answers]),
        thinking_tokens=_total([answer.thinking_tokens for answer in answers]),
        failures=failures or None,
    )
    return recount(counts, scores)


def recount(counts: Counts, scores: Scores) -> Counts:
    """Return `counts` with what depends on how answers are read."""
    read = [each for each in scores.answers if each is not None]
    thought = any(each.response.thinking is not None or not each.finished for each in read)
    extracting = any(each.extracted is not None for each in read)
    return replace(
        counts,
        unfinished_thinking=sum(not each.finished for each in read) if thought else None,
        unextracted=sum(each.extracted is False for each in read) if extracting else None,
    )


def failure_counts(responses: Sequence[Response | None]) -> tuple[FailureCount, ...]:
    """Return why samples failed, the most frequent kind first."""
    failures = [each.failure for each in responses if each is not None and each.failure is not None]
    first: dict[str, str] = {}
    for each in failures:
        first.setdefault(each.kind, each.message)
    counted = Counter(each.kind for each in failures).most_common()
    return tuple(FailureCount(kind=kind, count=count, example=first[kind]) for kind, count in counted)


def _total(values: Sequence[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def sample_lines(
    plan: TaskPlan,
    responses: Sequence[Response | None],
    scores: Scores,
    rendered: Sequence[tuple[str, ...] | None] = (),
) -> str:
    """Return `samples.jsonl`: a line an answer, with repeats several lines an example, in order.

    `rendered` is what stands around the messages of each request, where the model shows it.
    """
    lines = []
    repeats = plan.protocol.repeats or 1
    for index, (example, fitted, response) in enumerate(zip(plan.examples, plan.fitted, responses, strict=True)):
        line: dict[str, Json] = {
            "id": example.id,
            "group": example.group,
            "cluster": example.cluster,
            "targets": list(example.targets),
            "answer": None if response is None else response.text,
            "failure": None if response is None else to_json(response.failure),
            "finish": None if response is None else to_json(response.finish),
            "statistics": {name: to_json(values[index]) for name, values in scores.statistics.items()},
            "shots_dropped": fitted.shots_dropped,
            "passage_cut": fitted.passage_cut,
            "key": fitted.request.key,
            "messages": to_json(fitted.request.messages),
        }
        line |= parts_of_answer(response, scores.answers[index])
        if fitted.request.choices is not None:
            line["choices"] = to_json(fitted.request.choices)
            line["likelihoods"] = None if response is None else to_json(response.likelihoods)
        if rendered and (around := rendered[index]) is not None:
            line["rendered"] = list(around)
        if repeats > 1:
            line["repeat"] = index % repeats
        if fitted.request.sampling is not None:
            line["sampling"] = to_json(fitted.request.sampling)
        lines.append(canonical_json(line) + "\n")
    return "".join(lines)


def parts_of_answer(response: Response | None, read: ReadAnswer | None) -> dict[str, Json]:
    """Return what a line says of an answer besides its raw text; nothing where all of that was scored as it stands."""
    if response is None or read is None:
        return {}
    parts: dict[str, Json] = {}
    if response.thinking is not None:
        parts["reasoning"] = response.thinking
    if read.response.thinking is not None or not read.finished:
        parts["thinking"] = read.response.thinking
        parts["thinking_tokens"] = response.thinking_tokens
        parts["unfinished_thinking"] = not read.finished
    if read.finished and (read.extracted is not None or read.response.text != response.text):
        parts["scored"] = None if read.extracted is False else read.response.text
    return parts


def without_secrets(response: Response) -> Response:
    """Return a response whose failure holds no key or password: it goes to the journal, the results and the screen."""
    if response.failure is None:
        return response
    return replace(response, failure=replace(response.failure, message=redact_message(response.failure.message)))


def shown_model(model: ModelSpec) -> ModelSpec:
    """Return a model as it is written down: what a user typed, and what a backend tells of it, may hold a key."""
    details = {name: redact_message(said) for name, said in (model.details or {}).items()}
    return replace(
        model, word=redact_message(model.word), name=redact_name(model.name), details=details or model.details
    )
