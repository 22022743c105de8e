"""What a run of a tracker takes, whichever tracker it is."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from ..identity import Json

PROJECT = "xlingual"
"""Unless the tracker's own variable says otherwise."""
Warn: TypeAlias = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedRun:
    """The name and the id under which a tracker keeps a run."""

    name: str
    stem: str
    """Begins the names of its files."""
    id: str
    """16 hex digits: a resumed training has the id that it had before, where the tracker can go on with a run."""


class Writer(Protocol):
    """A run of a tracker, offline or online; any of these may raise what the tracker's client raises."""

    def params(self, values: Mapping[str, str | int | float]) -> None:
        """Log settings."""
        ...

    def metrics(self, values: Mapping[str, float], step: int | None) -> None:
        """Log numbers, at a step or of the run as a whole."""
        ...

    def table(self, name: str, header: Sequence[Json], rows: Sequence[Json]) -> None:
        """Log a table, called NAME.csv."""
        ...

    def text(self, name: str, content: str) -> None:
        """Log a text file."""
        ...

    def finish(self) -> None:
        """Write or send what is left."""
        ...


def csv_text(header: Sequence[Json], rows: Sequence[Json]) -> str:
    """Return a table as CSV."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(row for row in rows if isinstance(row, list))
    return stream.getvalue()
