"""The body of a server's answer to a completion, or to why there is none."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from xlingual.identity import Json, repair_surrogates
from xlingual.records import Failure, Finish, Form, Request, Response
from xlingual.text import find_stop
from xlingual.thinking import KNOWN_MARKERS, answer_start, split_thinking

from .bodies import describe, read_json

MAX_STOPS = 4
"""Stop strings that servers take."""
REASONING = ("reasoning_content", "reasoning", "thinking")
"""Fields of a message that hold the thinking apart from the text: DeepSeek, vLLM and SGLang; OpenRouter; Ollama."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """An answer as the server gave it."""

    text: str
    thinking: str | None
    """Where the server gives it apart from the text."""
    reason: str | None
    """Why it ended: "stop", "length" or a word of the server's own."""
    matched: str | None
    """The stop string that ended it, where the server reports it."""
    reports_stop: bool
    """Whether the server reports which stop string ended an answer."""
    prompt_tokens: int | None
    tokens: int | None
    thinking_tokens: int | None
    model: str | None
    """The name that the answer bears."""
    system_fingerprint: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Content:
    """The text of a message and the thinking beside it."""

    text: str | None
    thinking: str | None


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
        document = read_json(body)
    except ValueError as error:
        said = describe(body.decode("utf-8", "replace"), hide)
        return Failure(kind="not JSON", message=f"{type(error).__name__}: the server sent {said}")
    choices = document.get("choices") if isinstance(document, Mapping) else None
    if not isinstance(document, Mapping) or not isinstance(choices, list) or len(choices) != 1:
        count = f"{len(choices)} choices" if isinstance(choices, list) else "no list of choices"
        return Failure(kind="wrong choices", message=f"the answer holds {count}, one was asked for")
    choice = choices[0]
    if not isinstance(choice, Mapping):
        return Failure(kind="wrong choices", message="the one choice of the answer is no object")
    reason, usage = choice.get("finish_reason"), document.get("usage")
    content = _read_content(choice, form)
    thinking_tokens = _count_thinking(usage)
    text = content.text
    if text is None and (content.thinking is not None or (thinking_tokens and reason == "length")):
        text = ""  # the answer ended while the model was thinking
    if text is None:
        return Failure(kind="no content", message=f"the answer holds no text; finish reason {hide(repr(reason))}")
    if reason == "content_filter":
        return Failure(kind="content filter", message="the server withheld the answer or a part of it")
    matched = choice.get("stop_reason")
    return Completion(
        text=repair_surrogates(text),
        thinking=None if content.thinking is None else repair_surrogates(content.thinking),
        reason=reason if isinstance(reason, str) else None,
        matched=matched if isinstance(matched, str) else None,
        reports_stop="stop_reason" in choice,
        prompt_tokens=_count(usage, "prompt_tokens"),
        tokens=_count(usage, "completion_tokens"),
        thinking_tokens=thinking_tokens,
        model=_text(document.get("model")),
        system_fingerprint=_text(document.get("system_fingerprint")),
    )


def _text(value: Json) -> str | None:
    return value if isinstance(value, str) and value else None


def _read_content(choice: Mapping[str, Json], form: Form) -> _Content:
    if form is not Form.CHAT:
        text = choice.get("text")
        return _Content(text=text if isinstance(text, str) else None, thinking=None)
    message = choice.get("message")
    if not isinstance(message, Mapping):
        return _Content(text=None, thinking=None)
    thinking = next((said for name in REASONING if (said := _text(message.get(name)))), None)
    content = message.get("content")
    if isinstance(content, list):
        texts, thoughts = _read_parts(content)
        thinking = thinking or ("\n".join(thoughts) or None)
        return _Content(text="".join(texts) if texts else None, thinking=thinking)
    if content is None:
        content = message.get("refusal")  # in the model's words: it is an answer
    return _Content(text=content if isinstance(content, str) else None, thinking=thinking)


def _read_parts(parts: Sequence[Json]) -> tuple[list[str], list[str]]:
    """Return the texts of a content of parts, and what of it is thinking: `{"type": "thinking", "thinking": ...}`."""
    texts: list[str] = []
    thoughts: list[str] = []
    for part in parts:
        if not isinstance(part, Mapping):
            continue
        said = next((part[name] for name in ("thinking", "reasoning", "text") if part.get(name) is not None), None)
        if isinstance(said, list):
            said = "".join(_read_parts(said)[0])
        if isinstance(said, str):
            is_thought = part.get("type") in ("thinking", "reasoning")
            (thoughts if is_thought else texts).append(said)
    return texts, thoughts


def _count(usage: Json, name: str) -> int | None:
    value = usage.get(name) if isinstance(usage, Mapping) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _count_thinking(usage: Json) -> int | None:
    """Return the tokens of the thinking, None where there are none or the server does not say."""
    if not isinstance(usage, Mapping):
        return None
    places = [usage.get("completion_tokens_details"), usage.get("output_tokens_details"), usage]
    return next((count for place in places if (count := _count(place, "reasoning_tokens"))), None)


def may_be_cut_too_early(completion: Completion, stop: Sequence[str]) -> bool:
    """Whether the server, which was sent `stop`, may have stopped before the first non-space character."""
    if completion.reason != "stop" or (completion.reports_stop and completion.matched is None):
        return False
    # Some servers leave the stop string in the text.
    first = len(completion.text) - len(completion.text.lstrip())
    return bool(stop) and (
        first == len(completion.text) or any(0 <= completion.text.find(each) <= first for each in stop)
    )


def is_cut_in_thinking(completion: Completion, *, opened: bool) -> bool:
    """Whether a stop string may have ended the thinking instead of the answer: then there is no answer yet.

    `opened`: the prompts of this server open the thinking, so that an answer without an end of it is all thinking.
    """
    if completion.reason != "stop" or (completion.reports_stop and completion.matched is None):
        return False
    if completion.thinking is not None:
        return not completion.text.strip()
    return not split_thinking(completion.text, opened=opened and not closes_thinking(completion.text)).finished


def closes_thinking(text: str) -> bool:
    """Whether a text holds the end of some thinking."""
    return any(each.end in text for each in KNOWN_MARKERS)


def opening_of(completion: Completion) -> str | None:
    """Return the marker that the prompt must have opened the thinking with: the text ends it and never began it."""
    text = completion.text
    ends = [each for each in KNOWN_MARKERS if each.end in text]
    return next((each.start for each in ends if each.start not in text.partition(each.end)[0]), None)


def make_response(request: Request, completion: Completion, sent: Sequence[str], opening: str | None) -> Response:
    """Return the response to `request`; `sent` are the stop strings that the server knew.

    Stop strings cut the text after the thinking only. `opening` is the marker with which the prompt opens the thinking:
    it is put back before an answer that never ends it.
    """
    whole = completion.text
    if opening is not None and completion.thinking is None and not closes_thinking(whole):
        whole = opening + whole
    start = answer_start(whole)
    cut = None if start is None else find_stop(whole[start:], request.stop)
    text = whole if start is None or cut is None else whole[: start + cut]
    finish = None
    if len(text) < len(whole) or completion.matched is not None:
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
        thinking=completion.thinking,
        thinking_tokens=completion.thinking_tokens,
    )
