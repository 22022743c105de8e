"""Analyses as a part of a page: HTML that needs nothing else, for `xlingual view`, `xlingual report` and by itself."""

import base64
import html
from collections.abc import Sequence

from ...errors import EnvironmentFault
from ...scaling.plots import Picture
from ...scaling.tables import TextTable
from .comparison import compare_spaces, incomparable
from .plots import draw_curves, draw_lens, draw_maps
from .records import SpaceRecord
from .tables import comparison_tables, lens_tables, peak_lines, space_tables

_STYLE = """
.space table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; margin: .6rem 0; }
.space th, .space td { padding: .15rem .5rem; border-bottom: 1px solid #8884; text-align: right; white-space: nowrap; }
.space caption { text-align: left; font-weight: 500; } .space .table { overflow-x: auto; }
.space img { max-width: 100%; background: white; border-radius: 4px; }
""".strip()


def section(records: Sequence[SpaceRecord]) -> str:
    """Return the analyses as one HTML element: curves of all models, then each model, then the first against others.

    Names of models and languages are shown as text, whatever they hold. Where matplotlib is not installed there are
    tables only. No records: nothing.
    """
    if not records:
        return ""
    parts = [f'<section class="space"><style>{_STYLE}</style><h2>Representation space</h2>', *_facts(records)]
    try:
        pictures = [_figure(draw_curves(records, pooling)) for pooling in _shared_poolings(records)]
        for record in records:
            drawn = [draw_maps(record), draw_lens(record)]
            pictures += [f"<h3>{html.escape(record.model.name)}</h3>", *(_figure(each) for each in drawn if each)]
    except EnvironmentFault as fault:
        pictures = [f"<p>No pictures: {html.escape(str(fault))} ({html.escape(fault.hint)})</p>"]
    parts += pictures
    for record in records:
        for pooling in record.poolings:
            lines = "".join(f"<li>{html.escape(line)}</li>" for line in peak_lines(record, pooling))
            parts.append(f"<h3>{html.escape(record.model.name)}, {html.escape(pooling)} pooling</h3><ul>{lines}</ul>")
            parts += [_table(each) for each in space_tables(record, pooling, every=True)]
        parts += [_table(each) for each in lens_tables(record, every=True)]
    for other in records[1:]:
        parts += _difference(records[0], other)
    return "\n".join([*parts, "</section>"])


def page(records: Sequence[SpaceRecord]) -> str:
    """Return the analyses as one HTML document."""
    title = html.escape(f"representation space: {', '.join(each.model.name for each in records)}")
    style = (
        ":root { color-scheme: light dark; } body { font: 15px/1.5 system-ui; max-width: 76rem; margin: 2rem auto; }"
    )
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>'
    top = f'<!doctype html>\n<html lang="en"><head>{head}<style>{style}</style></head><body>'
    return f"{top}\n{section(records)}\n</body></html>\n"


def _facts(records: Sequence[SpaceRecord]) -> list[str]:
    rows = [
        [
            each.model.name,
            f"{each.layers} x {each.width}",
            ", ".join(each.languages),
            f"{each.sentences}",
            each.model.fingerprint[:12],
            each.data[:12],
            *[", ".join(f"{name} {version}" for name, version in each.versions.items())],
        ]
        for each in records
    ]
    header = ["model", "layers x width", "languages", "sentences", "fingerprint", "data", "versions"]
    notes = dict.fromkeys(note for each in records for note in each.notes)
    return [_table(TextTable("what was analysed", header, rows)), *(f"<p>{html.escape(note)}</p>" for note in notes)]


def _difference(first: SpaceRecord, second: SpaceRecord) -> list[str]:
    if (why := incomparable(first, second)) is not None:
        names = f"{first.model.name} and {second.model.name}"
        return [f"<p>{html.escape(names)} are not compared layer by layer: {html.escape(why)}.</p>"]
    found = compare_spaces(first, second)
    shared = [each for each in first.poolings if each in second.poolings]
    tables = [table for each in shared for table in comparison_tables(found, (first, second), each, every=True)]
    return [_table(each) for each in tables]


def _shared_poolings(records: Sequence[SpaceRecord]) -> list[str]:
    return [each for each in records[0].poolings if all(each in other.poolings for other in records)]


def _table(table: TextTable) -> str:
    head = "".join(f"<th>{html.escape(each)}</th>" for each in table.header)
    body = "".join(f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in table.rows)
    caption = f"<caption>{html.escape(table.title)}</caption>"
    return f'<div class="table"><table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _figure(picture: Picture) -> str:
    data = base64.b64encode(picture.svg).decode("ascii")
    return f'<figure><img alt="{html.escape(picture.title)}" src="data:image/svg+xml;base64,{data}"></figure>'
