"""Chats as lm-eval makes them for `--apply_chat_template`: its messages, kept for the model to render."""

from collections.abc import Sequence
from dataclasses import dataclass

from xlingual.errors import UsageError
from xlingual.records import Message, Role


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatSettings:
    """How a task is asked; fields as lm-eval's `apply_chat_template`, `fewshot_as_multiturn`, `system_instruction`."""

    template: bool = False
    as_turns: bool = False
    system: str | None = None


class Chat(str):
    """What stands for a chat where lm-eval wants a text; `messages` is what it is made of."""

    messages: tuple[Message, ...]

    __slots__ = ("messages",)


def record_chat(history: Sequence[dict[str, str]], add_generation_prompt: bool = True) -> Chat:
    """Return the messages of `history` in the place of lm-eval's `chat_template`, which renders them.

    Raises UsageError for a chat that ends in an answer which is begun for the model: no model of ours goes on with one.
    """
    if not add_generation_prompt:
        hint = "leave the chat template out for tasks with gen_prefix"
        raise UsageError("an answer that is begun for the model cannot be put as a chat", where="--template", hint=hint)
    chat = Chat("\n\n".join(turn["content"] for turn in history))
    chat.messages = tuple(Message(role=Role(turn["role"]), text=turn["content"]) for turn in history)
    return chat
