"""An analysis of contents as a piece of HTML, for pages that are made elsewhere."""

import html

from ...scaling.tables import TextTable
from .records import ContentAnalysis
from .tables import analysis_notes, analysis_tables, measure_table


def section(analysis: ContentAnalysis) -> str:
    """Return tables and notes as HTML without script, style or links; every text of a model or file is escaped.

    Each cell finds its own direction, so that an Arabic excerpt does not turn its row around. Characters that cannot
    be seen are shown by their numbers.
    """
    tables = [*analysis_tables(analysis), measure_table()]
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in analysis_notes(analysis))
    body = "\n".join(_table(each) for each in tables)
    return f'<section class="content">\n{body}\n' + (f"<ul>{notes}</ul>\n" if notes else "") + "</section>\n"


def _table(table: TextTable) -> str:
    head = "".join(f'<th scope="col">{html.escape(cell)}</th>' for cell in table.header)
    rows = "\n".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in table.rows)
    grid = f"<table><thead><tr>{head}</tr></thead><tbody>\n{rows}\n</tbody></table>"
    return f'<h3>{html.escape(table.title)}</h3>\n<div class="table">{grid}</div>'


def _cell(text: str) -> str:
    return f'<td dir="auto">{html.escape(text)}</td>'
