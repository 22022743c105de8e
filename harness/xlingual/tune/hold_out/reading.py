"""The keys of a recipe that say what is held out, and which checkpoint is exported."""

import re
from collections.abc import Iterable

from ...toml_table import TomlTable
from .records import ExportedWeights, HoldOut, HoldOutUnit

_AMOUNT = re.compile(r"(?P<rows>\d[\d_]*)\s+rows?|(?P<percent>\d+(?:\.\d+)?)\s*%")
_HINT = 'hold_out is a share, "1%", or "200 rows"'
_MOST_PERCENT = 50.0
_MOST_ROWS = 10_000_000


def read_hold_out(source: TomlTable) -> HoldOut | None:
    """Return what a source holds out; None where it has no key `hold_out`, so that its recipe keeps its id."""
    if not source.has("hold_out"):
        return None
    word = source.text("hold_out", hint=_HINT)
    found = _AMOUNT.fullmatch(word.strip())
    if found is None:
        raise source.fault("hold_out", f"{word!r} is no amount", hint=_HINT)
    if found["percent"]:
        value, unit = float(found["percent"]), HoldOutUnit.PERCENT
        if not 0 < value <= _MOST_PERCENT:
            raise source.fault("hold_out", f"{word!r} is not above 0% and at most {_MOST_PERCENT:g}%", hint=_HINT)
    else:
        value, unit = float(found["rows"].replace("_", "")), HoldOutUnit.ROWS
        if not 0 < value <= _MOST_ROWS:
            raise source.fault("hold_out", f"{word!r} is not 1 to {_MOST_ROWS:,} rows", hint=_HINT)
    return HoldOut(unit=unit, value=value)


def read_export(top: TomlTable, held_out: Iterable[HoldOut | None]) -> ExportedWeights | None:
    """Return the choice of a recipe; None where it is the usual one, so that the recipe keeps its id.

    That is the best checkpoint where rows are held out, else the last.
    """
    if not top.has("export"):
        return None
    chosen = ExportedWeights(top.choice("export", tuple(ExportedWeights)))
    is_evaluated = any(each is not None for each in held_out)
    if chosen is ExportedWeights.BEST and not is_evaluated:
        what = "the best checkpoint is that with the lowest loss on held-out rows, and no source holds out any"
        raise top.fault("export", what, hint='hold_out = "1%" in a source')
    return chosen if is_evaluated and chosen is ExportedWeights.LAST else None
