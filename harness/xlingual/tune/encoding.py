"""Examples of a source to rows of tokens: prompt and answer apart; what cannot be learnt is counted and left out."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Protocol

from ..errors import ModelError
from ..plugin import Model, Source, Trainable
from ..prompt import Rendering, render
from ..records import Corpus, DataFile, Example, Examples, Failure, Request
from .contamination import HeldOut
from .records import IntArray, OnLong, Recipe, SourceUse

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BATCH = 4096
"""Rows that are tokenized together."""


class TrainableModel(Model, Trainable, Protocol):
    """A model that answers and can be tuned."""


@dataclass(slots=True, kw_only=True)
class Left:
    """Rows of a source that are not learnt, each counted once, for the first reason that holds."""

    skipped: int = 0
    contaminated: int = 0
    duplicates: int = 0
    dropped: int = 0


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class SourceRows:
    """The usable rows of one source, in the order of its files."""

    use: SourceUse
    files: tuple[DataFile, ...]
    total: int
    """Examples that were read."""
    places: IntArray
    """(rows,): which of the examples each row is."""
    tokens: "NDArray[np.int32]"
    offsets: IntArray
    """(rows + 1,)"""
    answer_starts: IntArray
    cut: "NDArray[np.bool_]"
    """(rows,): whether the row lost its end."""
    characters: IntArray
    """(rows,): of each answer, before any cut."""
    answer_tokens: IntArray
    """(rows,): of each answer, before any cut and without the end token."""
    left: Left

    @property
    def lengths(self) -> IntArray:
        """Tokens of each row, (rows,)."""
        return self.offsets[1:] - self.offsets[:-1]


def corpus_of(use: SourceUse) -> Corpus:
    """Return what the reader of a source is told."""
    return Corpus(name=use.name, path=use.path, language=use.language, direction=use.direction, columns=use.columns)


@dataclass(slots=True, eq=False)
class Encoder:
    """Encodes the sources of one recipe, in order: a row that an earlier source holds is a duplicate."""

    recipe: Recipe
    model: TrainableModel
    held_out: HeldOut
    seen: set[bytes] = field(default_factory=set, init=False)
    """Hashes of the prompts with answers so far."""
    rendering: Rendering = field(init=False)

    def __post_init__(self) -> None:
        """Render as evaluation does; stop strings and the number of new tokens mean nothing here."""
        self.rendering = Rendering(
            model=self.model.spec, template=self.recipe.template, stop=(), max_new_tokens=1, on_overflow="error"
        )

    def encode(self, use: SourceUse, source: Source, found: Examples) -> SourceRows:
        """Return the usable rows of a source; ModelError where the model cannot encode one."""
        left = Left(skipped=found.skipped)
        chosen = chain(_in_batches(self._usable(use, source, found, left)), [[]])
        batches = [_Batch.of(self._tokenize(items, use.name), self.recipe, left) for items in chosen]
        return _joined(use, found, batches, left)

    def _usable(self, use: SourceUse, source: Source, found: Examples, left: Left) -> Iterator["_Item"]:
        corpus = corpus_of(use)
        for place, example in enumerate(found.rows):
            answer = example.targets[0]
            if not answer.strip():
                left.skipped += 1
                continue
            if self.held_out.holds(example):
                left.contaminated += 1
                continue
            request = render(source.prompt(corpus, example, place), (), self.rendering)
            mark = hashlib.blake2b(f"{request.key}{answer}".encode("utf-8", "replace"), digest_size=16).digest()
            if mark in self.seen:
                left.duplicates += 1
                continue
            self.seen.add(mark)
            yield _Item(place=place, example=example, request=request, answer=answer)

    def _tokenize(self, items: Sequence["_Item"], name: str) -> list["_Encoded"]:
        if not items:
            return []
        prompts = self.model.prompt_ids([item.request for item in items])
        answers = self.model.answer_ids([item.answer for item in items])
        rows = []
        for item, prompt, answer in zip(items, prompts, answers, strict=True):
            if isinstance(prompt, Failure):
                what = f"the model cannot take the prompt ({prompt.kind}: {prompt.message})"
                raise ModelError(what, where=f"source {name}: {item.example.id}", hint="choose another template")
            rows.append(_Encoded(item.place, prompt, answer, len(item.answer)))
        return rows


@dataclass(frozen=True, slots=True, kw_only=True)
class _Item:
    place: int
    example: Example
    request: Request
    answer: str


@dataclass(frozen=True, slots=True)
class _Encoded:
    place: int
    prompt: tuple[int, ...]
    answer: tuple[int, ...]
    characters: int


def _in_batches(items: Iterable[_Item]) -> Iterator[list[_Item]]:
    batch: list[_Item] = []
    for item in items:
        batch.append(item)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


@dataclass(frozen=True, slots=True, eq=False)
class _Batch:
    tokens: "NDArray[np.int32]"
    table: IntArray
    """(6, rows): place, length, answer start, cut, characters, answer tokens."""

    @classmethod
    def of(cls, rows: Sequence[_Encoded], recipe: Recipe, left: Left) -> "_Batch":
        """Return `rows` as arrays, those that are too long cut or left out."""
        import numpy as np  # noqa: PLC0415 - the command line stays light

        kept: list[tuple[int, ...]] = []
        table: list[tuple[int, ...]] = []
        for row in rows:
            length = len(row.prompt) + len(row.answer)
            is_long = length > recipe.length
            if is_long and (recipe.on_long is OnLong.DROP or len(row.prompt) >= recipe.length):
                left.dropped += 1
                continue
            tokens = (row.prompt + row.answer)[: recipe.length]
            kept.append(tokens)
            table.append((row.place, len(tokens), len(row.prompt), int(is_long), row.characters, len(row.answer) - 1))
        total = sum(map(len, kept))
        flat = np.fromiter(chain.from_iterable(kept), dtype=np.int32, count=total)
        return cls(flat, np.array(table, dtype=np.int64).reshape(-1, 6).T)


def _joined(use: SourceUse, found: Examples, batches: Sequence[_Batch], left: Left) -> SourceRows:
    import numpy as np  # noqa: PLC0415 - the command line stays light

    places, lengths, starts, cut, characters, answers = np.concatenate([batch.table for batch in batches], axis=1)
    return SourceRows(
        use=use,
        files=found.files,
        total=len(found.rows),
        places=places,
        tokens=np.concatenate([batch.tokens for batch in batches]),
        offsets=np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(lengths)]),
        answer_starts=starts,
        cut=cut.astype(bool),
        characters=characters,
        answer_tokens=answers,
        left=left,
    )
