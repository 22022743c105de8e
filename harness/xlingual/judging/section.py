"""The part of a page that shows what judges said: one `<section>` of HTML, for reports of experiments and the viewer.

    section(read_reports([Path("runs")]).reports)      "" where there is nothing to show

Everything that comes from runs is escaped; there is no script, style or address in it.
"""

import html
from collections.abc import Sequence

from .records import JudgeReport
from .tables import JudgeTable, report_tables

HEADING = "Judges"
_CAUTION = (
    "A judge is a model too. Read its scores beside its agreement: with itself in both orders, with gold answers, with "
    "labels of people. A kappa near 0 says that its verdicts are no better than chance would be."
)


def section(reports: Sequence[JudgeReport]) -> str:
    """Return the section, "" without reports; the same reports give the same text."""
    if not reports:
        return ""
    parts = [f"<h2>{HEADING}</h2>", f"<p>{_CAUTION}</p>"]
    for signature, members in _by_judge(reports).items():
        parts += [_table(table) for table in report_tables(members)]
        notes = [(f"{each.model}, {each.task}", note) for each in members for note in each.notes]
        items = [f'<li><bdi dir="auto">{html.escape(who)}</bdi>: {html.escape(note)}</li>' for who, note in notes]
        parts += ["<ul>", *items, "</ul>"] if items else []
        parts.append(f"<p>Signature: <code>{html.escape(signature)}</code></p>")
    return '<section class="judges">\n' + "\n".join(parts) + "\n</section>\n"


def _by_judge(reports: Sequence[JudgeReport]) -> dict[str, list[JudgeReport]]:
    found: dict[str, list[JudgeReport]] = {}
    for each in reports:
        found.setdefault(each.judge.signature, []).append(each)
    return found


def _table(table: JudgeTable) -> str:
    head = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in table.header)
    rows = "\n".join(
        "<tr>" + "".join(f'<td><bdi dir="auto">{html.escape(cell)}</bdi></td>' for cell in row) + "</tr>"
        for row in table.rows
    )
    return (
        f'<h3>{html.escape(table.title)}</h3>\n<div class="table"><table>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{rows}\n</tbody>\n</table></div>"
    )
