"""The token that ends a turn of the assistant, as the chat template says: the model was trained to say it.

<|im_start|>assistant\nANSWER<|im_end|>\n        <|im_end|>, whatever the tokenizer calls its end token
ASSISTANT: ANSWER </s>                           </s>
### Response:\nANSWER\n\n### Instruction:        none: the turn ends with text
"""

from collections.abc import Mapping
from dataclasses import dataclass

from xlingual.errors import ModelError
from xlingual.records import Failure, Message, Role

from .chat_template import PROBE, Render, render_messages

ANSWER = "Wisla."
"""An answer without spaces around it, for templates trim theirs."""
QUESTION = Message(role=Role.USER, text=PROBE)
REPLY = Message(role=Role.ASSISTANT, text=ANSWER)
SYSTEM = Message(role=Role.SYSTEM, text="You answer questions.")
LAST_TURN = ((QUESTION, REPLY), (SYSTEM, QUESTION, REPLY))
"""Chats that end with an answer. What follows it there is its end, also where an earlier turn is closed otherwise, as
in gpt-oss."""
EARLIER_TURN = ((QUESTION, REPLY, QUESTION), (SYSTEM, QUESTION, REPLY, QUESTION))
"""Chats that go on after the answer: for templates that refuse to end with one, or close only earlier turns."""


@dataclass(frozen=True, slots=True)
class TurnEnd:
    """The token behind an answer of the assistant."""

    token: int
    opens_next: bool
    """Whether it begins the next turn, as in `ANSWER<|user|>`: it ends answers, but no model should learn to say it."""


def find_turn_end(render: Render, added: Mapping[int, str], begin: int | None) -> TurnEnd | None:
    """Return the token that stands behind an answer of the assistant, None where text does.

    `added` are the tokens outside of the tokenizer's own vocabulary by id, special or not, `begin` is the begin token,
    which ends nothing.
    """
    texts = {text.strip(): token for token, text in added.items() if text.strip() and token != begin}
    for chats in (LAST_TURN, EARLIER_TURN):
        for chat in chats:
            try:
                rendered = render_messages(render, chat)
            except ModelError:
                continue
            if isinstance(rendered, Failure) or ANSWER not in rendered:
                continue
            before, _, tail = rendered.rpartition(ANSWER)
            if ends := [text for text in texts if tail.lstrip().startswith(text)]:
                end = max(ends, key=len)
                return TurnEnd(texts[end], chats is EARLIER_TURN and _opens_turn(before, tail, end))
            break
    return None


def _opens_turn(before: str, tail: str, end: str) -> bool:
    """Return whether the token stands before the first question as it does before the next one."""
    first, next_one = before.partition(PROBE)[0], tail.partition(PROBE)[0]
    return first.endswith(next_one[next_one.index(end) :])
