"""The text of a server's answer and the thinking beside it, in the fields and parts that servers put them in.

{"content": "Paris", "reasoning_content": "Let me see."}                       DeepSeek, SGLang
{"content": null, "reasoning": "Let me see."}                                  vLLM, OpenRouter: no text yet
{"content": [{"type": "thinking", "thinking": [...]}, {"type": "text", ...}]}  Mistral, gateways to Anthropic
{"content": "Paris", "reasoning_details": [{"type": "reasoning.text", ...}]}   OpenRouter
"""

from collections.abc import Mapping
from dataclasses import dataclass

from xlingual.identity import Json
from xlingual.records import Form

REASONING = ("reasoning_content", "reasoning", "thinking", "reasoning_details")
"""Fields of a message that hold the thinking apart from the text: DeepSeek, vLLM and SGLang; OpenRouter; Ollama."""
SAID = ("thinking", "reasoning", "text", "refusal", "summary", "content")
"""Fields of a part that hold what it says."""
MAX_DEPTH = 6
"""Of parts in parts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """The text of a message and the thinking beside it; None for what is not there."""

    text: str | None
    thinking: str | None


def read_content(choice: Mapping[str, Json], form: Form) -> Content:
    """Return what one choice of an answer says; a text that is not there is None, never empty."""
    if form is not Form.CHAT:
        text = choice.get("text")
        return Content(text=text if isinstance(text, str) else None, thinking=None)
    message = choice.get("message")
    if not isinstance(message, Mapping):
        return Content(text=None, thinking=None)
    thinking = next((said for name in REASONING if (said := _all_of(message.get(name)))), None)
    content = message.get("content")
    if not content and message.get("refusal"):
        content = message.get("refusal")  # in the model's words: it is an answer
    if isinstance(content, str):
        return Content(text=content, thinking=thinking)
    texts, thoughts = _read_parts(content)
    return Content(text="".join(texts) if texts else None, thinking=thinking or "\n".join(thoughts) or None)


def _all_of(value: Json) -> str:
    """Return all that a field says in whatever parts, "" where it says nothing."""
    texts, thoughts = _read_parts(value)
    return "\n".join([*thoughts, *texts])


def _read_parts(value: Json, depth: int = 0) -> tuple[list[str], list[str]]:
    """Return the texts of a content of parts, and what of it is thinking: `{"type": "thinking", "thinking": ...}`."""
    if isinstance(value, str):
        return [value], []
    texts: list[str] = []
    thoughts: list[str] = []
    if depth > MAX_DEPTH:
        return texts, thoughts
    if isinstance(value, list):
        for part in value:
            more_texts, more_thoughts = _read_parts(part, depth + 1)
            texts += more_texts
            thoughts += more_thoughts
    elif isinstance(value, Mapping):
        said = next((value[name] for name in SAID if value.get(name) is not None), None)
        inner_texts, inner_thoughts = _read_parts(said, depth + 1)
        if str(value.get("type") or "").startswith(("thinking", "reasoning")):
            thoughts += ["".join([*inner_thoughts, *inner_texts])] if inner_texts or inner_thoughts else []
        else:
            texts, thoughts = inner_texts, inner_thoughts
    return texts, thoughts
