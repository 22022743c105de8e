"""From the examples of a source to tokenized rows: prompt and answer are tokenized apart, as generation sees them.

What cannot be trained on (an empty answer, a row that repeats test data, a duplicate, a prompt over the length) is
counted and left out.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Protocol

from ..errors import DataError, ModelError
from ..plugin import ChatTrainable, LearntTurn, Model, Source, Trainable
from ..prompt import Rendering, render
from ..records import Corpus, Example, Examples, Failure
from .audit.filters import filter_rows
from .audit.records import AuditFinding
from .audit.source import Auditor
from .audit.texts import learnt_answers
from .chats import AskedAnswer, ChatCounts, ChatRow, ask_answers, is_open_ended, join_turns, learnt_marks, shorten
from .contamination.benchmarks import HeldOut
from .contamination.counting import RepetitionCounts
from .recipe_records import OnLong, Recipe, SourceUse
from .records import OnRepetition
from .source_rows import EncodedRow, ExcludedRows, SourceRows, batch_rows, concatenate_batches

BATCH = 4096
"""Rows that are tokenized in one call."""


class TrainableModel(Model, Trainable, Protocol):
    """A model that generates and can be tuned."""


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
            model=self.model.spec,
            template=self.recipe.template,
            stop=(),
            max_new_tokens=1,
            on_overflow="error",
            thinking=self.recipe.thinking,
        )

    def encode(self, use: SourceUse, source: Source, found: Examples) -> SourceRows:
        """Return the tokenized rows of a source; ModelError where the model cannot tokenize one."""
        excluded, auditor = ExcludedRows(skipped=found.skipped), Auditor(corpus=corpus_of(use))
        chats = _Chats(self.recipe, excluded, auditor)
        kept = self._kept(use, found, excluded)
        scores = None if found.scores is None else [found.scores[index] for index in kept]
        auditor.compare_order([row for row in found.rows if row.targets and row.targets[0].strip()])
        auditor.look_at([found.rows[index] for index in kept], scores)
        counts = RepetitionCounts(use.name, self.held_out.checks, self.on_repetition)
        items = self._distinct(source, found, self._compared(found, kept, counts, excluded), excluded, auditor)
        batches = [
            batch_rows(self._tokenize(batch, found, chats), self.recipe, excluded)
            for batch in chain(_batched(items), [[]])
        ]
        rows = concatenate_batches(use, found, batches, excluded)
        for index in rows.example_indices[rows.cut].tolist():
            auditor.findings.add(AuditFinding.TRUNCATED, found.rows[index].id, found.rows[index].targets[0])
        unanswered = found.unanswered + excluded.skipped - found.skipped
        audit = auditor.report(skipped=excluded.skipped, unanswered=unanswered, filtered=dict(excluded.filtered))
        return replace(rows, repetitions=counts.report(), audit=audit, chats=chats.counts)

    def _kept(self, use: SourceUse, found: Examples, excluded: ExcludedRows) -> list[int]:
        """Return the indices of the rows that have an answer and that the filter of the source keeps."""
        corpus, wanted = corpus_of(use), use.filter
        none: list[str | None] = [None] * len(found.rows)
        reasons = none if wanted is None else filter_rows(wanted, corpus, found, self.folded)
        kept = []
        for index, (row, reason) in enumerate(zip(found.rows, reasons, strict=True)):
            if not row.targets or not all(each.strip() for each in learnt_answers(row)):
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
            asked = self._ask(source, auditor.corpus, found, (index, example))
            request, answer = asked[-1].request, asked[-1].answer
            marks = "" if example.turns is None else learnt_marks(example.turns)
            content = f"{request.key}{answer}{marks}".encode("utf-8", "replace")
            digest = hashlib.blake2b(content, digest_size=16).digest()
            if digest in self.seen:
                excluded.duplicates += 1
                kind = AuditFinding.DUPLICATE if digest in own else AuditFinding.DUPLICATE_ELSEWHERE
                auditor.findings.add(kind, example.id, answer)
                continue
            self.seen.add(digest)
            own.add(digest)
            yield _Item(index=index, example=example, asked=asked)

    def _ask(
        self, source: Source, corpus: Corpus, found: Examples, row: tuple[int, Example]
    ) -> tuple[AskedAnswer, ...]:
        """Return the answers of a row with what each is given to; DataError where the template cannot hold it."""
        index, example = row
        if example.turns is not None and self.rendering.template == "chat":
            return tuple(ask_answers(example.turns, self.rendering))
        try:
            request = render(source.prompt(corpus, example, index), (), self.rendering)
        except DataError as error:
            where = f"{_place(found, example)}: field {error.where!r}"
            raise DataError(error.what, where=where, hint=error.hint) from error
        return (AskedAnswer(request, example.targets[0], 1),)

    def _tokenize(self, items: Sequence["_Item"], found: Examples, chats: "_Chats") -> list["EncodedRow"]:
        by_turn = [item for item in items if self._is_by_turn(item)]
        turns = iter(self._learnt_turns(by_turn, found))
        plain = iter(self._tokenize_apart([item for item in items if not self._is_by_turn(item)], chats.name))
        rows: list[EncodedRow] = []
        for item in items:
            if not self._is_by_turn(item):
                rows.append(next(plain))
            elif item.example.turns is None:
                [turn] = next(turns)
                answer_tokens = len(turn.ids) - turn.start - 1
                rows.append(EncodedRow(item.index, turn.ids, turn.start, len(item.asked[0].answer), answer_tokens))
            else:
                rows += chats.rows(item, next(turns))
        return rows

    def _is_by_turn(self, item: "_Item") -> bool:
        """Return whether the chat template says what is learnt: of conversations, and where thinking is switched."""
        is_chat = self.rendering.template == "chat"
        return is_chat and (item.example.turns is not None or self.recipe.thinking is not None)

    def _tokenize_apart(self, items: Sequence["_Item"], name: str) -> list["EncodedRow"]:
        if not items:
            return []
        prompts = self.model.prompt_ids([item.asked[0].request for item in items])
        answers = self.model.answer_ids([item.asked[0].answer for item in items])
        rows = []
        for item, prompt, answer in zip(items, prompts, answers, strict=True):
            if isinstance(prompt, Failure):
                what = f"the model cannot take the prompt ({prompt.kind}: {prompt.message})"
                raise ModelError(what, where=f"source {name}: {item.example.id}", hint="choose another template")
            characters = len(item.asked[0].answer)
            rows.append(EncodedRow(item.index, prompt + answer, len(prompt), characters, len(answer) - 1))
        return rows

    def _learnt_turns(self, items: Sequence["_Item"], found: Examples) -> list[list[LearntTurn]]:
        """Return the tokens of every answer of each item; DataError, naming file, row and turn, where of none."""
        if not items:
            return []
        if not isinstance(self.model, ChatTrainable):
            hint = "name a local folder or hf:org/name"
            raise ModelError("cannot be tuned on conversations", where=self.model.spec.word, hint=hint)
        asked = [each for item in items for each in item.asked]
        encoded = iter(self.model.learnt_turns([each.request for each in asked], [each.answer for each in asked]))
        turns: list[list[LearntTurn]] = []
        for item in items:
            turns.append([])
            for each in item.asked:
                turn = next(encoded)
                if isinstance(turn, Failure):
                    what = f"the model cannot learn this answer ({turn.kind}: {turn.message})"
                    where = f"{_place(found, item.example)}: turn {each.turn}"
                    raise DataError(what, where=where, hint="mend the conversation, or leave it out")
                turns[-1].append(turn)
        return turns


def _place(found: Examples, example: Example) -> str:
    """Return where a row stands: file and line, or file and id where rows are not lines."""
    path, number = found.files[0].path, example.id.rpartition("-")[2]
    return f"{path}:{number}" if path.endswith(".jsonl") else f"{path}: {example.id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Item:
    index: int
    """Of the example in its source."""
    example: Example
    asked: tuple[AskedAnswer, ...]
    """Its learnt answers, at least one."""


@dataclass(slots=True, eq=False)
class _Chats:
    """The conversations of one source on their way to rows."""

    recipe: Recipe
    excluded: ExcludedRows
    auditor: Auditor
    counts: ChatCounts | None = None

    @property
    def name(self) -> str:
        """Of the source."""
        return self.auditor.corpus.name

    def rows(self, item: _Item, turns: Sequence[LearntTurn]) -> list[EncodedRow]:
        """Return the rows of a conversation, and count it; what is too long loses its last answers, or is left out."""
        rows: list[EncodedRow] = []
        whole = join_turns(turns)
        kept = [self._fitting(row) for row in whole]
        characters = {turn.ids: len(asked.answer) for turn, asked in zip(turns, item.asked, strict=True)}
        for row in kept:
            if row is not None:
                said = sum(characters[row.ids[:end]] for _, end in row.spans)
                tokens = sum(end - start - 1 for start, end in row.spans)
                rows.append(EncodedRow(item.index, row.ids, row.spans[0][0], said, tokens, row.spans))
        self.excluded.dropped += len(whole) - len(rows)
        self._count(item, len(turns), [row for row in kept if row is not None])
        return rows

    def _fitting(self, row: ChatRow) -> ChatRow | None:
        if len(row.ids) <= self.recipe.length:
            return row
        return None if self.recipe.on_long is OnLong.DROP else shorten(row, self.recipe.length)

    def _count(self, item: _Item, answers: int, rows: Sequence[ChatRow]) -> None:
        if not rows:
            return
        learnt = sum(len(row.spans) for row in rows)
        is_open = is_open_ended(item.example)
        if learnt < answers:
            self.auditor.findings.add(AuditFinding.SHORTENED, item.example.id, item.asked[-1].answer)
        if is_open:
            self.auditor.findings.add(AuditFinding.OPEN_ENDED, item.example.id, item.example.texts[-1])
        self.counts = (self.counts or ChatCounts()) + ChatCounts(
            conversations=1,
            answers=learnt,
            rows=len(rows),
            shortened=int(learnt < answers),
            left_out=answers - learnt,
            open_ended=int(is_open),
        )


def _batched(items: Iterable[_Item]) -> Iterator[list[_Item]]:
    batch: list[_Item] = []
    for item in items:
        batch.append(item)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
