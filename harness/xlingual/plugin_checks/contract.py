"""What a plugin breaks of its protocol, as a record; the checks of one thing yield these, and the first is told."""

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from ..plugin_code import PluginCode
from ..text import for_scoring

_UNSEEN = frozenset({"Cc", "Cf", "Cs"})
"""Categories of controls, zero-width signs among them, and of halves of characters."""
_FILLERS = frozenset("\u115f\u1160\u2800\u3164\uffa0\ufe0e\ufe0f")
"""Letters and signs that show nothing: Hangul fillers, the empty Braille pattern, variation selectors."""


@dataclass(frozen=True, slots=True)
class Broken:
    """One thing that is not as it must be."""

    what: str
    hint: str = ""


def require(checks: Iterator[Broken], code: PluginCode, doing: str, function: object = None) -> None:
    """Raise a PluginError about the first thing that is broken; `function` returned it."""
    first = next(checks, None)
    if first is not None:
        raise code.fault(first.what, doing=doing, function=function, hint=first.hint)


def shows_nothing(text: str) -> bool:
    """Return whether a text shows nothing at all; stricter than `is_blank`, which goes by what scoring leaves."""
    return all(
        each.isspace() or each in _FILLERS or unicodedata.category(each) in _UNSEEN for each in for_scoring(text)
    )


def comma_hint(record: object) -> str:
    """Return the hint for a record with a text where a tuple of texts belongs: the comma is what is forgotten."""
    for name in ("metrics", "targets", "stop", "splits", "choices"):
        if isinstance(value := getattr(record, name, None), str):
            return f"a tuple has a comma: {name}=({value[:40]!r},)"
    return ""
