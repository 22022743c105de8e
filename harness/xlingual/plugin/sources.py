"""What a reader of training text fulfils."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from ..records import Corpus, Example, Examples, Prompt
from .tasks import DataSource


class Source(Protocol):
    """A format of text to learn from; what it asks goes through the same templates as what a Task asks."""

    def examples(self, corpus: Corpus, data_source: DataSource) -> Examples:
        """Read the corpus in the order of its files. Raises DataError, UsageError or EnvironmentFault."""
        ...

    def prompt(self, corpus: Corpus, example: Example, number: int) -> Prompt:
        """Say what to ask for `example`, the one with that `number` in the corpus, counted from 0."""
        ...


Asker: TypeAlias = Callable[[Corpus, Example, int], Prompt]


@dataclass(frozen=True, slots=True, kw_only=True)
class TextSource:
    """The Source that two functions make: how to read a corpus, and what to ask for an example of it."""

    read: Callable[[Corpus, DataSource], Examples]
    ask: Asker

    def examples(self, corpus: Corpus, data_source: DataSource) -> Examples:
        """Read the corpus in the order of its files."""
        return self.read(corpus, data_source)

    def prompt(self, corpus: Corpus, example: Example, number: int) -> Prompt:
        """Say what to ask for `example`."""
        return self.ask(corpus, example, number)
