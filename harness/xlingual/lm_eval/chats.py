"""Chats on their way through lm-eval, which passes prompts as strings: the messages, for the model to render.

So every model of ours takes chats, whether it has a tokenizer here or behind a server.
"""

import json
from collections.abc import Sequence

from ..errors import DataError
from ..records import Form, Message, Role

MARK = "\0chat\0"
"""Begins a string that holds messages; no other text begins so."""


def pack_chat(history: Sequence[dict[str, str]]) -> str:
    """Return the string that stands for the messages of `history`, each with `role` and `content`."""
    return MARK + json.dumps([[turn["role"], turn["content"]] for turn in history], ensure_ascii=False)


def read_prompt(text: str) -> tuple[Form, tuple[Message, ...]]:
    """Return how the prompt `text` is to be put; DataError for a role that there is not."""
    if not text.startswith(MARK):
        return Form.TEXT, (Message(role=Role.USER, text=text),) if text else ()
    messages = []
    for role, content in json.loads(text.removeprefix(MARK)):
        if role not in list(Role):
            raise DataError(f"a message is by {role!r}", where="chat", hint=f"roles are {', '.join(Role)}")
        messages.append(Message(role=Role(role), text=str(content)))
    if messages and messages[-1].role is Role.ASSISTANT:
        raise DataError("an answer that is begun for the model cannot be put as a chat", where="gen_prefix")
    return Form.CHAT, tuple(messages)
