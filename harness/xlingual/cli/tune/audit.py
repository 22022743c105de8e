"""What `tune plan` and `tune run` say of the rows: what is wrong with how many, and examples of what stands out."""

import click

from ...languages import LANGUAGES
from ...tune.audit.raised import raised_findings
from ...tune.audit.records import AuditFinding, FindingCount, SourceAudit
from ...tune.audit.wording import describe_finding, describe_order
from ...tune.recipe_records import OnLong
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
_FILTERS = {
    AuditFinding.NO_SCRIPT: "language = true, min_letters = 1",
    AuditFinding.LANGUAGE: "language = true",
    AuditFinding.SOURCE_LANGUAGE: "language = true",
    AuditFinding.COPY: "copies = false",
    AuditFinding.RATIO: "max_ratio = 4.0",
    AuditFinding.NO_LETTER: "min_letters = 1",
    AuditFinding.URL: "min_letters = 1",
}


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
            lines.append(f"{source.name}: {describe_order(audit.alignment)}")
        if audit.identified == 0:
            name = LANGUAGES[source.language].name
            lines.append(f"{source.name}: no language identifier here tells {name}: judged by script alone")
        elif audit.identified < audit.rows:
            lines.append(f"{source.name}: languages told in a sample of {audit.identified:,} of {audit.rows:,} rows")
    return lines


def _finding_lines(source: SourceReport, audit: SourceAudit, count: FindingCount) -> list[str]:
    said = describe_finding(source.language, audit, count, chats=source.chats is not None)
    return [
        f"{source.name}: {said}; filter = {{ {_FILTERS[count.kind]} }}",
        *(f"  {each.row}: {each.excerpt}" for each in count.examples),
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


def dropped_lines(plan: MixPlan) -> list[str]:
    """Return a line for each source with rows that are too long to be learnt, a warning where they are over 1% of it.

    With `on_long = "cut"` these are rows whose prompt alone fills the length, or conversations whose first answer does
    not fit: whoever sees them only as a number in a table learns from half of the file without knowing.
    """
    lines = []
    for source in plan.sources:
        if source.dropped:
            held = source.held_out
            total = source.dropped + source.available + (0 if held is None else held.rows + held.twins)
            share = 100 * source.dropped / total
            fits = "they"
            if plan.recipe.on_long is OnLong.CUT:
                is_chat = source.chats is not None
                fits = "a question and its whole answer" if is_chat else "their prompt and a token of the answer"
            lines.append(
                f"{'WARNING: ' if share > 1 else ''}{source.name}: {share:.1f}% of the rows ({source.dropped:,} of "
                f"{total:,}) are left out: {fits} do not fit into {plan.recipe.length:,} tokens. Raise length to learn "
                "them"
            )
    return lines
