"""Prompts that a server cut without a word, noticed by their token counts.

Some servers (Ollama by default) cut what does not fit their window and answer the rest. Where the server counts tokens,
the sign is a count below its own. Elsewhere it is a ceiling: prompts of different lengths that all have one count, the
largest of all.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from xlingual.records import Request

from .completion import Completion

SLACK = 8
"""Tokens by which two counts of one prompt may differ: of a template's beginning and end."""
SIGNS = 3
"""Prompts with one count, all of lengths that differ by a tenth."""
LEAST_TOKENS = 256
"""No window is smaller; short prompts often have one count."""


@dataclass(slots=True, kw_only=True)
class CutPrompts:
    """Watches the prompt tokens of one server's answers."""

    expected: Callable[[Request], int | None]
    """The tokens of a prompt, where they are known before."""
    leave_out: Callable[[str, str], None]
    """Records and notes that a setting is not in force."""
    is_noted: bool = False
    most: int = 0
    lengths: list[int] = field(default_factory=list)
    """In bytes, of the prompts that have `most` tokens: those that differ by a tenth."""

    def check(self, request: Request, answer: Completion) -> None:
        """Look at an answer; note, once, where prompts seem to be cut. No sample fails: servers count in many ways."""
        count = answer.prompt_tokens
        if count is None or self.is_noted:
            return
        expected = self.expected(request)
        if expected is not None:
            if count < expected - SLACK:
                self._note(f"perhaps cut by the server: it read {count} tokens of a prompt of {expected}")
            return
        if count > self.most:
            self.most, self.lengths = count, []
        length = sum(len(message.text.encode("utf-8", "replace")) for message in request.messages)
        if count == self.most and all(abs(length - each) > 0.1 * max(length, each) for each in self.lengths):
            self.lengths.append(length)
            if len(self.lengths) >= SIGNS and count >= LEAST_TOKENS:
                self._note(f"perhaps cut by the server: different ones all have {count} tokens")

    def _note(self, said: str) -> None:
        self.is_noted = True
        self.leave_out("prompts", said)
