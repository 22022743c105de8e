"""The body of a server's answer to a completion, or to why there is none."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from xlingual.identity import Json, repair_surrogates
from xlingual.records import Failure, Finish, Form, Request, Response
from xlingual.text import find_stop
from xlingual.thinking import KNOWN_MARKERS, answer_start, find_end, split_thinking

from .bodies import describe, read_json
from .message import read_content

MAX_STOPS = 4
"""Stop strings that servers take."""
END_TOKEN = frozenset({"eos_token", "eos", "end_turn"})
"""Finish reasons that name the end token; elsewhere "stop" stands for a stop string as well."""
STOPPED = frozenset({"stop", "stop_sequence", "stop_token", *END_TOKEN})
"""Finish reasons of answers that have come to their end, in small letters: OpenAI, TGI, Google, Anthropic."""
CUT = frozenset({"length", "max_tokens", "max_length", "max_output_tokens", "model_length"})
"""Of answers that were too long: OpenAI, Google and Anthropic, Cohere, Mistral."""
WITHHELD = frozenset({
    "content_filter", "content_filtered", "safety", "recitation", "sensitive", "blocklist", "prohibited_content",
    "spii", "guardrail_intervened",
})  # fmt: skip
"""Of answers that the server keeps, or a part of them: OpenAI, Google, Zhipu, Amazon."""


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
        said = f": {describe(body.decode('utf-8', 'replace'), hide)}" if not choices else ""
        return Failure(kind="wrong choices", message=f"the answer holds {count}, one was asked for{said}")
    choice = choices[0]
    if not isinstance(choice, Mapping):
        return Failure(kind="wrong choices", message="the one choice of the answer is no object")
    reason, usage = _text(choice.get("finish_reason")), document.get("usage")
    word = (reason or "").casefold()
    if word in WITHHELD:
        return Failure(kind="content filter", message="the server withheld the answer or a part of it")
    reason = "stop" if word in STOPPED else "length" if word in CUT else reason
    content = read_content(choice, form)
    thinking_tokens = _count_thinking(usage)
    text = content.text
    if text is None and (content.thinking is not None or (thinking_tokens and reason == "length")):
        text = ""  # the answer ended while the model was thinking
    if text is None:
        return Failure(kind="no content", message=f"the answer holds no text; finish reason {hide(repr(reason))}")
    matched = choice.get("stop_reason")
    return Completion(
        text=repair_surrogates(text),
        thinking=None if content.thinking is None else repair_surrogates(content.thinking),
        reason=reason,
        matched=matched if isinstance(matched, str) else None,
        reports_stop="stop_reason" in choice or word in END_TOKEN,
        prompt_tokens=_count(usage, "prompt_tokens"),
        tokens=_count(usage, "completion_tokens"),
        thinking_tokens=thinking_tokens,
        model=_text(document.get("model")),
        system_fingerprint=_text(document.get("system_fingerprint")),
    )


def _text(value: Json) -> str | None:
    return value if isinstance(value, str) and value else None


def _count(usage: Json, name: str) -> int | None:
    value = usage.get(name) if isinstance(usage, Mapping) else None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
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
    return find_end(text)


def opening_of(completion: Completion) -> str | None:
    """Return the marker that the prompt must have opened the thinking with: the text ends it and never began it."""
    text = completion.text
    ends = [each for each in KNOWN_MARKERS if find_end(text, [each])]
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
