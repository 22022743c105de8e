"""Which findings are more than what clean text shows, and are shown with examples."""

from ...metrics.language_identifiers import find_identifier
from .records import AuditFinding, FindingCount, SourceAudit

SHARE = 0.01
"""Of the rows: clean news and Tatoeba stay below it (docs/tuning-data.md)."""
_LEFT_OUT = (
    *(AuditFinding.DUPLICATE, AuditFinding.DUPLICATE_ELSEWHERE, AuditFinding.TRUNCATED),
    *(AuditFinding.SHORTENED, AuditFinding.OPEN_ENDED),
)
"""Counted, but not raised: duplicates are not learnt, and truncated rows and conversations have lines of their own."""


def raised_findings(audit: SourceAudit, language: str) -> list[FindingCount]:
    """Return the findings to look at: over SHARE of the rows, beside what the identifier of `language` gets wrong."""
    identifier = find_identifier(language)
    wrong = {AuditFinding.LANGUAGE: identifier.false_alarms / 100 if identifier is not None else 0.0}
    return [
        each for each in audit.counts if each.kind not in _LEFT_OUT and each.share > SHARE + wrong.get(each.kind, 0.0)
    ]
