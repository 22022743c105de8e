"""The frozen records of tuning behind the recipe, in the order of their flow: EncodedRows, MixPlan -> TuneRecord.

MixPlan and TuneRecord are stored as JSON; the names of their fields are the format of these files.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

from ..records import DataFile, ModelSpec
from ..serial import LATER
from ..thinking import ThinkingMode
from .audit.records import SourceAudit
from .chats import ChatCounts
from .hold_out.records import ExportedCheckpoint, HeldOutReport
from .recipe_records import Recipe
from .vocabulary import VocabularyReport

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

IntArray: TypeAlias = "NDArray[np.int64]"


@dataclass(frozen=True, slots=True, eq=False)
class EncodedRows:
    """The distinct rows of a mixture, tokenized, in the order of its sources."""

    tokens: "NDArray[np.int32]"
    """(tokens,): the rows concatenated, each a prompt, then an answer with its end token."""
    offsets: IntArray
    """(rows + 1,): where each row begins in `tokens`."""
    answer_starts: IntArray
    """(rows,): prompt tokens of each row, which the loss mask leaves out."""
    sources: IntArray
    """(rows,): the index of its source in the recipe."""
    draws: IntArray
    """(rows,): how often each row is drawn in one epoch."""
    learnt: "NDArray[np.bool_] | None" = None
    """(tokens,): whether each token is learnt, where a row has several answers; None: all from `answer_starts` on."""

    def __len__(self) -> int:
        """Return the number of distinct rows."""
        return len(self.answer_starts)

    @property
    def lengths(self) -> IntArray:
        """Tokens of each row, (rows,)."""
        return self.offsets[1:] - self.offsets[:-1]

    @property
    def supervised(self) -> IntArray:
        """Supervised tokens of each row, (rows,): its answer, but for a first token, which nothing predicts."""
        import numpy as np  # noqa: PLC0415 - the command line stays light

        if self.learnt is not None:
            return count_learnt(self.learnt, self.offsets) - self.learnt[self.offsets[:-1]]
        return np.maximum(self.lengths - np.maximum(self.answer_starts, 1), 0)

    def labels(self, row: int) -> IntArray:
        """Return the indices in a row of its supervised tokens, (supervised,)."""
        import numpy as np  # noqa: PLC0415 - the command line stays light

        start, end = int(self.offsets[row]), int(self.offsets[row + 1])
        if self.learnt is not None:
            return np.flatnonzero(self.learnt[start + 1 : end]) + 1
        return np.arange(max(int(self.answer_starts[row]), 1), end - start)


def count_learnt(learnt: "NDArray[np.bool_]", offsets: IntArray) -> IntArray:
    """Return how many tokens of each row are learnt, (rows,); a row has at least one token."""
    import numpy as np  # noqa: PLC0415 - the command line stays light

    return np.add.reduceat(learnt, offsets[:-1], dtype=np.int64) if len(offsets) > 1 else np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceReport:
    """A source in a plan; tokens are those of one epoch."""

    name: str
    language: str
    files: tuple[DataFile, ...]
    available: int
    """Rows that can be sampled: neither skipped, duplicate, contaminated nor dropped."""
    distinct: int
    """Rows that are sampled."""
    draws: int
    """Rows of one epoch, repeats included."""
    tokens: int
    supervised: int
    truncated: int
    """Distinct rows that lost their end."""
    dropped: int
    """Rows that are too long, or whose prompt alone fills the length."""
    skipped: int
    """Rows with an empty prompt or answer."""
    duplicates: int
    contaminated: int
    """Rows that repeat a text of a test set that a leaderboard uses, and are left out."""
    characters_per_token: float | None
    """Of the answers; None without any."""
    audit: SourceAudit | None = field(default=None, metadata=LATER)
    """What its rows look like; None in plans from before there was an audit."""
    chats: ChatCounts | None = field(default=None, metadata=LATER)
    """Its conversations; None where there are none."""
    held_out: HeldOutReport | None = field(default=None, metadata=LATER)
    """Its rows that are not trained on; None where the recipe holds out none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkCheck:
    """Decontamination against one benchmark that leaderboards use, as far as its test data are on this machine."""

    family: str
    languages: tuple[str, ...]
    """Codes of the mixture's languages that were compared, or, without origins, that could not be."""
    origins: tuple[str, ...]
    """Where its test data came from: local, cache, sample; () where it is not on this machine."""
    texts: int
    """Distinct passages, questions with passage, and sentences that were compared."""
    rows: int
    """Rows of the mixture that repeat one of them so far that they are left out."""
    others: tuple[str, ...] = field(default=(), metadata=LATER)
    """Codes of other languages that were compared: a parallel text is learnt in any of them."""


