"""Conversations, JSONL or a JSON list: OpenAI's messages, and ShareGPT's conversations.

    {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]}
    {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello."}], "system": "Be brief."}

A message of the assistant with `"weight": 0` is read and not learnt. What cannot be learnt as it stands (calls of
tools, pictures, unknown roles and fields of messages) is refused with its place: no message is half read.
Other fields beside the conversation, such as "id" or "source", say nothing in it and are not read.
"""

from collections.abc import Mapping
from pathlib import Path

from xlingual import DataFile, DataSource, Examples
from xlingual.data import (
    PlacedRecord,
    Problem,
    conversation_examples,
    data_error,
    fill_path,
    locate_text,
    read_placed_records,
)
from xlingual.errors import DataError, UsageError
from xlingual.identity import Json
from xlingual.records import Corpus, Role, Turn
from xlingual.registry import register_source
from xlingual.wording import ask_conversation

COLUMNS = ("messages", "conversations")
"""Fields that hold a conversation; a recipe may name another."""
SYSTEM = "system"
"""A field beside ShareGPT's conversations: the system prompt."""
OPENAI = {"system": Role.SYSTEM, "user": Role.USER, "assistant": Role.ASSISTANT}
SHAREGPT = {**OPENAI, "human": Role.USER, "gpt": Role.ASSISTANT}
TOOL_ROLES = (
    "tool", "tool_call", "tool_response", "function", "function_call", "function_response", "observation", "ipython",
)  # fmt: skip
CALLS = ("tools", "functions", "tool_calls", "function_call", "tool_call_id", "tool_choice")
THOUGHTS = ("reasoning_content", "reasoning", "thinking")
REFUSED = {
    **dict.fromkeys(CALLS, "calls of tools are not learnt here"),
    **dict.fromkeys(("image", "images", "video", "videos", "audio", "audios"), "text alone is learnt here"),
    **dict.fromkeys(("chosen", "rejected"), "preferences are not learnt here"),
    **dict.fromkeys(("documents", "chat_template_kwargs"), "the chat template is not given it"),
}
"""Fields beside a conversation that would change what is in it, and why they are not read."""


@register_source("messages", ask=ask_conversation)
def read(corpus: Corpus, data_source: DataSource) -> Examples:
    """Read one file; conversations with an empty message, or no answer to learn, are counted and left out.

    UsageError for several columns.
    """
    if len(corpus.columns) > 1:
        raise UsageError("columns must name the one field of the conversation", where=corpus.name)
    file = locate_text(fill_path(corpus, corpus.language), data_source)
    return conversation_examples(corpus, _read_conversations(file, corpus.columns or COLUMNS), file)


def _read_conversations(file: DataFile, columns: tuple[str, ...]) -> list[tuple[Turn, ...]]:
    conversations, problems = [], []
    hint = ""
    for record in read_placed_records(Path(file.path)):
        try:
            conversations.append(_conversation(record, columns))
        except DataError as error:
            field = f"field {error.where!r} " if error.where else ""
            problems.append(Problem(record.place, f"{field}{error.what}"))
            hint = hint or error.hint
    if problems:
        raise data_error(file.path, problems, hint=hint)
    return conversations


def _conversation(record: PlacedRecord, columns: tuple[str, ...]) -> tuple[Turn, ...]:
    """Return the messages of a row; DataError, where names the field, for what is in it and cannot be read."""
    values = {name: value for name, value in record.values.items() if not _is_none(value)}
    column = _column(record, columns)
    for name in values:
        if name in REFUSED:
            raise DataError(f"is not read: {REFUSED[name]}", where=name, hint="leave such rows out of the file")
    items = record.values[column]
    if not isinstance(items, list):
        raise DataError(f"must be a list of messages, got {_type(items)}", where=column)
    turns = tuple(_turn(item, f"{column}[{place}]", items) for place, item in enumerate(items))
    if SYSTEM not in values:
        return turns
    if any(turn.role is Role.SYSTEM for turn in turns):
        raise DataError("is a second system prompt, beside that of the conversation", where=SYSTEM)
    return (Turn(role=Role.SYSTEM, text=_text(values[SYSTEM], SYSTEM), is_learnt=False), *turns)


