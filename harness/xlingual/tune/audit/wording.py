"""What is said of the findings of an audit, on a terminal and in a model card."""

from ...languages import LANGUAGES
from .records import AlignmentCheck, AuditFinding, FindingCount, SourceAudit

_WORDS = {
    AuditFinding.NO_SCRIPT: "answers hold no letter of the script of {language}",
    AuditFinding.LANGUAGE: "answers are not in {language}",
    AuditFinding.SOURCE_LANGUAGE: "source sides are in another language",
    AuditFinding.COPY: "answers copy what is given",
    AuditFinding.RATIO: "pairs are over 4 times as long or short on one side as the median pair",
    AuditFinding.NO_LETTER: "rows have a side without a letter",
    AuditFinding.URL: "rows have a side that is URLs alone",
}
_CHAT_WORDS = {
    AuditFinding.NO_SCRIPT: "conversations have an answer without a letter of the script of {language}",
    AuditFinding.LANGUAGE: "conversations have an answer that is not in {language}",
    AuditFinding.COPY: "conversations have an answer that copies what the user said",
    AuditFinding.NO_LETTER: "conversations have an answer without a letter",
    AuditFinding.URL: "conversations have an answer that is URLs alone",
}
_SCRIPTS = {"Hans": "Chinese", "Hant": "Chinese", "Arab": "Arabic", "Latn": "Latin", "Deva": "Devanagari"}


def describe_finding(language: str, audit: SourceAudit, count: FindingCount, *, chats: bool) -> str:
    """Return a line such as "4,214 of 17,476 answers hold no Chinese character, 8 of them empty"; `chats`: rows are."""
    found = LANGUAGES[language]
    empty = f", {audit.unanswered:,} of them empty" if count.kind is AuditFinding.NO_SCRIPT and audit.unanswered else ""
    words = (_CHAT_WORDS if chats else {}).get(count.kind, _WORDS[count.kind]).format(language=found.name)
    if count.kind is AuditFinding.NO_SCRIPT and (script := _SCRIPTS.get(found.script)):
        what = "conversations have an answer without a" if chats else "answers hold no"
        words = f"{what} {script} character"
    return f"{count.rows:,} of {count.of:,} {words}{empty}"


def describe_order(order: AlignmentCheck) -> str:
    """Return a line on pairs whose two sides are not in the same order."""
    late = order.shift
    lines = "line" if late in (1, -1) else "lines"
    moved = "" if late is None else f", the target side {abs(late)} {lines} {'late' if late > 0 else 'early'}"
    return (
        f"{order.wrong:,} of {order.rows:,} pairs stand where the two sides are not in the same order"
        f"{moved}; first at {order.first}"
    )
