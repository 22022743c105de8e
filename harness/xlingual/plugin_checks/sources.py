"""A plugin's reader of training text behind its border: types of rows and prompts, and where its code failed."""

from collections.abc import Iterator
from dataclasses import dataclass

from ..plugin import DataSource, Source, TextSource
from ..plugin_code import PluginCode
from ..records import Corpus, Example, Examples, Prompt
from ..registry import Registered
from .contract import Broken, comma_hint, require
from .examples import whole_fault
from .record_types import record_fault


@dataclass(frozen=True, slots=True)
class CheckedSource:
    """A Source that raises a PluginError wherever the source is not as it must be."""

    source: Source
    code: PluginCode

    def examples(self, corpus: Corpus, data_source: DataSource) -> Examples:
        """Read the corpus in the order of its files."""
        function = self.source.read if isinstance(self.source, TextSource) else self.source.examples
        with self.code.calling(f"source {corpus.name}", function):
            found = self.source.examples(corpus, data_source)
        require(_row_faults(found), self.code, f"source {corpus.name}", function)
        return found

    def prompt(self, corpus: Corpus, example: Example, number: int) -> Prompt:
        """Say what to ask for `example`, the one with that `number` in the corpus."""
        function = self.source.ask if isinstance(self.source, TextSource) else self.source.prompt
        doing = f"source {corpus.name}, example {example.id!r}"
        with self.code.calling(doing, function):
            found = self.source.prompt(corpus, example, number)
        if (wrong := record_fault(found, Prompt, called="prompt")) is not None:
            raise self.code.fault(wrong, doing=doing, function=function)
        return found


def checked_source(registered: Registered[Source]) -> Source:
    """Return a plugin's source behind its border; xlingual's own is returned as it is."""
    code = registered.code
    return registered.item if code.shipped else CheckedSource(registered.item, code)


def _row_faults(found: Examples) -> Iterator[Broken]:
    if (fault := whole_fault(found)) is not None:
        yield fault
        return
    for number, row in enumerate(found.rows, start=1):
        if (wrong := record_fault(row, Example, called="a row")) is not None:
            yield Broken(f"example number {number}: {wrong}", comma_hint(row))
        elif not row.targets:
            yield Broken(f"example {row.id!r}: targets is empty")
        elif row.turns is not None and tuple(turn.text for turn in row.turns if turn.is_learnt) != row.targets:
            yield Broken(f"example {row.id!r}: targets are not the answers of turns that are learnt, in their order")