def _column(record: PlacedRecord, columns: tuple[str, ...]) -> str:
    """Return the field that holds the conversation of a row; DataError where there is none, or two."""
    found = [name for name in columns if record.values.get(name) is not None]
    if len(found) > 1:
        raise DataError(f"has a second conversation beside {found[0]!r}", where=found[1])
    if not found:
        has = ", ".join(record.values) or "no fields"
        hint = 'reader = "alpaca" reads instructions' if "instruction" in record.values else ""
        wanted = " or ".join(map(repr, columns))
        raise DataError(f"has no conversation: the field {wanted} is missing or null (has: {has})", hint=hint)
    return found[0]


def _turn(item: Json, place: str, items: list[Json]) -> Turn:
    """Return one message, in the form of the first one of its conversation."""
    if not isinstance(item, Mapping):
        raise DataError(f"must be an object, got {_type(item)}", where=place)
    is_sharegpt = isinstance(items[0], Mapping) and ("from" in items[0] or "value" in items[0])
    role_name, text_name, roles = ("from", "value", SHAREGPT) if is_sharegpt else ("role", "content", OPENAI)
    for name in (role_name, text_name):
        if name not in item and not (name == text_name and any(not _is_none(item.get(each)) for each in CALLS)):
            raise DataError(f"is missing (has: {', '.join(item) or 'no fields'})", where=f"{place}.{name}")
    role = _role(item[role_name], f"{place}.{role_name}", roles)
    for name, value in item.items():
        if name not in (role_name, text_name, "weight") and not _is_none(value):
            raise _unread_field(name, place)
    text = _text(item[text_name], f"{place}.{text_name}")
    return Turn(role=role, text=text, is_learnt=_weight(item, role, place))


def _role(word: Json, place: str, roles: Mapping[str, Role]) -> Role:
    if not isinstance(word, str):
        raise DataError(f"must be a string, got {_type(word)}", where=place)
    if word in TOOL_ROLES:
        what = f"is {word!r}: calls of tools are not learnt here"
        raise DataError(what, where=place, hint="leave such conversations out of the file")
    if word not in roles:
        hint = 'call it "system"' if word == "developer" else ""
        raise DataError(f"is {word!r}, which is none of {', '.join(roles)}", where=place, hint=hint)
    return roles[word]


def _unread_field(name: str, place: str) -> DataError:
    if name in CALLS:
        what, hint = "is not read: calls of tools are not learnt here", "leave such conversations out of the file"
    elif name in THOUGHTS:
        what, hint = (
            "is not read",
            "put the thinking in front of the content: <think>...</think>, as the template has it",
        )
    else:
        what, hint = "is not read: it may change what is said", "take the field out of the file"
    return DataError(what, where=f"{place}.{name}", hint=hint)


def _weight(item: Mapping[str, Json], role: Role, place: str) -> bool:
    """Return whether a message is learnt: every one of the assistant, but for a weight of 0."""
    weight = item.get("weight")
    if weight is None:
        return role is Role.ASSISTANT
    if role is not Role.ASSISTANT:
        raise DataError("is of no use: only what the assistant says is learnt", where=f"{place}.weight")
    if isinstance(weight, bool) or weight not in (0, 1):
        raise DataError(f"must be 0 or 1, got {str(weight)[:40]}", where=f"{place}.weight")
    return weight == 1


def _text(value: Json, place: str) -> str:
    """Return a text, or that of a list of text parts, one behind the other."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise DataError(f"must be a string, or a list of text parts, got {_type(value)}", where=place)
    return "".join(_part(part, f"{place}[{number}]") for number, part in enumerate(value))


def _part(part: Json, place: str) -> str:
    if not isinstance(part, Mapping) or not isinstance(kind := part.get("type"), str):
        raise DataError('must be {"type": "text", "text": ...}', where=place)
    if kind != "text":
        raise DataError(f"is {kind!r}: text alone is learnt here", where=f"{place}.type")
    for name, value in part.items():
        if name not in ("type", "text") and not _is_none(value):
            raise _unread_field(name, place)
    if not isinstance(text := part.get("text"), str):
        raise DataError(f"must be a string, got {_type(text)}", where=f"{place}.text")
    return text


def _is_none(value: Json) -> bool:
    """Return whether a field holds nothing: tables give every row the fields of all."""
    return value is None or value in ("", [], {})


def _type(value: Json) -> str:
    return "null" if value is None else type(value).__name__
