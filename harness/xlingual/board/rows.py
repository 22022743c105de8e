"""The records that a leaderboard is made of; `document.board_json` writes them as they stand."""

from dataclasses import dataclass
from enum import StrEnum

from ..records import ModelSpec, Protocol


class CellState(StrEnum):
    """What a cell holds; only `complete` ones enter averages, gains and ranks."""

    COMPLETE = "complete"
    MARKED = "marked"
    """Whole, but a mark is above its bar, or the file was edited; see the reason."""
    INCOMPLETE = "incomplete"
    """Some examples failed, are missing or could not be judged."""
    LIMITED = "limited"
    """The run asked only a part of the examples."""
    NOT_COMPUTED = "not computed"
    """The run is there, the metric has no value; see the reason."""
    MISSING = "missing"
    """There is no run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What a score does not say of how it was reached."""

    what: str
    """In words: passages cut."""
    share: float
    """Per cent."""
    most: float | None
    """The bar of `thresholds.py`: a row above it is shown and not ranked. None: there is none for the metric."""

    @property
    def barred(self) -> bool:
        """Whether the share is above its bar."""
        return self.most is not None and self.share > self.most


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One model on one task by one metric."""

    task: str
    state: CellState
    value: float | None
    """0 to 100, or within the bounds of the metric."""
    low: float | None
    high: float | None
    n: int
    """Examples that were scored."""
    expected: int
    """Examples of the split, or of the part that a limited run asked."""
    limit: str | None
    reason: str | None
    """Why there is no value, or why it is not complete where that is not told by the counts."""
    interval: str | None = None
    clusters: int | None = None
    clustered_by: str | None = None
    icc: float | None = None
    effective_n: float | None = None
    """These five as in `records.Estimate`; None without a value and in older records."""
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One task of a table and all that its runs have in common."""

    task: str
    variant: str
    """The task's name without its family: "zh", "en-zh"."""
    language: str
    signature: str | None
    """Of the metric; None where no run has a value."""
    protocol: Protocol
    origins: tuple[str, ...]
    """Where the runs that are shown took the same data from, sorted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """The gain over the baseline in points, and relative, in both forms that are published: their signs may differ."""

    value: float | None
    """The mean of ratios: over columns, of 100 * (model - baseline) / baseline; None: see `reason`."""
    columns: tuple[str, ...]
    """The tasks that enter it: complete for both models."""
    reason: str | None
    low: float | None = None
    high: float | None = None
    """95% interval of `value`; None without samples or with too few clusters."""
    of_means: float | None = None
    """The ratio of means: 100 * (mean of the model / mean of the baseline - 1)."""
    means_low: float | None = None
    means_high: float | None = None
    weak: tuple[str, ...] = ()
    """Tasks where the baseline is so near zero that a ratio to it says little: the mean of ratios is not shown."""
    undefined: tuple[str, ...] = ()
    """Those of them where it may be zero: then the mean of ratios has no interval."""
    points: float | None = None
    """The mean of the model minus that of the baseline."""
    points_low: float | None = None
    points_high: float | None = None
    """95% interval of `points`; None as above."""
    weak_mean: bool = False
    """Whether the baseline's mean is so near zero: the ratio of means is not shown."""

    @property
    def clear_value(self) -> float | None:
        """The mean of ratios, where no baseline of it is near zero."""
        return None if self.weak else self.value

    @property
    def clear_means(self) -> float | None:
        """The ratio of means, where the baseline's mean is not near zero."""
        return None if self.weak_mean else self.of_means


@dataclass(frozen=True, slots=True, kw_only=True)
class TableTests:
    """What is known of the differences in a table."""

    note: str | None
    """Why nothing is, or None."""
    clusters: int | None = None
    pairs: int | None = None
    method: str | None = None
    detectable: float | None = None
    """Points from which on two models can be told apart with a chance of 80%, at 5% for a single pair."""
    parallel: bool | None = None
    """Whether all columns have the same examples, by id; None: one column, or no samples."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardRow:
    """One model in a table."""

    model: str
    """The label: its name, with digits of the fingerprint where two models share the name."""
    fingerprint: str
    cells: tuple[Cell, ...]
    """One a column, in the order of the columns."""
    average: float | None
    """Over the ranked columns; None unless every cell of them is complete."""
    rank: int | None
    """From 1: `rank_low` where it is known, else by average, equal averages sharing one. None: not ranked."""
    gain: Gain | None
    """None: no baseline was named, or it has no row here."""
    average_low: float | None = None
    average_high: float | None = None
    """95% interval of the average, by items drawn together in parallel languages; None: not known."""
    rank_low: int | None = None
    rank_high: int | None = None
    """The best and the worst rank that the differences allow, after Holm's correction over the table."""
    control: str | None = None
    """One of `controls.KINDS` for a control, which is never ranked."""
    notes: tuple[str, ...] = ()
    """What the row would hide: its marks, and template, dtype and engine where those of the rows differ."""
    unranked: str | None = None
    """Why it has no rank; None where it has one, and for controls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardTable:
    """Models by tasks of one family, by one metric."""

    family: str
    metric: str
    higher_is_better: bool
    baseline: str | None
    """The baseline's label, where it has a row."""
    columns: tuple[Column, ...]
    rows: tuple[BoardRow, ...]
    """Ranked rows by average, then the others by label."""
    tests: TableTests | None = None
    """None: no row has an average."""
    ranked_columns: tuple[str, ...] = ()
    """Tasks that averages and ranks are over: those of most models."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RateRow:
    """One rate of one model: how often its answers were off target, empty, copied or cut."""

    model: str
    metric: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RateTable:
    """The diagnostics of a family; nothing here is ranked."""

    family: str
    variants: tuple[str, ...]
    rows: tuple[RateRow, ...]
    false_alarms: tuple[float, ...] | None = None
    """Of each variant, per cent of correct texts that `off_target` calls wrong; None where it is not among the rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtocolDifference:
    """A field in which a run is not like the ranked ones."""

    field: str
    """A field of Protocol, or "metric signature"."""
    run: str
    ranked: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotRanked:
    """A run that cannot be compared with those of the table."""

    model: str
    task: str
    metric: str
    value: float | None
    differences: tuple[ProtocolDifference, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A file or a run that is nowhere on the board."""

    where: str
    """The file, from the name of the folder that was searched."""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reported:
    """A figure from elsewhere, shown but never mixed with measured ones."""

    claim: str
    value: str
    source: str
    url: str | None
    """https only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardModel:
    """A model on the board."""

    label: str
    spec: ModelSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """A whole leaderboard."""

    name: str
    title: str
    description: str
    origin: str
    """The kind of data: real or sample."""
    newest: str | None
    """`finished_at` of the newest run shown."""
    tables: tuple[BoardTable, ...]
    rates: tuple[RateTable, ...]
    models: tuple[BoardModel, ...]
    not_ranked: tuple[NotRanked, ...]
    left_out: tuple[LeftOut, ...]
    superseded: int
    """Older records of a model, task and protocol that a newer one replaced."""
    notes: tuple[str, ...]
    reported: tuple[Reported, ...]
    headlines: tuple[BoardTable, ...] = ()
    """Over the columns of several tables together that share metric and baseline."""
