"""The body of a server's answer to a completion, or to why there is none."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from xlingual.identity import Json, repair_surrogates
from xlingual.records import Failure, Finish, Form, Request, Response
from xlingual.text import find_stop

MAX_SHOWN = 300
"""Characters of a server's message that go into ours."""
MAX_STOPS = 4
"""Stop strings that servers take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """An answer as the server gave it."""

    text: str
    reason: str | None
    """Why it ended: "stop", "length" or a word of the server's own."""
    matched: str | None
    """The stop string that ended it, where the server reports it."""
    reports_stop: bool
    """Whether the server reports which stop string ended an answer."""
    prompt_tokens: int | None
    tokens: int | None


def sendable(stop: Sequence[str]) -> tuple[str, ...]:
    """Return the stop strings that a server may be trusted with: at most four, none of them only space.

    A server cuts at the very first character, so that an answer opening with a newline would come back empty.
    """
    return tuple(dict.fromkeys(each for each in stop if each.strip()))[:MAX_STOPS]


def read_body(body: bytes, form: Form, hide: Callable[[str], str]) -> Completion | Failure:
    """Read the body of an answer; whatever is not exactly one text is a Failure, never an empty answer.

    `hide` takes the secrets out of what is quoted.
    """
    try:
        document: Json = json.loads(body)
    except (ValueError, RecursionError) as error:
        said = describe(body.decode("utf-8", "replace"), hide)
        return Failure(kind="not JSON", message=f"{type(error).__name__}: the server sent {said}")
    choices = document.get("choices") if isinstance(document, Mapping) else None
    if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], Mapping):
        count = f"{len(choices)} choices" if isinstance(choices, list) else "no list of choices"
        return Failure(kind="wrong choices", message=f"the answer holds {count}, one was asked for")
    choice: Mapping[str, Json] = choices[0]
    reason = choice.get("finish_reason")
    holder = choice.get("message") if form is Form.CHAT else choice
    text = holder.get("content" if form is Form.CHAT else "text") if isinstance(holder, Mapping) else None
    if not isinstance(text, str):
        return Failure(kind="no content", message=f"the answer holds no text; finish reason {hide(repr(reason))}")
    if reason == "content_filter":
        return Failure(kind="content filter", message="the server withheld the answer or a part of it")
    usage = document.get("usage") if isinstance(document, Mapping) else None
    matched = choice.get("stop_reason")
    return Completion(
        text=repair_surrogates(text),
        reason=reason if isinstance(reason, str) else None,
        matched=matched if isinstance(matched, str) else None,
        reports_stop="stop_reason" in choice,
        prompt_tokens=_count(usage, "prompt_tokens"),
        tokens=_count(usage, "completion_tokens"),
    )


def _count(usage: Json, name: str) -> int | None:
    value = usage.get(name) if isinstance(usage, Mapping) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def may_be_cut_too_early(completion: Completion, stop: Sequence[str]) -> bool:
    """Whether the server, which was sent `stop`, may have stopped before the first non-space character."""
    if completion.reason != "stop" or (completion.reports_stop and completion.matched is None):
        return False
    # Some servers leave the stop string in the text.
    first = len(completion.text) - len(completion.text.lstrip())
    return bool(stop) and (
        first == len(completion.text) or any(0 <= completion.text.find(each) <= first for each in stop)
    )


def make_response(request: Request, completion: Completion, sent: Sequence[str]) -> Response:
    """Return the response to `request`; `sent` are the stop strings that the server knew."""
    text = completion.text[: find_stop(completion.text, request.stop)]
    finish = None
    if len(text) < len(completion.text) or completion.matched is not None:
        finish = Finish.STOP
    elif completion.reason == "length":
        finish = Finish.LENGTH
    elif completion.reason == "stop":
        # The word stands for the end token as well; a server that was sent stop strings need not say which it was.
        finish = Finish.STOP if sent and not completion.reports_stop else Finish.EOS
    return Response(
        key=request.key,
        text=text,
        failure=None,
        finish=finish,
        prompt_tokens=completion.prompt_tokens,
        tokens=completion.tokens,
    )


def describe(text: str, hide: Callable[[str], str]) -> str:
    """Return a short account of what a server sent: its error message, "an HTML page", or how it begins.

    Secrets are hidden before the text is shortened: half a key is one too many.
    """
    if text.lstrip()[:1] == "<":
        return "an HTML page"
    try:
        document: Json = json.loads(text)
    except (ValueError, RecursionError):
        document = None
    if isinstance(document, Mapping):
        error = document.get("error", document)
        said = error.get("message", error.get("detail")) if isinstance(error, Mapping) else error
        text = said if isinstance(said, str) else text
    text = hide(" ".join(text.split()))
    return repair_surrogates(text[:MAX_SHOWN] + ("..." if len(text) > MAX_SHOWN else "")) or "empty"
