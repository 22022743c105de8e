"""All checks on the rows of one source, in time linear in their characters."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from ...metrics.off_target import has_letter_of
from ...records import Corpus, Example
from .alignment import check_alignment
from .findings import AuditFindings
from .language import has_identifier, is_other_language, sample_step
from .lengths import FAR, is_far, log_ratio, median, quantiles
from .records import AlignmentCheck, AuditFinding, Quantiles, SourceAudit
from .texts import copied_answer, count_letters, is_url, learnt_answers, learnt_sides


@dataclass(slots=True, kw_only=True)
class Auditor:
    """Audits one source; what the encoder finds later, duplicates and truncated rows, is added to its findings."""

    corpus: Corpus
    findings: AuditFindings = field(default_factory=AuditFindings)
    _rows: int = field(default=0, init=False)
    _identified: int = field(default=0, init=False)
    _ratio: Quantiles | None = field(default=None, init=False)
    _score: Quantiles | None = field(default=None, init=False)
    _alignment: AlignmentCheck | None = field(default=None, init=False)

    def look_at(self, rows: Sequence[Example], scores: Sequence[float] | None) -> None:
        """Check `rows`, each with an answer, in the order of their files."""
        self._rows = len(rows)
        if not rows:
            return
        self._look_at_each(rows)
        self._identify(rows)
        if self._are_pairs(rows):
            self._look_at_ratios(rows)
        if scores:
            self._score = quantiles(scores)

    def compare_order(self, rows: Sequence[Example]) -> None:
        """Check that both sides are in the same order: `rows` are all that have an answer, before any filter.

        Pairs that a filter chose by their lengths agree in length, in whatever order they were.
        """
        if self._are_pairs(rows):
            sources, targets = [row.fields["source"] for row in rows], [row.targets[0] for row in rows]
            self._alignment = check_alignment([row.id for row in rows], sources, targets)

    def _are_pairs(self, rows: Sequence[Example]) -> bool:
        return self.corpus.direction is not None and all("source" in row.fields for row in rows)

    def report(self, *, skipped: int, unanswered: int, filtered: dict[str, int]) -> SourceAudit:
        """Return what was found; `skipped` rows had nothing to ask or to learn, `unanswered` of them no answer."""
        return SourceAudit(
            rows=self._rows,
            skipped=skipped,
            unanswered=unanswered,
            identified=self._identified,
            counts=self.findings.report(
                rows=self._rows, identified=self._identified, skipped=skipped, unanswered=unanswered
            ),
            ratio=self._ratio,
            score=self._score,
            alignment=self._alignment,
            filtered=filtered,
        )

    def _look_at_each(self, rows: Sequence[Example]) -> None:
        for row in rows:
            answers, sides = learnt_answers(row), learnt_sides(row)
            other = [answer for answer in answers if not has_letter_of(answer, self.corpus.language)]
            if other:
                self.findings.add(AuditFinding.NO_SCRIPT, row.id, other[0])
            if (copied := copied_answer(row)) is not None:
                self.findings.add(AuditFinding.COPY, row.id, copied)
            urls, bare = (
                [side for side in sides if is_url(side)],
                [side for side in sides if not count_letters(side, 1)],
            )
            if urls or bare:
                shown = " → ".join(sides) if row.turns is None else (urls or bare)[0]
                self.findings.add(AuditFinding.URL if urls else AuditFinding.NO_LETTER, row.id, shown)

    def _identify(self, rows: Sequence[Example]) -> None:
        """Tell languages in every n-th row of a large source: an identifier takes 20 to 200 microseconds a row."""
        sample = rows[:: sample_step(len(rows))]
        direction = self.corpus.direction
        self._identified = len(sample) if has_identifier(self.corpus.language) else 0
        for row in sample:
            other = [each for each in learnt_answers(row) if is_other_language(each, self.corpus.language)]
            if other:
                self.findings.add(AuditFinding.LANGUAGE, row.id, other[0])
            source = row.fields.get("source")
            if direction is not None and source is not None and is_other_language(source, direction[0]):
                self.findings.add(AuditFinding.SOURCE_LANGUAGE, row.id, source)

    def _look_at_ratios(self, rows: Sequence[Example]) -> None:
        ratios = [log_ratio(row.fields["source"], row.targets[0]) for row in rows]
        middle = median(ratios)
        for row, ratio in zip(rows, ratios, strict=True):
            if is_far(ratio, middle, FAR):
                self.findings.add(AuditFinding.RATIO, row.id, f"{row.fields['source']} → {row.targets[0]}")
        self._ratio = quantiles([math.exp(ratio) for ratio in ratios])
