"""What `tune plan` and `tune run` say of the rows: what is wrong with how many, and examples of what stands out."""

import click

from ...languages import LANGUAGES
from ...tune.audit.raised import raised_findings
from ...tune.audit.records import AlignmentCheck, AuditFinding, FindingCount, SourceAudit
from ...tune.records import MixPlan, SourceReport
from ..display import show_table

_HEADER = (
    *("source", "rows", "filtered", "no own script", "other language", "copies", "far ratio", "no letter", "URL"),
    *("twice here", "in earlier source", "end lost", "wrong order"),
)
_LEGEND = (
    "no own script: the answer has no letter of its language's script; far ratio: one side of a pair is over 4 times "
    "as long as in the median pair, or as short; end lost: cut at the recipe's length; wrong order: pairs whose sides "
    "are not of the same line"
)
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
_FILTERS = {
    AuditFinding.NO_SCRIPT: "language = true, min_letters = 1",
    AuditFinding.LANGUAGE: "language = true",
    AuditFinding.SOURCE_LANGUAGE: "language = true",
    AuditFinding.COPY: "copies = false",
    AuditFinding.RATIO: "max_ratio = 4.0",
    AuditFinding.NO_LETTER: "min_letters = 1",
    AuditFinding.URL: "min_letters = 1",
}
_SCRIPTS = {"Hans": "Chinese", "Hant": "Chinese", "Arab": "Arabic", "Latn": "Latin", "Deva": "Devanagari"}


def show_audit(plan: MixPlan) -> None:
    """Print the table of the audit; nothing for a plan from before there was one."""
    rows = [_row(source, source.audit) for source in plan.sources if source.audit is not None]
    if rows:
        show_table("audit: rows of each source, all of them, used or not", _HEADER, rows)
        click.echo(_LEGEND)


def _row(source: SourceReport, audit: SourceAudit) -> list[str]:
    own, other = (
        audit.count(AuditFinding.NO_SCRIPT),
        audit.count(AuditFinding.LANGUAGE) + audit.count(AuditFinding.SOURCE_LANGUAGE),
    )
    kinds = (
        *(AuditFinding.COPY, AuditFinding.RATIO, AuditFinding.NO_LETTER, AuditFinding.URL),
        *(AuditFinding.DUPLICATE, AuditFinding.DUPLICATE_ELSEWHERE, AuditFinding.TRUNCATED),
    )
    order = audit.alignment
    return [
        source.name,
        f"{audit.rows + audit.skipped:,}",
        f"{sum(audit.filtered.values()):,}",
        f"{own:,}",
        f"{other:,}",
        *(f"{audit.count(kind):,}" for kind in kinds),
        "" if order is None else f"{100 * order.wrong / order.rows:.0f}%",
    ]


def audit_lines(plan: MixPlan) -> list[str]:
    """Return what the filters left out, and what stands out with examples; () where there is nothing to say."""
    lines = []
    for source in plan.sources:
        audit = source.audit
        if audit is None:
            continue
        if audit.filtered:
            counts = ", ".join(f"{count:,} by {key}" for key, count in audit.filtered.items())
            lines.append(f"{source.name}: {sum(audit.filtered.values()):,} rows filtered: {counts}")
        for count in raised_findings(audit, source.language):
            lines += _finding_lines(source, audit, count)
        if audit.alignment is not None and audit.alignment.wrong:
            lines += _order_lines(source, audit.alignment)
        if audit.identified == 0:
            name = LANGUAGES[source.language].name
            lines.append(f"{source.name}: no language identifier here tells {name}: judged by script alone")
        elif audit.identified < audit.rows:
            lines.append(f"{source.name}: languages told in a sample of {audit.identified:,} of {audit.rows:,} rows")
    return lines


def _finding_lines(source: SourceReport, audit: SourceAudit, count: FindingCount) -> list[str]:
    name = LANGUAGES[source.language].name
    empty = f", {audit.unanswered:,} of them empty" if count.kind is AuditFinding.NO_SCRIPT and audit.unanswered else ""
    is_chat = source.chats is not None
    words = (_CHAT_WORDS if is_chat else {}).get(count.kind, _WORDS[count.kind]).format(language=name)
    if count.kind is AuditFinding.NO_SCRIPT and (script := _SCRIPTS.get(LANGUAGES[source.language].script)):
        what = "conversations have an answer without a" if is_chat else "answers hold no"
        words = f"{what} {script} character"
    return [
        f"{source.name}: {count.rows:,} of {count.of:,} {words}{empty}; filter = {{ {_FILTERS[count.kind]} }}",
        *(f"  {each.row}: {each.excerpt}" for each in count.examples),
    ]


def _order_lines(source: SourceReport, order: AlignmentCheck) -> list[str]:
    late = order.shift
    lines = "line" if late in (1, -1) else "lines"
    moved = "" if late is None else f", the target side {abs(late)} {lines} {'late' if late > 0 else 'early'}"
    return [
        f"{source.name}: {order.wrong:,} of {order.rows:,} pairs stand where the two sides are not in the same order"
        f"{moved}; first at {order.first}"
    ]


def truncation_lines(plan: MixPlan) -> list[str]:
    """Return a warning for each source with rows that lose their end token, as a model that learns them never ends."""
    lines = []
    for source in plan.sources:
        if source.truncated:
            share = 100 * source.truncated / source.distinct
            lines.append(
                f"WARNING: {source.name}: {share:.1f}% of the rows ({source.truncated:,} of {source.distinct:,}) are "
                f"longer than {plan.recipe.length:,} tokens and lose their end token: an answer without an end is "
                'learnt. Raise length, or leave them out with on_long = "drop"'
            )
    return lines
