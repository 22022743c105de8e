"""Which rows are held out: whole groups of equal rows, in the order of a hash of what they say, until there are enough.

The choice depends on the rows alone, neither on the seed nor on how much is trained, so that the losses of two seeds or
of two amounts are those of the same rows.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ...errors import DataError
from ...records import Example
from ..contamination.index import BATCH, ShingleIndex
from ..contamination.runs import NEAR
from .groups import group_rows, hash_row, keys_of, members_of, telling_texts, texts_of
from .records import HoldOut


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceRowsToSplit:
    """The rows of one source that could be trained on."""

    name: str
    wanted: HoldOut | None
    rows: Sequence[Example]


@dataclass(frozen=True, slots=True)
class HeldOutRows:
    """What of one source is not trained on, as indices of its rows, rising."""

    evaluated: tuple[int, ...]
    twins: tuple[int, ...]
    """They say the same as held-out rows of this or another source, or nearly."""


@dataclass(frozen=True, slots=True, eq=False)
class _AllRows:
    """The rows of all sources, one source after the other."""

    rows: Sequence[Example]
    owners: Sequence[int]
    """The source of each row."""


def choose_held_out(sources: Sequence[SourceRowsToSplit]) -> list[HeldOutRows]:
    """Return what is held out of each source; DataError where a source that holds out rows has none that could be."""
    every = _AllRows(
        rows=[row for source in sources for row in source.rows],
        owners=[place for place, source in enumerate(sources) for _ in source.rows],
    )
    amounts = [_amount(each) for each in sources]
    evaluated, twins = _choose_groups(amounts, every)
    for source, count in zip(sources, _count(evaluated, every, len(sources)), strict=True):
        if source.wanted is not None and source.rows and not count:
            what = f"no group of equal rows is small enough to be held out of {len(source.rows):,} rows"
            raise DataError(what, where=f"source {source.name}: hold_out", hint="hold out more, or none")
    twins |= _near_twins(every, evaluated, twins)
    starts = [0]
    for source in sources:
        starts.append(starts[-1] + len(source.rows))
    found = []
    for place in range(len(sources)):
        own = range(starts[place], starts[place + 1])
        parts = (tuple(row - own.start for row in own if row in chosen) for chosen in (evaluated, twins))
        found.append(HeldOutRows(*parts))
    return found


def _amount(source: SourceRowsToSplit) -> int:
    """Return the rows to hold out; DataError where they are more than half of the source."""
    if source.wanted is None or not source.rows:  # without a row, the sampling says why
        return 0
    amount, available = source.wanted.rows_of(len(source.rows)), len(source.rows)
    if 2 * amount > available:
        what = f"{amount:,} of {available:,} usable rows would be held out, more than half"
        raise DataError(what, where=f"source {source.name}: hold_out", hint="hold out less, or none")
    return amount


def _count(chosen: set[int], every: _AllRows, sources: int) -> list[int]:
    counts = Counter(every.owners[row] for row in chosen)
    return [counts[place] for place in range(sources)]


def _choose_groups(amounts: Sequence[int], every: _AllRows) -> tuple[set[int], set[int]]:
    """Return the rows that are evaluated, and their twins in sources that hold out none, or no more.

    A group goes to each source that has room for all of its rows there. One that would take more rows from another
    source than are held out at all is passed over: a phrase that half of the rows share.
    """
    room = list(amounts)
    groups = members_of(group_rows(keys_of(row) for row in every.rows))
    ranks = {group: min(hash_row(every.rows[row]) for row in rows) for group, rows in groups.items()}
    evaluated: set[int] = set()
    twins: set[int] = set()
    for group in sorted(groups, key=lambda each: (ranks[each], each)):
        if not any(room):
            break
        counts = Counter(every.owners[row] for row in groups[group])
        takers = {place for place, count in counts.items() if count <= room[place]}
        most = max((amounts[place] for place in takers), default=0)
        if not takers or any(count > most for place, count in counts.items() if place not in takers):
            continue
        for place in takers:
            room[place] -= counts[place]
        evaluated |= {row for row in groups[group] if every.owners[row] in takers}
        twins |= {row for row in groups[group] if every.owners[row] not in takers}
    return evaluated, twins


def _near_twins(every: _AllRows, evaluated: set[int], known: set[int]) -> set[int]:
    """Return further rows that hold NEAR of the words of a held-out row, of what it gives and of what it answers.

    The sides may be exchanged, as in the other direction of a translation. A side that is too short for shingles must
    be the same.
    """
    index = _SideIndex()
    for row in sorted(evaluated):
        index.add(row, every.rows[row])
    others = [row for row in range(len(every.rows)) if row not in evaluated and row not in known]
    found: set[int] = set()
    for start in range(0, len(others), BATCH):
        batch = others[start : start + BATCH]
        answers = index.match([texts_of(every.rows[row])[1] for row in batch])
        # Most rows answer what no held-out row has on any side: what they give need not be looked up.
        likely = [(row, sides) for row, sides in zip(batch, answers, strict=True) if sides]
        given = index.match([texts_of(every.rows[row])[0] for row, _ in likely])
        for (row, sides), others_sides in zip(likely, given, strict=True):
            if any((held, 1 - side) in others_sides for held, side in sides):
                found.add(row)
    return found


class _SideIndex:
    """The two sides of held-out rows, to be found in others."""

    def __init__(self) -> None:
        """Start empty."""
        self._shingles = ShingleIndex()
        self._sides: dict[int, tuple[int, int]] = {}
        """Held-out row and side of each text of the index."""
        self._short: dict[str, set[tuple[int, int]]] = {}

    def add(self, row: int, example: Example) -> None:
        """Add both sides of a row."""
        for side, text in enumerate(telling_texts(example)):
            number = self._shingles.add(text)
            if number is None:
                self._short.setdefault(_letters(text), set()).add((row, side))
            else:
                self._sides[number] = (row, side)

    def match(self, texts: Sequence[str]) -> list[set[tuple[int, int]]]:
        """Return for each text the held-out rows, with the side, that it nearly holds."""
        found = [set(self._short.get(_letters(text), ())) for text in texts]
        for place, match in self._shingles.match(texts):
            if match.share >= NEAR:
                found[place].add(self._sides[match.text])
        return found


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text.casefold()))
