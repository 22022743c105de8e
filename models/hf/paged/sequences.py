"""A prompt on its way through the paged engine, and the part of a step that is its own."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ..packed.prefix_tree import TokenSequence
from ..tokens.rendering import Rendered


@dataclass(slots=True, eq=False)
class PagedSequence:
    """A prompt, the tokens of its answer so far, and the pages that hold their keys and values.

    prompt 1 2 3 4 5, answer 6 7, and a step in flight that computes the token after 7:

        tokens 1 2 3 4 5 6 7     computed 7     pending 1
    """

    text: TokenSequence
    """Prompt and answer, as prompt lookup takes them."""
    pages: list[int] = field(default_factory=list)
    """In the order of the text."""
    row: int | None = None
    """While it runs: its row of the block table, and of the newest tokens on the device."""
    computed: int = 0
    """Tokens whose keys and values are in the pages, or will be with the step in flight."""
    pending: int = 0
    """Tokens that launched steps compute and the host has not seen: 1, or 2 while the next step is planned."""
    is_done: bool = False
    """Whether it has its answer; a step in flight may still compute a token, which is dropped."""
    planned: int = -1
    """The last step that computes some of its tokens."""
    scored: tuple[int, ...] | None = None
    """Positions after which the scores of tokens are wanted, in order, where no answer is; they are computed by its own
    row."""
    known: int = field(init=False)
    """Tokens of prompt and answer that the host has seen."""

    def __post_init__(self) -> None:
        """Count the tokens."""
        self.known = len(self.text.prompt.ids) + len(self.text.output_ids)

    def append(self, token: int) -> None:
        """Append the next token of the answer."""
        self.text.output_ids.append(token)
        self.known += 1

    @property
    def prompt(self) -> Rendered:
        """What is asked."""
        return self.text.prompt

    @property
    def output_ids(self) -> list[int]:
        """Tokens of the answer so far."""
        return self.text.output_ids

    @property
    def uncomputed(self) -> int:
        """Tokens whose keys and values are still to be computed; 1 for a row that decodes."""
        return self.known + self.pending - self.computed

    @property
    def is_read(self) -> bool:
        """Whether it is scored, and all of it has been computed."""
        return self.scored is not None and self.computed == self.known

    def tokens(self, start: int, end: int) -> Sequence[int]:
        """Return the known tokens from `start` on, before `end`."""
        ids, output = self.text.prompt.ids, self.text.output_ids
        if end <= len(ids):
            return ids[start:end]
        if start >= len(ids):
            return output[start - len(ids) : end - len(ids)]
        return [*ids[start:], *output[: end - len(ids)]]


class StepEntry(NamedTuple):
    """Tokens of a sequence that a step computes: a chunk of its prompt, its newest token, or that and a draft."""

    sequence: PagedSequence
    row: int
    start: int
    """The position of the first one."""
    length: int
    """Its tokens in the step."""
    kept: Sequence[int]
    """The tokens, counted from `start`, after which the next one is wanted; none in the middle of a prompt."""
    steps: int
    """Tokens of the answer before the first that is wanted: with a seed, what a draw depends on."""
    draft: Sequence[int] = ()
    """Of the tokens, the last ones are guesses."""


@dataclass(frozen=True, slots=True)
class StepPlan:
    """A forward pass: who computes which tokens."""

    number: int
    decode: tuple[StepEntry, ...]
    """Every token of these is a row of its own for the attention kernel: one query, and all keys up to it."""
    prefill: tuple[StepEntry, ...]
    copies: tuple[tuple[int, int], ...]
    """Pages that are copied before it, each over another."""

    @property
    def entries(self) -> tuple[StepEntry, ...]:
        """All, in the order of their tokens."""
        return (*self.decode, *self.prefill)

    @property
    def sequences(self) -> list[PagedSequence]:
        """Whom the step is for."""
        return [entry.sequence for entry in self.entries]


def new_sequence(prompt: Rendered, order: int) -> PagedSequence:
    """Return the sequence of a prompt; `order` is its place among all prompts sorted by their tokens."""
    return PagedSequence(TokenSequence(prompt=prompt, order=order, prefix=None))
