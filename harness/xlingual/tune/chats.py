"""Conversations as rows: every learnt answer behind just the tokens that the model would read before it says it.

    turns    user Hi | assistant Hello. | user And in German? | assistant Hallo.
    row      ...assistant\\nHello.<|im_end|>\\n...assistant\\nHallo.<|im_end|>
    learnt                 ^^^^^^^^^^^^^^^^                 ^^^^^^^^^^^^^^^^

Each answer is encoded by itself, behind the prompt that evaluation would ask with. Where an answer with its prompt is
the beginning of what a later answer is given to, token by token, both are learnt in one row. A template that changes
earlier turns (it drops their thinking, say) makes rows of their own: no answer is learnt behind anything else than what
it is given to.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from ..plugin import ChatTrainable, LearntTurn, Trainable
from ..prompt import Rendering, render_turns
from ..records import Example, Message, Request, Role, Turn


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatCounts:
    """The conversations of a source."""

    conversations: int = 0
    """That are learnt, wholly or in part."""
    answers: int = 0
    """That are learnt."""
    rows: int = 0
    """More than there are conversations where the chat template changes earlier turns."""
    shortened: int = 0
    """Conversations that are longer than the recipe's length: their last answers are left out, no answer is cut."""
    left_out: int = 0
    """Answers that are left out for the length."""
    open_ended: int = 0
    """Conversations that end with a message that nothing answers, which no answer is given to."""

    def __add__(self, other: "ChatCounts") -> "ChatCounts":
        """Return the counts of both."""
        return ChatCounts(
            conversations=self.conversations + other.conversations,
            answers=self.answers + other.answers,
            rows=self.rows + other.rows,
            shortened=self.shortened + other.shortened,
            left_out=self.left_out + other.left_out,
            open_ended=self.open_ended + other.open_ended,
        )


@dataclass(frozen=True, slots=True)
class ChatRow:
    """A row of a conversation."""

    ids: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]
    """Of each learnt answer: its first token, and the one behind its end; in order."""


@dataclass(frozen=True, slots=True)
class AskedAnswer:
    """A learnt answer of a conversation and what it is given to."""

    request: Request
    answer: str
    turn: int
    """Counted from 1 among all messages of the conversation."""


def ask_answers(turns: Sequence[Turn], rendering: Rendering) -> list[AskedAnswer]:
    """Return the learnt answers of a conversation, each with the chat before it."""
    messages = [Message(role=turn.role, text=turn.text) for turn in turns]
    return [
        AskedAnswer(render_turns(messages[:index], rendering), turn.text, index + 1)
        for index, turn in enumerate(turns)
        if turn.is_learnt
    ]


def learnt_marks(turns: Sequence[Turn]) -> str:
    """Return which answers are learnt, where conversations may differ in that alone; "" for the last one only."""
    answers = [turn.is_learnt for turn in turns if turn.role is Role.ASSISTANT]
    while answers and not answers[-1]:
        answers.pop()
    return "" if sum(answers) == 1 else "".join("1" if each else "0" for each in answers)


def join_turns(turns: Iterable[LearntTurn]) -> list[ChatRow]:
    """Return as few rows as hold all answers of a conversation, given in order, each behind its own prompt."""
    rows: list[ChatRow] = []
    for turn in reversed(list(turns)):
        span, end = (turn.start, len(turn.ids)), len(turn.ids)
        home = next((index for index, row in enumerate(rows) if row.ids[:end] == turn.ids), None)
        if home is None:
            rows.append(ChatRow(turn.ids, (span,)))
        else:
            rows[home] = replace(rows[home], spans=(span, *rows[home].spans))
    return rows[::-1]


def shorten(row: ChatRow, length: int) -> ChatRow | None:
    """Return a row without its last answers, so that it has at most `length` tokens; None where no answer fits."""
    spans = tuple(span for span in row.spans if span[1] <= length)
    return ChatRow(row.ids[: spans[-1][1]], spans) if spans else None


def is_open_ended(example: Example) -> bool:
    """Return whether a conversation ends with a message that nothing answers."""
    return bool(example.turns and example.turns[-1].role is not Role.ASSISTANT)


def learnt_end(model: Trainable, *, by_turn: bool) -> int | None:
    """Return the token that learnt answers end with, for the exported model to end its own with; None without any.

    `by_turn`: the rows are those of `ChatTrainable.learnt_turns`.
    """
    if by_turn and isinstance(model, ChatTrainable):
        return model.turn_end()
    return next(iter(model.answer_ids([""])[0][-1:]), None)
