"""What a server's bodies hold: JSON or not, and what of a refusal a message may quote."""

import json
from collections.abc import Callable, Mapping

from xlingual.identity import Json, repair_surrogates

MAX_SHOWN = 300
"""Characters of a server's message that go into ours."""
MESSAGES = ("message", "detail", "msg", "error_msg", "status_msg", "error")
"""Fields of an error that hold its words."""
BROKEN_OFF = frozenset({
    "abort", "aborted", "error", "cancelled", "canceled", "insufficient_system_resource", "network_error",
})  # fmt: skip
"""Finish reasons of answers that the server gave up in the middle: vLLM, SGLang; OpenRouter; DeepSeek; Zhipu."""


def read_json(body: str | bytes) -> Json:
    """Return what the JSON text `body` holds; raises ValueError for anything else."""
    try:
        document: Json = json.loads(body)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return document


def read_object(body: str | bytes) -> Mapping[str, Json]:
    """Return the object that the JSON text `body` holds, or the only one of its list; an empty one for all else."""
    try:
        document = read_json(body)
    except ValueError:
        return {}
    if isinstance(document, list) and len(document) == 1:
        document = document[0]
    return document if isinstance(document, Mapping) else {}


def error_of(document: Mapping[str, Json]) -> Json:
    """Return the error that a body holds in one of the common ways, whatever the status was; None where it has none.

    OpenAI's is an object at "error"; older vLLM's body is itself one; that of some proxies is in the choice.
    """
    if document.get("error"):
        return document["error"]
    if document.get("object") == "error":
        return document
    choices = document.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(first, Mapping):
        return None
    inner: Json = first.get("error")
    if inner:
        return inner
    reason = first.get("finish_reason")
    if isinstance(reason, str) and reason.casefold() in BROKEN_OFF:
        return {"message": f"the answer breaks off (finish reason {reason!r})"}
    return None


def likely_error_of(document: Mapping[str, Json]) -> Json:
    """Return what in a body without choices looks like an error, None where nothing does.

    FastAPI has "detail", Cloudflare a list "errors", MiniMax "base_resp"; others' whole body is a message.
    """
    if document.get("choices"):
        return None
    detail = document.get("detail")
    if isinstance(detail, Mapping):
        nested: Json = detail.get("error")
        return nested or detail
    errors = document.get("errors")
    if isinstance(errors, list) and errors:
        first: Json = errors[0]
        return first
    inner = document.get("base_resp")
    if isinstance(inner, Mapping):
        return inner
    return document if any(isinstance(document.get(name), str) for name in MESSAGES) else None


def message_of(error: Json) -> str:
    """Return the words of an error, "" where it has none."""
    if isinstance(error, Mapping):
        return next((said for name in MESSAGES if isinstance(said := error.get(name), str)), "")
    return error if isinstance(error, str) else ""


def describe(text: str, hide: Callable[[str], str]) -> str:
    """Return a short account of what a server sent: its error message, "an HTML page", or how it begins.

    Secrets are hidden before the text is shortened: half a key is one too many.
    """
    if text.lstrip()[:1] == "<":
        return "an HTML page"
    document = read_object(text)
    text = message_of(error_of(document) or likely_error_of(document)) or text
    text = hide(" ".join(text.split()))
    return repair_surrogates(text[:MAX_SHOWN] + ("..." if len(text) > MAX_SHOWN else "")) or "empty"
