"""Chat templates: which of several, on which day, and with messages in the form that it reads.

    {"default": ..., "rag": ...}                 "default", or the one that is chosen by name
    {{ strftime_now('%d %B %Y') }}               26 July 2024, today and next year
    {% for part in message['content'] %}         the text is handed over as parts, not letter by letter

A template that renders a chat without the question would have every answer scored as if it had been asked.
"""

import html
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from xlingual.errors import ModelError, UsageError
from xlingual.records import Failure, Message, Role
from xlingual.text import did_you_mean
from xlingual.thinking import split_thinking

DEFAULT = "default"
"""The name of the template that is meant where none is named; so it is in transformers."""
FIXED_DATE = datetime(2024, 7, 26)
"""What a template gets for today; Llama 3.1 and 3.2 were trained with it, and fall back to it."""
OWN_DATE = re.compile(r"""set\s+\w*(?:date|today)\w*\s*=\s*["']([^"']{6,20})["']""")
DATE_FORMATS = ("%d %b %Y", "%d %B %Y", "%Y-%m-%d", "%B %d, %Y", "%b %d, %Y")
DATE_FIELDS = "aAbBcdDeFgGhHIjlmMpPrRsSTuUVwWxXyYzZ"
"""Letters after the percent sign of strftime, as far as Python's has them."""
PROBE = "Which river runs through Warszawa?"
"""A question that no template has a reason to leave out."""
PARTS_SHOWN = ("'type': 'text'", '"type": "text"')
"""What stands in a chat whose template shows the parts as a list instead of reading them."""
Render = Callable[[list[dict[str, object]]], str | Failure]
"""Renders a conversation, messages with `role` and `content`, or says why it cannot."""


