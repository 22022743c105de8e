"""What a server's bodies hold: JSON or not, and what of a refusal a message may quote."""

import json
from collections.abc import Callable, Mapping

from xlingual.identity import Json, repair_surrogates

MAX_SHOWN = 300
"""Characters of a server's message that go into ours."""


def read_json(body: str | bytes) -> Json:
    """Return what the JSON text `body` holds; raises ValueError for anything else."""
    try:
        document: Json = json.loads(body)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return document


def read_object(body: str | bytes) -> Mapping[str, Json]:
    """Return the object that the JSON text `body` holds, an empty one for anything else."""
    try:
        document = read_json(body)
    except ValueError:
        return {}
    return document if isinstance(document, Mapping) else {}


def error_of(document: Mapping[str, Json]) -> Json:
    """Return the error that a body holds, whatever the status was; None where it holds none.

    OpenAI's is an object at "error"; older vLLM's body is itself one; that of some proxies is in the choice.
    """
    if document.get("error"):
        return document["error"]
    if document.get("object") == "error":
        return document
    choices = document.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return first.get("error") or None if isinstance(first, Mapping) else None


def describe(text: str, hide: Callable[[str], str]) -> str:
    """Return a short account of what a server sent: its error message, "an HTML page", or how it begins.

    Secrets are hidden before the text is shortened: half a key is one too many.
    """
    if text.lstrip()[:1] == "<":
        return "an HTML page"
    document = read_object(text)
    if document:
        error = error_of(document) or document
        said = error.get("message", error.get("detail")) if isinstance(error, Mapping) else error
        text = said if isinstance(said, str) else text
    text = hide(" ".join(text.split()))
    return repair_surrogates(text[:MAX_SHOWN] + ("..." if len(text) > MAX_SHOWN else "")) or "empty"
