"""The shapes of real workloads: how long prompts are and how much of them they share, without a word of their text.

A trace is the prompts of a task in sorted order, each as two numbers: the tokens that it shares with the one before it,
and its length. That is the whole shape of their prefix tree. Prompts of random tokens are made of it again.
"""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

FILE = Path(__file__).with_name("traces.json")
"""Measured with SmolLM2-135M-Instruct and its tokenizer: prompts as a run renders them, lengths of its answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """The shape of a workload."""

    name: str
    task: str
    shots: int
    max_new_tokens: int
    prompts: tuple[tuple[int, int], ...]
    """(tokens shared with the prompt before, tokens), in sorted order."""
    answers: tuple[int, ...]
    """Tokens of some real answers, with the one that ends them."""

    @property
    def about(self) -> str:
        """One line for a table."""
        return f"{self.task}, {self.shots}-shot"

    @property
    def prompt_tokens(self) -> int:
        """Of all prompts."""
        return sum(length for _, length in self.prompts)

    @property
    def own_tokens(self) -> int:
        """Of all prompts, what no prompt before has: the nodes of their prefix tree."""
        return sum(length - shared for shared, length in self.prompts)


def read_traces(path: Path = FILE) -> tuple[Trace, ...]:
    """Return the traces of a file."""
    found = json.loads(path.read_text(encoding="utf-8"))
    return tuple(
        Trace(
            name=name,
            task=each["task"],
            shots=each["shots"],
            max_new_tokens=each["max_new_tokens"],
            prompts=tuple((shared, length) for shared, length in each["prompts"]),
            answers=tuple(each["answers"]),
        )
        for name, each in found.items()
    )


def make_prompts(trace: Trace, count: int, tokens: Sequence[int], scale: float = 1.0) -> list[tuple[int, ...]]:
    """Return `count` prompts of random `tokens` in the shape of a trace, shuffled; `scale` makes all shorter."""
    generator = random.Random(0)
    made: list[tuple[int, ...]] = []
    before: tuple[int, ...] = ()
    for shared, length in trace.prompts[:count]:
        kept = before[: int(shared * scale)]
        wanted = max(1, int(length * scale) - len(kept))
        before = (*kept, *generator.choices(tokens, k=wanted))
        made.append(before)
    generator.shuffle(made)
    return made
