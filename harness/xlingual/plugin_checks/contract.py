"""What a plugin breaks of its protocol, as a record; the checks of one thing yield these, and the first is told."""

from collections.abc import Iterator
from dataclasses import dataclass

from ..plugin_code import PluginCode


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


def comma_hint(record: object) -> str:
    """Return the hint for a record with a text where a tuple of texts belongs: the comma is what is forgotten."""
    for name in ("metrics", "targets", "stop", "splits", "choices"):
        if isinstance(value := getattr(record, name, None), str):
            return f"a tuple has a comma: {name}=({value[:40]!r},)"
    return ""
