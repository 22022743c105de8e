"""A page of Markdown and pictures as one HTML file that needs nothing else: no script, no font, no network."""

import base64
import html
from dataclasses import dataclass

from markdown_it import MarkdownIt

from ..scaling.plots import Picture

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --link: light-dark(#1f6fb4, #7ab8ec); }
body { font: 15px/1.5 system-ui, "Noto Sans", sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.7rem; line-height: 1.2; }
h2 { font-size: 1.25rem; margin-top: 2.4rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin-top: 1.8rem; } a { color: var(--link); } nav a { margin-right: 1rem; }
.table { overflow-x: auto; }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; }
caption { text-align: start; } td:not(:first-child) { unicode-bidi: plaintext; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid var(--line); white-space: nowrap; text-align: left; }
thead th { background: var(--soft); } td:first-child { font-weight: 500; }
ul { font-size: .85rem; color: color-mix(in srgb, currentColor 75%, transparent); overflow-wrap: anywhere; }
figure { margin: 1rem 0; } img { max-width: 100%; background: white; border-radius: 4px; }
pre { overflow-x: auto; background: var(--soft); padding: .6rem .8rem; font-size: .85rem; }
""".strip()


@dataclass(frozen=True, slots=True)
class Html:
    """A part that is HTML already, of our own making: whatever comes from runs is escaped in it."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of a page under a heading."""

    heading: str
    parts: tuple[str | Picture | Html, ...]
    """Markdown, in which HTML is shown as text, pictures, and HTML."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What is to be read from top to bottom."""

    title: str
    introduction: str
    """Markdown."""
    sections: tuple[Section, ...]


def render_page(page: Page) -> str:
    """Return the page as one HTML document; the same page gives the same bytes."""
    title = html.escape(page.title)
    links = " ".join(
        f'<a href="#part-{number}">{html.escape(each.heading)}</a>' for number, each in enumerate(page.sections, 1)
    )
    body = [f"<h1>{title}</h1>", _markdown(page.introduction), f"<nav>{links}</nav>"]
    for number, section in enumerate(page.sections, 1):
        body.append(f'<h2 id="part-{number}">{html.escape(section.heading)}</h2>')
        body += map(_show, section.parts)
    head = (
        f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>'
        f"<style>{_STYLE}</style>"
    )
    return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>\n' + "\n".join(body) + "\n</body></html>\n"


def _show(part: str | Picture | Html) -> str:
    match part:
        case str():
            return _markdown(part)
        case Html():
            return part.text
    return _figure(part)


def _markdown(text: str) -> str:
    """Return Markdown as HTML; tables can be scrolled sideways, and images, which would be fetched, stay text."""
    reader = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    found: str = reader.render(text)
    return found.replace("<table>", '<div class="table"><table>').replace("</table>", "</table></div>")


def _figure(picture: Picture) -> str:
    data = base64.b64encode(picture.svg).decode("ascii")
    return f'<figure><img alt="{html.escape(picture.title)}" src="data:image/svg+xml;base64,{data}"></figure>'
