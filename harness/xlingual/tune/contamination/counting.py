"""What the rows of a source repeat of test data: counted by benchmark and kind, the first of each kept to look at."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from ...records import Example
from ...text import single_line
from ..records import BenchmarkCheck, OnRepetition, RepeatedRow, RepeatedText, Repetition, RepetitionCount

SHOWN = 3
"""Rows of each kind that are kept."""
EXCERPT = 120
"""Characters of a row that are kept."""


@dataclass(slots=True)
class RepetitionCounts:
    """Counts the rows of one source that repeat test data, and decides which of them are left out."""

    source: str
    checks: Sequence[BenchmarkCheck]
    on_repetition: OnRepetition
    _rows: dict[tuple[str, Repetition], int] = field(default_factory=dict, init=False)
    _left_out: dict[tuple[str, Repetition], int] = field(default_factory=dict, init=False)
    _shown: dict[tuple[str, Repetition], list[RepeatedRow]] = field(default_factory=dict, init=False)

    def leaves_out(self, row: Example, repeated: RepeatedText) -> bool:
        """Count a row that repeats a text, and return whether it is left out."""
        is_left_out = repeated.is_left_out and self.on_repetition is not OnRepetition.REPORT
        key = (self.checks[repeated.check].family, repeated.kind)
        self._rows[key] = self._rows.get(key, 0) + 1
        self._left_out[key] = self._left_out.get(key, 0) + is_left_out
        shown = self._shown.setdefault(key, [])
        if len(shown) < SHOWN:
            excerpt = single_line(" ".join(row.texts))[:EXCERPT]
            shown.append(RepeatedRow(row=row.id, excerpt=excerpt, text=repeated.text, share=repeated.share))
        return is_left_out

    def report(self) -> tuple[RepetitionCount, ...]:
        """Return the counts, the worst kind of each benchmark first."""
        order = list(Repetition)
        return tuple(
            RepetitionCount(
                source=self.source,
                family=family,
                kind=kind,
                rows=self._rows[family, kind],
                left_out=self._left_out[family, kind],
                examples=tuple(self._shown[family, kind]),
            )
            for family, kind in sorted(self._rows, key=lambda key: (key[0], order.index(key[1])))
        )
