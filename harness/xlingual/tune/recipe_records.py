"""The frozen records of a recipe: what is trained on, how, and for how long.

They are stored as JSON in plans; the names of their fields are the format of these files.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from ..serial import LATER
from ..thinking import ThinkingMode
from .audit.records import Filter
from .hold_out.records import ExportedWeights, HoldOut
from .schedule_records import LrScheduler, OptimizerName, Quantization
from .vocabulary import Vocabulary


class Unit(StrEnum):
    """The unit of the amount of a source."""

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
    """How much of a source is drawn in one epoch of the mixture."""

    unit: Unit
    value: float | None
    """Rows, percent, tokens, or the exponent; None for ALL."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceUse:
    """A source of rows as a recipe names it."""

    name: str
    reader: str
    """The Source plugin that reads it: alpaca, parallel, tsv, tmx, po, ..."""
    license: str | None = field(default=None, metadata=LATER)
    """Of its rows, for the model card; None: not said. No part of the plan's id."""
    path: str
    """Relative to the data folder; the reader resolves braces: "train.{language}"."""
    language: str
    """Code of the language of the answers."""
    direction: tuple[str, str] | None
    """Codes of source and target language, for parallel text."""
    columns: tuple[str, ...]
    """Names of the fields to read, in the reader's order; (): the reader's own."""
    amount: Amount
    max_epochs: float
    """Epochs of this source in one epoch of the mixture, at most: no row is drawn more often, rounded up."""
    filter: Filter | None = field(default=None, metadata=LATER)
    """Which rows are left out; None: all are kept."""
    hold_out: HoldOut | None = field(default=None, metadata=LATER)
    """How many rows are evaluated instead of trained on; None: none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """The size of one epoch of the mixture; one of the two is set."""

    rows: int | None
    tokens: int | None


class Tuning(StrEnum):
    """Which weights are trained."""

    FULL = "full"
    LORA = "lora"
    DORA = "dora"


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """Which weights are trained, and the shape of an adapter."""

    kind: Tuning
    rank: int
    alpha: float
    dropout: float
    targets: tuple[str, ...]
    """Names of linear layers, or ("all-linear",). Rank, alpha, dropout and targets mean nothing in full tuning."""
    quantize: Quantization | None = field(default=None, metadata=LATER)
    """Of the frozen linear layers; None: they are as the base's files have them."""


class Norm(StrEnum):
    """How the loss of a step is normalised, over all micro-batches and ranks."""

    TOKEN = "token"  # noqa: S105 - no secret
    """By the supervised tokens of the whole step: every token has the same weight."""
    ROW = "row"
    """By the supervised tokens of the row, then by the rows of the step: every row has the same weight."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """The optimizer's side of a recipe: length of the training, step size, learning rate."""

    epochs: float
    rows_per_step: int | None
    tokens_per_step: int | None
    """One of the two is set."""
    learning_rate: float
    """Peak, at the end of a linear warm-up from 0."""
    warmup: float
    """Share of all steps, 0 to 1."""
    weight_decay: float
    clip: float
    """Largest norm of the gradient of a step; a larger gradient is scaled down to it."""
    norm: Norm
    lr_scheduler: LrScheduler | None = field(default=None, metadata=LATER)
    """None: cosine."""
    decay_ratio: float | None = field(default=None, metadata=LATER)
    """Share of all steps that the decay of WSD takes, above 0 to 1; None for the others."""
    min_learning_rate: float | None = field(default=None, metadata=LATER)
    """What the decay goes down to; None: 0."""
    optimizer: OptimizerName | None = field(default=None, metadata=LATER)
    """None: AdamW in float32."""


class OnLong(StrEnum):
    """What is done with a row that is longer than the recipe's length."""

    CUT = "cut"
    """Truncate it: its end is lost, the end token too."""
    DROP = "drop"
    """Leave it out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """All settings that turn a base into a tuned model; only the bytes of the data are not in it."""

    name: str
    description: str
    license: str | None = field(default=None, metadata=LATER)
    """Of the tuned model, for its card; None: not said. No part of the plan's id."""
    base: str
    """A model word."""
    template: str
    """alpaca, chat or raw: the prompt template, in tuning as in evaluation."""
    seed: int
    length: int
    """Most tokens of a row."""
    on_long: OnLong
    budget: Budget | None
    sources: tuple[SourceUse, ...]
    method: Method
    schedule: Schedule
    thinking: ThinkingMode | None = field(default=None, metadata=LATER)
    """Whether a chat template is asked for thinking, in tuning as in evaluation; None: as the template has it."""
    vocabulary: Vocabulary | None = field(default=None, metadata=LATER)
    """New tokens of the base; None: none."""
    export: ExportedWeights | None = field(default=None, metadata=LATER)
    """Which checkpoint is exported; None: the best where rows are held out, else the last."""

    @property
    def exported_weights(self) -> ExportedWeights:
        """Which checkpoint is exported."""
        is_evaluated = any(use.hold_out is not None for use in self.sources)
        return self.export or (ExportedWeights.BEST if is_evaluated else ExportedWeights.LAST)
