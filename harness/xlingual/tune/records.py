"""The frozen records of tuning, in the order of their flow: Recipe -> EncodedRows, MixPlan -> TuneRecord."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

from ..records import DataFile, ModelSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

IntArray: TypeAlias = "NDArray[np.int64]"


class Unit(StrEnum):
    """In what the amount of a source is said."""

    ALL = "all"
    """Every row once."""
    ROWS = "rows"
    SHARE = "share"
    """Percent of the recipe's budget."""
    TOKENS = "tokens"
    """Prompt and answer together."""
    REST = "rest"
    """A part of what the others leave of the budget, in proportion to rows to the power of `value`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """How much of a source goes into one epoch of the mix."""

    unit: Unit
    value: float | None
    """Rows, percent, tokens, or the exponent; None for ALL."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceUse:
    """A source of rows as a recipe names it."""

    name: str
    reader: str
    """The Source plugin that reads it: alpaca, parallel, tsv, tmx, po, ..."""
    path: str
    """Relative to the data folder; what braces mean is the reader's affair: "train.{language}"."""
    language: str
    """Code of the language of the answers."""
    direction: tuple[str, str] | None
    """Codes of source and target language, for parallel text."""
    columns: tuple[str, ...]
    """Names of the fields to read, in the reader's order; (): the reader's own."""
    amount: Amount
    max_epochs: float
    """A row is drawn at most so often in one epoch of the mix, rounded up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The size of one epoch of the mix; one of the two is set."""

    rows: int | None
    tokens: int | None


class Tuning(StrEnum):
    """Which weights are trained."""

    FULL = "full"
    LORA = "lora"
    DORA = "dora"


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """Which weights are trained, and how an adapter is made."""

    kind: Tuning
    rank: int
    alpha: float
    dropout: float
    targets: tuple[str, ...]
    """Names of linear layers, or ("all-linear",); the four are not used in full tuning."""


class Norm(StrEnum):
    """What a step's loss is divided by."""

    TOKEN = "token"  # noqa: S105 - no secret
    """Supervised tokens of the whole step: every token counts the same."""
    ROW = "row"
    """Supervised tokens of the row, then rows of the step: every row counts the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How long and how fast."""

    epochs: float
    rows_per_step: int | None
    tokens_per_step: int | None
    """One of the two is set."""
    learning_rate: float
    """At the end of the warm-up; it falls along a cosine from there to 0."""
    warmup: float
    """Share of all steps."""
    weight_decay: float
    clip: float
    """Largest norm of the gradient of a step."""
    norm: Norm


class OnLong(StrEnum):
    """What becomes of a row that is longer than the recipe's length."""

    CUT = "cut"
    """It loses its end, the end token too."""
    DROP = "drop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything that makes a model out of a base, but the bytes of the data."""

    name: str
    description: str
    base: str
    """A model word."""
    template: str
    """alpaca, chat or raw: the wrapper of prompts, in tuning as in evaluation."""
    seed: int
    length: int
    """Most tokens of a row."""
    on_long: OnLong
    budget: Budget | None
    sources: tuple[SourceUse, ...]
    method: Method
    schedule: Schedule


@dataclass(frozen=True, slots=True, eq=False)
class EncodedRows:
    """The distinct rows of a mix as tokens, in the order of its sources."""

    tokens: "NDArray[np.int32]"
    """(tokens,): prompt, then answer with its end token, of one row behind the other."""
    offsets: IntArray
    """(rows + 1,): where each row begins in `tokens`."""
    answer_starts: IntArray
    """(rows,): the number of prompt tokens of each row."""
    sources: IntArray
    """(rows,): the place of its source in the recipe."""
    draws: IntArray
    """(rows,): how often each row comes in one epoch."""

    def __len__(self) -> int:
        """Return the number of distinct rows."""
        return len(self.answer_starts)

    @property
    def lengths(self) -> IntArray:
        """Tokens of each row, (rows,)."""
        return self.offsets[1:] - self.offsets[:-1]

    @property
    def supervised(self) -> IntArray:
        """Answer tokens of each row, (rows,): those that the loss is over."""
        return self.lengths - self.answer_starts


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceReport:
    """A source as it stands in a plan; tokens are those of one epoch."""

    name: str
    language: str
    files: tuple[DataFile, ...]
    available: int
    """Rows that may be used: neither duplicates, nor contaminated, nor dropped."""
    distinct: int
    """Rows that are used."""
    draws: int
    """Rows of one epoch, repeats counted."""
    tokens: int
    supervised: int
    truncated: int
    """Of the distinct rows."""
    dropped: int
    """Rows that are too long, or whose prompt alone leaves no room for an answer."""
    skipped: int
    """Rows with nothing to ask or to learn: an empty side."""
    duplicates: int
    contaminated: int
    """Rows refused because a leaderboard tests on them."""
    characters_per_token: float | None
    """Of the answers; None without any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkCheck:
    """A benchmark that leaderboards test on, and whether the mix could be compared with it."""

    family: str
    languages: tuple[str, ...]
    """Codes of the mix's languages in which it was compared, or in which it could not be."""
    origins: tuple[str, ...]
    """Where its test data came from: local, cache, sample; () where it is not on this machine."""
    texts: int
    """Distinct passages, questions with passage, and sentences that were compared."""
    rows: int
    """Rows of the mix that hold one of them, and so are left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MixPlan:
    """What would be trained, known before any weight is loaded; `tune run` trains exactly this."""

    schema: int
    id: str
    """Content hash of recipe, base and encoded rows: the run's identity, whatever machine trains it."""
    recipe: Recipe
    base: ModelSpec
    sources: tuple[SourceReport, ...]
    checks: tuple[BenchmarkCheck, ...]
    rows: int
    """Of one epoch, repeats counted."""
    tokens: int
    supervised: int
    steps: int
    """Of the whole training."""
    pack_length: int
    packs: int
    """Of the first epoch."""
    fill: float
    """Share of the packs' room that holds tokens, 0 to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneRecord:
    """A finished training: what `provenance.json` beside the weights holds."""

    schema: int
    plan: MixPlan
    parent: str
    """The base model's name, with its revision where it has one."""
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