class Repetition(StrEnum):
    """How much of a test text a row holds."""

    EXACT = "exact"
    """All of it."""
    NEAR = "near"
    """Nearly all of it: a word is changed, left out or added."""
    PARTIAL = "partial"
    """A run of words of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatedText:
    """What a row repeats of test data."""

    check: int
    """Index of the benchmark check."""
    kind: Repetition
    text: str
    """Task and example of the test text."""
    share: float
    """Of the text's words that the row has, 0 to 1."""
    is_left_out: bool
    """Whether the row is to be left out for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RepeatedRow:
    """A row that repeats test data, to be looked at."""

    row: str
    """Id of the row, as its reader gives it: name of the source and number of the row."""
    excerpt: str
    """The beginning of the row, on one line."""
    text: str
    """Task and example of the test text."""
    share: float
    """Of the text's words that the row has, 0 to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RepetitionCount:
    """The rows of one source that repeat test data of one benchmark in one way."""

    source: str
    family: str
    kind: Repetition
    rows: int
    left_out: int
    """Of these, not trained on."""
    examples: tuple[RepeatedRow, ...]
    """The first of them."""


class OnRepetition(StrEnum):
    """What is done with rows that repeat test data."""

    DROP = "drop"
    """They are left out, and counted."""
    REPORT = "report"
    """They are trained on, and counted: the plan says so."""
    REFUSE = "refuse"
    """There is no plan while there are any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MixPlan:
    """What a training would do, known before any weight is loaded; `tune run` trains exactly this."""

    schema: int
    id: str
    """Content hash of recipe, base and tokenized rows: the identity of the run, whatever machine trains it."""
    recipe: Recipe
    base: ModelSpec
    sources: tuple[SourceReport, ...]
    checks: tuple[BenchmarkCheck, ...]
    rows: int
    """Of one epoch, repeats included."""
    tokens: int
    supervised: int
    steps: int
    """Optimizer steps of the whole training."""
    pack_length: int
    """Capacity of a pack, in tokens."""
    packs: int
    """Of the first epoch over all ranks, empty ones included: those that a training makes."""
    fill: float
    """Share of the packs' capacity that holds tokens, 0 to 1."""
    repetitions: tuple[RepetitionCount, ...] = field(default=(), metadata=LATER)
    """Rows that repeat test data of leaderboards, by source, benchmark and kind."""
    on_repetition: OnRepetition = field(default=OnRepetition.DROP, metadata=LATER)
    """What was done with them."""
    ranks: int | None = field(default=None, metadata=LATER)
    """World size that packs are counted for; None: one process."""
    pad_share: float | None = field(default=None, metadata=LATER)
    """Padding of empty packs, as a share of all computed tokens; None: none, on one process."""
    wait_share: float | None = field(default=None, metadata=LATER)
    """Token positions in which ranks wait for the longest pack of a micro-batch, as a share; None as above."""
    overrides: tuple[str, ...] | None = field(default=None, metadata=LATER)
    """What the command line has set in the recipe's file, each as KEY=VALUE; None: nothing. The recipe holds it."""
    vocabulary: VocabularyReport | None = field(default=None, metadata=LATER)
    """What new tokens have changed; None: the base got none."""

    @property
    def learns_all(self) -> bool:
        """Whether every row that could be trained on is: none is held out, and none is beyond the amounts."""
        held_out = [source.held_out for source in self.sources if source.held_out is not None]
        is_drawn = all(source.distinct == source.available for source in self.sources)
        return is_drawn and not any(each.rows + each.twins for each in held_out)

    @property
    def is_by_turn(self) -> bool:
        """Whether the chat template says what is learnt of some rows: of conversations, and where thinking is set."""
        return self.recipe.thinking is not None or any(source.chats is not None for source in self.sources)


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneRecord:
    """The record of a finished training: `provenance.json` in the folder of its model."""

    schema: int
    plan: MixPlan
    parent: str
    """The base model's name, with its revision where it has one."""
    base_license: str | None = field(default=None, metadata=LATER)
    """As the model card beside the base's weights says; None: it says none, or there is no card."""
    template: str
    data: Mapping[str, str]
    """SHA-256 of every data file by its name."""
    steps: int
    loss: Mapping[str, float]
    """Mean loss of the last epoch by source, nats per supervised token."""
    useful_tokens_per_second: float
    world_size: int
    dtype: str
    versions: Mapping[str, str]
    finished_at: str
    """UTC, ISO 8601."""
    thinking: ThinkingMode | None = field(default=None, metadata=LATER)
    """As of the recipe: evaluation asks the model so by default."""
    max_steps: int | None = field(default=None, metadata=LATER)
    """The limit that ended the training before the last step of its plan; None: it is whole."""
    exported: ExportedCheckpoint | None = field(default=None, metadata=LATER)
    """The step that the model is of; None where no rows are held out: the last one."""
