"""Texts of recipes and data made safe for a card: no markup, no key or password, no path of the machine."""

import os
import re
from pathlib import PurePosixPath, PureWindowsPath

from ...escape import LINE_LENGTH, escape_markdown, show_hidden
from ...redaction import environment_secrets, redact_settings

_ABSOLUTE = re.compile(r"(?<![\w.:/\\~-])(?:~|[A-Za-z]:)?[/\\](?:[\w.@+-]+[/\\])+[\w.@+-]*")
"""A path from the root of a machine, of two parts or more: /data/mine/rows.json, C:\\data\\rows.json."""

_BLOCK = re.compile(r"^(?P<before>\d*)(?P<mark>#|[-+=](?!\d)|(?<=\d)[.)](?=\s|$))")
"""What makes a heading, a list or a rule of a line that begins so."""


def plain(text: str) -> str:
    """Return one line of a text as it may be published: not yet safe for Markdown."""
    hidden = redact_settings(text, environment_secrets())
    home = os.environ.get("HOME", "")
    if len(home) > 1:
        hidden = hidden.replace(home, "~")
    return show_hidden(_ABSOLUTE.sub(lambda found: file_name(found[0]) or "...", hidden).strip(), LINE_LENGTH)


def markdown(text: str) -> str:
    """Return `plain` as Markdown that shows it literally: in a table cell, and at the beginning of a line too."""
    return _BLOCK.sub(r"\g<before>\\\g<mark>", escape_markdown(plain(text), LINE_LENGTH))


def file_name(path: str) -> str:
    """Return a path as the data folder has it; of one from the root of a machine, its last part alone."""
    posix, windows = PurePosixPath(path), PureWindowsPath(path)
    if posix.is_absolute() or path.startswith("~"):
        return posix.name
    return windows.name if windows.is_absolute() else path


def table(header: tuple[str, ...], rows: list[tuple[str, ...]], *, texts: int = 1) -> str:
    """Return a Markdown table; cells are Markdown already, all but the first `texts` columns are aligned right."""
    rule = tuple(":--" if place < texts else "--:" for place in range(len(header)))
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, rule, *rows))
