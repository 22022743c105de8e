"""Text of strangers made safe for a Markdown page: names and reasons come from files that anyone may write."""

import re
import unicodedata

CELL_LENGTH = 200
"""Characters of a text that are shown in a table, before escaping."""
LINE_LENGTH = 2000
"""The same outside tables."""

_MARKDOWN = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    # Entities where a backslash would meet the table's own reading of backslashes, or where there is no such escape.
    "|": "&#124;",
    "\\": "&#92;",
    "$": "&#36;",
    "~": "&#126;",
    **{mark: f"\\{mark}" for mark in "`*_[]"},
}
_WWW = re.compile(r"(www)\.", re.IGNORECASE)
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Control, format (bidirectional and zero-width too), surrogate, private, unassigned; line and paragraph separators."""


def show_hidden(text: str, length: int = CELL_LENGTH) -> str:
    """Return `text` with every character that cannot be seen written as U+202E, and cut to `length`."""
    seen = "".join(f"U+{ord(char):04X}" if _is_hidden(char) else char for char in text[: length + 1])
    return seen if len(seen) <= length else seen[: length - 1] + "…"


def escape_markdown(text: str, length: int = CELL_LENGTH) -> str:
    """Return `text` as one line of Markdown that shows it literally, in a table cell too: no markup, no link."""
    escaped = "".join(_MARKDOWN.get(char, char) for char in show_hidden(text, length).strip())
    # GitHub makes links of bare addresses; an entity for the mark that it looks for keeps them text.
    return _WWW.sub(r"\1&#46;", escaped.replace("://", "&#58;//")) or "(no name)"


def _is_hidden(char: str) -> bool:
    category = unicodedata.category(char)
    return category in _HIDDEN or (category == "Zs" and char != " ")
