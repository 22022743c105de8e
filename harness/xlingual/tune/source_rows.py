"""The rows of one source as arrays: rows that are too long are truncated or left out on the way."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

from ..records import DataFile, Examples
from .audit.records import SourceAudit
from .chats import ChatCounts
from .recipe_records import OnLong, Recipe, SourceUse
from .records import IntArray, RepetitionCount, count_learnt

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(slots=True, kw_only=True)
class ExcludedRows:
    """Rows of a source that are not trained on, each counted once, for the first reason that holds."""

    skipped: int = 0
    contaminated: int = 0
    duplicates: int = 0
    dropped: int = 0
    filtered: dict[str, int] = field(default_factory=dict)
    """By the key of the filter that leaves them out."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class SourceRows:
    """The rows of one source that can be trained on, in the order of its files."""

    use: SourceUse
    files: tuple[DataFile, ...]
    total: int
    """Examples that were read."""
    example_indices: IntArray
    """(rows,): which of the examples each row is."""
    tokens: "NDArray[np.int32]"
    offsets: IntArray
    """(rows + 1,)"""
    answer_starts: IntArray
    cut: "NDArray[np.bool_]"
    """(rows,): whether the row was truncated."""
    characters: IntArray
    """(rows,): of each answer, before truncation."""
    answer_tokens: IntArray
    """(rows,): of each answer, before truncation and without the end token."""
    excluded: ExcludedRows
    repetitions: tuple[RepetitionCount, ...] = ()
    """What its rows repeat of test data."""
    audit: SourceAudit | None = None
    """What the rows that its filter keeps look like."""
    learnt: "NDArray[np.bool_] | None" = None
    """(tokens,): whether each token is learnt, where rows have more than one answer; None: all from `answer_starts`."""
    chats: ChatCounts | None = None
    """Its conversations; None where there are none."""

    @property
    def supervised(self) -> IntArray:
        """Learnt tokens of each row, (rows,)."""
        return self.lengths - self.answer_starts if self.learnt is None else count_learnt(self.learnt, self.offsets)

    @property
    def lengths(self) -> IntArray:
        """Tokens of each row, (rows,)."""
        return self.offsets[1:] - self.offsets[:-1]


@dataclass(frozen=True, slots=True)
class EncodedRow:
    """An example as tokens, and which of them are learnt."""

    index: int
    """Of the example in its source."""
    ids: tuple[int, ...]
    """Prompt and answer; of a conversation, no more than fit."""
    start: int
    """The first learnt token."""
    characters: int
    answer_tokens: int
    spans: tuple[tuple[int, int], ...] = ()
    """Where learnt answers begin and end, of a conversation; (): all from `start` on is learnt."""


@dataclass(frozen=True, slots=True, eq=False)
class RowBatch:
    """Rows of a source that were encoded together, as arrays."""

    tokens: "NDArray[np.int32]"
    table: IntArray
    """(6, rows): example index, length, answer start, cut, characters, answer tokens."""
    learnt: "NDArray[np.bool_] | None"
    """(tokens,); None: all from the answer starts on."""


def batch_rows(rows: Sequence[EncodedRow], recipe: Recipe, excluded: ExcludedRows) -> RowBatch:
    """Return `rows` as arrays; those that are too long are truncated or excluded, as the recipe says."""
    import numpy as np  # noqa: PLC0415 - the command line stays light

    kept: list[tuple[int, ...]] = []
    table: list[tuple[int, ...]] = []
    spans: list[tuple[int, int]] = []
    total = 0
    for row in rows:
        is_long = len(row.ids) > recipe.length
        if is_long and (recipe.on_long is OnLong.DROP or row.start >= recipe.length):
            excluded.dropped += 1
            continue
        tokens = row.ids[: recipe.length]
        kept.append(tokens)
        table.append((row.index, len(tokens), row.start, int(is_long), row.characters, row.answer_tokens))
        spans += [(total + start, total + end) for start, end in row.spans or ((row.start, len(tokens)),)]
        total += len(tokens)
    learnt = None
    if any(row.spans for row in rows):
        learnt = np.zeros(total, dtype=bool)
        for start, end in spans:
            learnt[start:end] = True
    flat = np.fromiter(chain.from_iterable(kept), dtype=np.int32, count=total)
    return RowBatch(flat, np.array(table, dtype=np.int64).reshape(-1, 6).T, learnt)


def learnt_from(starts: IntArray, lengths: IntArray) -> "NDArray[np.bool_]":
    """Return for each token of rows whether it is learnt where all from `starts` on is, (tokens,)."""
    import numpy as np  # noqa: PLC0415 - the command line stays light

    begins = np.cumsum(lengths) - lengths
    return np.arange(int(lengths.sum())) >= np.repeat(begins + starts, lengths)


def concatenate_learnt(
    learnt: "Sequence[NDArray[np.bool_] | None]", starts: Sequence[IntArray], lengths: Sequence[IntArray]
) -> "NDArray[np.bool_] | None":
    """Return the masks of several sets of rows as one; None where all of every row is learnt from its start on."""
    import numpy as np  # noqa: PLC0415 - the command line stays light

    if all(each is None for each in learnt):
        return None
    plain = [learnt_from(*each) for each in zip(starts, lengths, strict=True)]
    masks = [each if each is not None else default for each, default in zip(learnt, plain, strict=True)]
    whole = np.concatenate(masks)
    return None if np.array_equal(whole, np.concatenate(plain)) else whole


def concatenate_batches(
    use: SourceUse, found: Examples, batches: Sequence[RowBatch], excluded: ExcludedRows
) -> SourceRows:
    """Return the rows of a source, put together from its batches in their order."""
    import numpy as np  # noqa: PLC0415 - the command line stays light

    indices, lengths, starts, cut, characters, answers = np.concatenate([batch.table for batch in batches], axis=1)
    return SourceRows(
        use=use,
        files=found.files,
        total=len(found.rows),
        example_indices=indices,
        tokens=np.concatenate([batch.tokens for batch in batches]),
        offsets=np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)]),
        answer_starts=starts,
        cut=cut.astype(bool),
        characters=characters,
        answer_tokens=answers,
        excluded=excluded,
        learnt=concatenate_learnt(
            [batch.learnt for batch in batches],
            [batch.table[2] for batch in batches],
            [batch.table[1] for batch in batches],
        ),
    )
