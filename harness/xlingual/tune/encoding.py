"""From the examples of a source to tokenized rows: prompt and answer are tokenized apart, as generation sees them.

What cannot be trained on (an empty answer, a row that repeats test data, a duplicate, a prompt over the length) is
counted and left out.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TYPE_CHECKING, Protocol

from ..errors import DataError, ModelError
from ..plugin import Model, Source, Trainable
from ..prompt import Rendering, render
from ..records import Corpus, DataFile, Example, Examples, Failure, Prompt, Request
from .audit.filters import filter_rows
from .audit.records import AuditFinding, SourceAudit
from .audit.source import Auditor
from .contamination.benchmarks import HeldOut
from .contamination.counting import RepetitionCounts
from .records import IntArray, OnLong, OnRepetition, Recipe, RepetitionCount, SourceUse

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BATCH = 4096
"""Rows that are tokenized in one call."""


class TrainableModel(Model, Trainable, Protocol):
    """A model that generates and can be tuned."""


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

    @property
    def lengths(self) -> IntArray:
        """Tokens of each row, (rows,)."""
        return self.offsets[1:] - self.offsets[:-1]


def corpus_of(use: SourceUse) -> Corpus:
    """Return the part of a source that its reader needs."""
    return Corpus(name=use.name, path=use.path, language=use.language, direction=use.direction, columns=use.columns)


@dataclass(slots=True, eq=False)
class Encoder:
    """Tokenizes the sources of one recipe, in order: a row that an earlier source holds is a duplicate."""

    recipe: Recipe
    model: TrainableModel
    held_out: HeldOut
    on_repetition: OnRepetition = OnRepetition.DROP
    seen: set[bytes] = field(default_factory=set, init=False)
    """Hashes of prompt and answer of every row so far."""
    folded: set[bytes] = field(default_factory=set, init=False)
    """Hashes of the letters and digits of rows, of sources whose filter says `dedup`."""
    rendering: Rendering = field(init=False)

    def __post_init__(self) -> None:
        """Render as evaluation does; stop strings and the number of new tokens mean nothing here."""
        self.rendering = Rendering(
            model=self.model.spec, template=self.recipe.template, stop=(), max_new_tokens=1, on_overflow="error"
        )

    def encode(self, use: SourceUse, source: Source, found: Examples) -> SourceRows:
        """Return the tokenized rows of a source; ModelError where the model cannot tokenize one."""
        excluded, auditor = ExcludedRows(skipped=found.skipped), Auditor(corpus=corpus_of(use))
        kept = self._kept(use, found, excluded)
        scores = None if found.scores is None else [found.scores[index] for index in kept]
        auditor.compare_order([row for row in found.rows if row.targets and row.targets[0].strip()])
        auditor.look_at([found.rows[index] for index in kept], scores)
        counts = RepetitionCounts(use.name, self.held_out.checks, self.on_repetition)
        items = self._distinct(source, found, self._compared(found, kept, counts, excluded), excluded, auditor)
        batches = [
            _Batch.of(self._tokenize(batch, use.name), self.recipe, excluded) for batch in chain(_batched(items), [[]])
        ]
        rows = _concatenate(use, found, batches, excluded)
        for index in rows.example_indices[rows.cut].tolist():
            auditor.findings.add(AuditFinding.TRUNCATED, found.rows[index].id, found.rows[index].targets[0])
        unanswered = found.unanswered + excluded.skipped - found.skipped
        audit = auditor.report(skipped=excluded.skipped, unanswered=unanswered, filtered=dict(excluded.filtered))
        return replace(rows, repetitions=counts.report(), audit=audit)

    def _kept(self, use: SourceUse, found: Examples, excluded: ExcludedRows) -> list[int]:
        """Return the indices of the rows that have an answer and that the filter of the source keeps."""
        corpus, wanted = corpus_of(use), use.filter
        none: list[str | None] = [None] * len(found.rows)
        reasons = none if wanted is None else filter_rows(wanted, corpus, found, self.folded)
        kept = []
        for index, (row, reason) in enumerate(zip(found.rows, reasons, strict=True)):
            if not row.targets or not row.targets[0].strip():
                excluded.skipped += 1
            elif reason is not None:
                excluded.filtered[reason] = excluded.filtered.get(reason, 0) + 1
            else:
                kept.append(index)
        return kept

    def _compared(
        self, found: Examples, kept: Sequence[int], counts: RepetitionCounts, excluded: ExcludedRows
    ) -> Iterator[tuple[int, Example]]:
        """Yield the rows, with their indices, that repeat no test data."""
        for start in range(0, len(kept), BATCH):
            batch = [(index, found.rows[index]) for index in kept[start : start + BATCH]]
            repeated = self.held_out.compare([example for _, example in batch])
            for (index, example), text in zip(batch, repeated, strict=True):
                if text is not None and counts.leaves_out(example, text):
                    excluded.contaminated += 1
                else:
                    yield index, example

    def _distinct(
        self,
        source: Source,
        found: Examples,
        rows: Iterable[tuple[int, Example]],
        excluded: ExcludedRows,
        auditor: Auditor,
    ) -> Iterator["_Item"]:
        """Yield what no earlier row of any source asks and answers."""
        own: set[bytes] = set()
        for index, example in rows:
            answer = example.targets[0]
            request = self._render(source.prompt(auditor.corpus, example, index), found, example)
            digest = hashlib.blake2b(f"{request.key}{answer}".encode("utf-8", "replace"), digest_size=16).digest()
            if digest in self.seen:
                excluded.duplicates += 1
                kind = AuditFinding.DUPLICATE if digest in own else AuditFinding.DUPLICATE_ELSEWHERE
                auditor.findings.add(kind, example.id, answer)
                continue
            self.seen.add(digest)
            own.add(digest)
            yield _Item(index=index, example=example, request=request, answer=answer)

    def _render(self, prompt: Prompt, found: Examples, example: Example) -> Request:
        """Return the request for `prompt`; DataError, naming file and row, where the template cannot hold all of it."""
        try:
            return render(prompt, (), self.rendering)
        except DataError as error:
            path, number = found.files[0].path, example.id.rpartition("-")[2]
            where = f"{path}:{number}" if path.endswith(".jsonl") else f"{path}: {example.id}"
            raise DataError(error.what, where=f"{where}: field {error.where!r}", hint=error.hint) from error

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
            rows.append(_Encoded(item.index, prompt, answer, len(item.answer)))
        return rows


@dataclass(frozen=True, slots=True, kw_only=True)
class _Item:
    index: int
    """Of the example in its source."""
    example: Example
    request: Request
    answer: str


@dataclass(frozen=True, slots=True)
class _Encoded:
    index: int
    """Of the example in its source."""
    prompt: tuple[int, ...]
    answer: tuple[int, ...]
    characters: int


def _batched(items: Iterable[_Item]) -> Iterator[list[_Item]]:
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
    """(6, rows): example index, length, answer start, cut, characters, answer tokens."""

    @classmethod
    def of(cls, rows: Sequence[_Encoded], recipe: Recipe, excluded: ExcludedRows) -> "_Batch":
        """Return `rows` as arrays; those that are too long are truncated or excluded, as the recipe says."""
        import numpy as np  # noqa: PLC0415 - the command line stays light

        kept: list[tuple[int, ...]] = []
        table: list[tuple[int, ...]] = []
        for row in rows:
            length = len(row.prompt) + len(row.answer)
            is_long = length > recipe.length
            if is_long and (recipe.on_long is OnLong.DROP or len(row.prompt) >= recipe.length):
                excluded.dropped += 1
                continue
            tokens = (row.prompt + row.answer)[: recipe.length]
            kept.append(tokens)
            table.append((row.index, len(tokens), len(row.prompt), int(is_long), row.characters, len(row.answer) - 1))
        total = sum(map(len, kept))
        flat = np.fromiter(chain.from_iterable(kept), dtype=np.int32, count=total)
        return cls(flat, np.array(table, dtype=np.int64).reshape(-1, 6).T)


def _concatenate(use: SourceUse, found: Examples, batches: Sequence[_Batch], excluded: ExcludedRows) -> SourceRows:
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
    )
