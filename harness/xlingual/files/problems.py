"""Problems in a data file, gathered so that one error names all of them."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import DataError

MAX_LISTED = 20
"""Problems that one error lists; the rest are counted."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong at one place of a file."""

    position: str
    """What follows the path: ":3", ":3:12" or ": data[3].paragraphs[1]"; "" for the file as a whole."""
    what: str


def data_error(path: str, problems: Sequence[Problem], *, hint: str = "") -> DataError:
    """Return the error that lists `problems` (at least one) of the file at `path`, the first on its first line."""
    first, *others = problems
    lines = [first.what, *(f"  {path}{each.position}: {each.what}" for each in others[: MAX_LISTED - 1])]
    if len(problems) > MAX_LISTED:
        lines.append(f"  and {len(problems) - MAX_LISTED} more")
    return DataError("\n".join(lines), where=f"{path}{first.position}", hint=hint)