class LeftOutError(ModelError):
    """A chat template leaves messages out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenTemplate:
    """The chat template of a model, as it is used."""

    text: str | Mapping[str, str] | None
    """Jinja; several by name where none of them is chosen; None where there is none."""
    name: str | None
    """Of the chosen one, where there are several and it is not the default."""
    date: str | None
    """The day that it gets for today, ISO 8601; None where it does not ask."""


def choose_template(found: str | Mapping[str, str] | None, name: str | None) -> ChosenTemplate:
    """Return the template called `name`, by default the default one.

    Several without a default stay as they are: only a chat needs one of them, and `require_one` then says so. Raises
    UsageError where there is none of this name, ModelError where one is no text.
    """
    texts = list(found.values()) if isinstance(found, Mapping) else [] if found is None else [found]
    if wrong := [each for each in texts if not isinstance(each, str)]:
        raise ModelError(f"must be a text, or texts by name, got {wrong[0]!r:.60}", where="chat_template")
    names = list(found) if isinstance(found, Mapping) else [DEFAULT] if found else []
    if name is not None and name not in names:
        what = f"the model has no chat template called {name!r}" if names else "the model has no chat template"
        raise UsageError(what, where="--template", hint=did_you_mean(name, names) if names else "leave it out")
    if not isinstance(found, Mapping):
        return _on_fixed_date(found or None, None)
    chosen = name or (DEFAULT if DEFAULT in found else next(iter(found)) if len(found) == 1 else None)
    if chosen is None:
        return ChosenTemplate(text=dict(found) or None, name=None, date=None)
    return _on_fixed_date(found[chosen], chosen if chosen != DEFAULT and len(found) > 1 else None)


def require_one(template: str | Mapping[str, str] | None) -> None:
    """Raise ModelError where there is no chat template, or there are several and none is chosen."""
    if not template:
        raise ModelError("the model has no chat template", hint="use --template raw or --template alpaca")
    if isinstance(template, Mapping):
        names = sorted(template)
        raise ModelError(
            f"the model has {len(names)} chat templates and none is the default: {', '.join(names)}",
            where="--template",
            hint=f"choose one: --template {names[0]}",
        )


def _on_fixed_date(text: str | None, name: str | None) -> ChosenTemplate:
    if text is None or "strftime_now" not in text:
        own = _own_date(text or "")
        return ChosenTemplate(text=text, name=name, date=own.date().isoformat() if own else None)
    date = _own_date(text) or FIXED_DATE
    return ChosenTemplate(text=_date_macro(date) + text, name=name, date=date.date().isoformat())


def _own_date(text: str) -> datetime | None:
    """Return the day that a template falls back to where it is given none."""
    for found in OWN_DATE.findall(text):
        for each in DATE_FORMATS:
            try:
                return datetime.strptime(found, each)
            except ValueError:
                continue
    return None


def _date_macro(date: datetime) -> str:
    """Return Jinja that takes the place of transformers' `strftime_now`, which no argument can replace.

    A line break after a block is dropped, so the template itself begins as before.
    """
    fields = {f"%{letter}": date.strftime(f"%{letter}") for letter in DATE_FIELDS}
    fields |= {f"%-{letter}": date.strftime(f"%{letter}").lstrip("0") or "0" for letter in "demyHIMSj"}
    steps = [("%%", "\x00"), *fields.items(), ("\x00", "%")]
    filters = "".join(f" | replace({json.dumps(old)}, {json.dumps(new)})" for old, new in steps)
    return f"{{%- macro strftime_now(format) -%}}{{{{ format{filters} }}}}{{%- endmacro %}}\n"


def render_messages(render: Render, messages: Sequence[Message]) -> str | Failure:
    """Return the chat with `messages` in the form that the template reads: texts, or lists of parts.

    Raises LeftOutError for a template that leaves out any question, or any system message; a Failure where it leaves
    out this one.
    """
    found = _render_in_some_form(render, messages)
    if isinstance(found, str | Failure):
        return found
    probes = [replace(each, text=PROBE) if each in found else each for each in messages]
    if isinstance(_render_in_some_form(render, probes), str):
        return Failure(kind="chat template", message=f"the rendered chat lacks the message {found[0].text[:60]!r}")
    system = found[0].role is Role.SYSTEM
    raise LeftOutError(
        f"the chat template leaves the {'system message' if system else 'question'} out",
        hint="leave --system out" if system else "use --template raw",
    )


def _render_in_some_form(render: Render, messages: Sequence[Message]) -> str | Failure | list[Message]:
    """Return the chat, or why there is none, or the messages that it lacks in every form."""
    first = render([_content(each, parts=False) for each in messages])
    lost = _lost(first, messages) if isinstance(first, str) else []
    if isinstance(first, str) and not lost:
        return first
    if isinstance(first, Failure) and first.message.startswith("TemplateError"):
        return first  # the template's own words: it refuses these messages
    for roles in ((Role.SYSTEM, Role.USER, Role.ASSISTANT), (Role.USER, Role.ASSISTANT), (Role.USER,)):
        found = render([_content(each, parts=each.role in roles) for each in messages])
        shown = isinstance(found, str) and any(each in found for each in PARTS_SHOWN)
        if isinstance(found, str) and not shown and not _lost(found, messages):
            return found
    return first if isinstance(first, Failure) else lost


def _content(message: Message, *, parts: bool) -> dict[str, object]:
    content = [{"type": "text", "text": message.text}] if parts else message.text
    return {"role": message.role.value, "content": content}


def _lost(chat: str, messages: Sequence[Message]) -> list[Message]:
    """Return the system messages and the last question where the chat does not hold them.

    Templates trim texts, join their lines, or escape them for JSON or HTML.
    """
    questions = [each for each in messages if each.role is Role.USER][-1:]
    systems = [each for each in messages if each.role is Role.SYSTEM]
    return [each for each in (*systems, *questions) if not holds(chat, each.text.strip())]


def shows(chat: str, message: Message) -> bool:
    """Return whether a chat has a message, without its thinking, which a template may leave out of earlier turns."""
    return holds(chat, visible_text(message))


def visible_text(message: Message) -> str:
    """Return a message without its thinking."""
    found = split_thinking(message.text) if message.role is Role.ASSISTANT else None
    is_thought = found is not None and found.thinking is not None and found.finished
    return (found.text if found is not None and is_thought else message.text).strip()


def holds(chat: str, text: str) -> bool:
    """Return whether a chat has a text: as it is, with its lines joined, or escaped for JSON or HTML."""
    if text in chat or " ".join(text.split()) in " ".join(chat.split()):
        return True
    escaped = (json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1], html.escape(text))
    return any(each in chat for each in escaped)
