"""The file: one HTML page that needs nothing else, with data that no browser takes for anything but text.

    head    Content-Security-Policy first: no network, no script and no style but ours, by their hashes
    body    containers, the script, then data: what the table needs, then compressed chunks; then the analyses, if any

Code stands before the data, so that the table is there while a browser still reads the rest of a large file.
"""

import base64
import hashlib
import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from ..analysis.sections import PageSection
from ..files import disk_fault, replace_whole
from ..identity import Json

SCRIPTS = (
    "text.js",
    "data.js",
    "state.js",
    "table.js",
    "chart.js",
    "samples.js",
    "drawer.js",
    "download.js",
    "main.js",
)
"""One script in several files, in this order."""
STYLE = "view.css"
BODY = "body.html"
CANARY = "xlingual view canary 5f1c3a0e-7f0b-4f5e-9a0c-2a6c8d0b6a51"
"""Whoever makes training text of the web can find pages with benchmark data by it."""
_ESCAPES = {ord(char): f"\\u{ord(char):04x}" for char in "<>&"}


@dataclass(frozen=True, slots=True)
class TextChunk:
    """A piece of data: base64, in which nothing can act."""

    name: str
    text: str


def write_page(target: Path, index: Json, chunks: Sequence[TextChunk], analyses: Sequence[PageSection] = ()) -> int:
    """Write the page, `analyses` last, and return its size in bytes; EnvironmentFault where that fails."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with replace_whole(target) as stream:
            stream.write(page_start(index).encode("utf-8"))
            for chunk in chunks:
                stream.write(f'<script type="text/plain" id="{chunk.name}">{chunk.text}</script>\n'.encode("ascii"))
            stream.write(_show_analyses(analyses).encode("utf-8"))
            stream.write(b"</body></html>\n")
            return stream.tell()
    except OSError as error:
        raise disk_fault(error, target) from error


def _show_analyses(analyses: Sequence[PageSection]) -> str:
    """Return the analyses below the table, each folded up; the script does not touch them."""
    parts = [
        f'<details id="analysis-{each.name}"><summary>{html.escape(each.heading)}</summary>\n{each.html}</details>\n'
        for each in analyses
    ]
    return f'<aside class="analyses" aria-label="Analyses">\n{"".join(parts)}</aside>\n' if parts else ""


def page_start(index: Json) -> str:
    """Return everything before the chunks."""
    script, style = script_text(), _asset(STYLE)
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; img-src data:; font-src data:; "
        "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )
    head = (
        f'<meta http-equiv="Content-Security-Policy" content="{html.escape(policy, quote=True)}">'
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="robots" content="noindex"><meta name="canary" content="{CANARY}">'
        f"<title>xlingual view</title><style>{style}</style>"
    )
    data = f'<script type="text/plain" id="index">{escape_json(index)}</script>'
    return (
        f'<!doctype html>\n<html lang="en" dir="ltr"><head>{head}</head><body>\n'
        f"{_asset(BODY)}{data}\n<script>{script}</script>\n"
    )


def escape_json(value: Json) -> str:
    """Return `value` as JSON in ASCII, in which no tag and no comment of HTML can be."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.translate(_ESCAPES)


def script_text() -> str:
    """Return the script, as it stands in the page."""
    parts = "\n".join(_asset(name) for name in SCRIPTS)
    return f'(() => {{\n"use strict";\n{parts}\n}})();\n'


def _asset(name: str) -> str:
    return (files(__package__) / "page" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode('ascii')}"
