"""Counts of findings by kind, with the first rows of each kept to look at."""

from dataclasses import dataclass, field

from ...text import single_line
from .records import AuditedRow, AuditFinding, FindingCount

SHOWN = 3
"""Rows of each kind that are kept."""
EXCERPT = 100
"""Characters of a row that are kept."""


@dataclass(slots=True)
class AuditFindings:
    """The findings in the rows of one source so far."""

    _rows: dict[AuditFinding, int] = field(default_factory=dict, init=False)
    _shown: dict[AuditFinding, list[AuditedRow]] = field(default_factory=dict, init=False)

    def add(self, kind: AuditFinding, row: str, text: str) -> None:
        """Count a row by its id; `text` is what is shown of it."""
        self._rows[kind] = self._rows.get(kind, 0) + 1
        shown = self._shown.setdefault(kind, [])
        if len(shown) < SHOWN:
            excerpt = single_line(text[: 4 * EXCERPT])
            cut = "" if len(excerpt) <= EXCERPT else " ..."
            shown.append(AuditedRow(row=row, excerpt=excerpt[:EXCERPT] + cut))

    def report(self, *, rows: int, identified: int, skipped: int, unanswered: int) -> tuple[FindingCount, ...]:
        """Return the counts in the order of the kinds, of `rows`; languages were identified in `identified` of them.

        Of the `skipped` rows, those that are `unanswered` hold no letter of any script either.
        """
        of = {AuditFinding.LANGUAGE: identified or rows, AuditFinding.SOURCE_LANGUAGE: identified or rows}
        return tuple(
            FindingCount(
                kind=kind,
                rows=self._rows[kind] + (unanswered if kind is AuditFinding.NO_SCRIPT else 0),
                of=rows + skipped if kind is AuditFinding.NO_SCRIPT else of.get(kind, rows),
                examples=tuple(self._shown[kind]),
            )
            for kind in AuditFinding
            if kind in self._rows
        )
