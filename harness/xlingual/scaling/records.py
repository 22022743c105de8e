"""What a fit and an allocation are, as records: the content of `fit.json` and of `allocation.json`."""

from dataclasses import dataclass, field

from ..serial import LATER
from .laws import Variant
from .points import Point, SizeUnit

FIT_SCHEMA = 1
ALLOCATION_SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounded:
    """A number with its 95% interval."""

    value: float
    low: float | None
    high: float | None
    """None where the number is no estimate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draws:
    """The parameters of one language in every bootstrap fit; entry i of all languages is one and the same fit."""

    alpha: tuple[float, ...]
    beta: tuple[float, ...]
    ceiling: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageLaw:
    """The law of one language: S(X) = ceiling - alpha * (gamma * X / unit_size + x0) ** -beta.

    x0 is 0 without a floor, else (alpha / (ceiling - floor)) ** (1 / beta), so that S(0) is the floor.
    """

    language: str
    alpha: Bounded
    """Points missing at `unit_size` units."""
    beta: Bounded
    ceiling: Bounded
    gamma: float
    """Similarity to English; 1 where the variant uses none."""
    count: int
    """Measurements."""
    smallest: int
    largest: int
    """Measured sizes: outside of them the law extrapolates."""
    r2: float | None
    """Of the measurements of this language; None where they do not vary."""
    noise: float
    """Standard deviation of a measurement of median precision, in points."""
    tokens_per_pair: float | None
    """Target tokens of a pair, over all measurements that counted them."""
    draws: Draws
    floor: float | None = field(default=None, metadata=LATER)
    """Score of the untuned model; None where it was not measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One variant that was tried."""

    variant: str
    parameters: int
    aicc: float | None
    """Corrected Akaike criterion, lower is better; None with too few measurements for so many parameters."""
    rms: float
    """Root of the mean square of the weighted residuals, in points."""
    extrapolation_error: float | None
    """Mean absolute error at the largest sizes, predicted from the smaller ones only; None with too few sizes."""
    similarity: str | None = field(default=None, metadata=LATER)
    """Name of the table of gammas; None: gamma is 1, or the fit is from before tables had names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SimilarityChoice:
    """Whether a similarity has a part in the law: the best variant with it beside the best without any."""

    name: str
    """Of the table."""
    is_chosen: bool
    aicc_with: float | None
    """None where there are too few measurements for so many parameters: n - k - 1 is not above 0."""
    aicc_without: float | None
    variant_with: str
    variant_without: str
    parameters_with: int
    parameters_without: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Extrapolation:
    """The largest size of a language as predicted from the smaller ones only."""

    language: str
    size: int
    smaller: int
    """The largest size that was left in."""
    measured: float
    """Mean score at `size`."""
    predicted: Bounded
    """Interval: of a new mean of as many measurements."""

    @property
    def error(self) -> float:
        """Predicted minus measured, in points."""
        return self.predicted.value - self.measured


@dataclass(frozen=True, slots=True, kw_only=True)
class LawFit:
    """Laws of one metric for all languages of a table, by one variant."""

    schema: int
    metric: str
    unit: SizeUnit
    unit_size: int
    """U of the law, in `unit`s."""
    variant: Variant
    r2: float | None
    """Of all measurements, about the mean of their language."""
    laws: tuple[LanguageLaw, ...]
    candidates: tuple[Candidate, ...]
    """The chosen one first, then by AICc."""
    extrapolation: tuple[Extrapolation, ...]
    """Empty where the sizes do not suffice without the largest."""
    notes: tuple[str, ...]
    points: tuple[Point, ...]
    """What was fitted."""
    resamples: int
    seed: int
    similarities: tuple[SimilarityChoice, ...] | None = field(default=None, metadata=LATER)
    """Of each similarity that was tried; None: none was, or the fit is from before this was recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one language gets of the budget."""

    language: str
    rows: int
    """Translation pairs."""
    low: float | None
    high: float | None
    """95% interval of the best number of rows over the bootstrap fits."""
    tokens: int | None
    available: int | None
    """Pairs there are; None where not said."""
    score: Bounded
    """Predicted."""
    extrapolated: bool
    """Whether `rows` is outside the measured sizes."""
    limit: str | None
    """"lower" or "upper" where a bound, not the law, decided."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rival:
    """Another way to split the same budget, and how far the allocation is ahead of it."""

    name: str
    rows: tuple[int, ...]
    """By language, in the order of the shares."""
    score: float
    """Predicted, by the same goal."""
    gain: Bounded
    """Of the allocation over this one, over the same bootstrap fits."""

    @property
    def certain(self) -> bool:
        """Whether the gain is more than noise: its interval leaves out zero."""
        return self.gain.low is not None and self.gain.high is not None and not self.gain.low <= 0.0 <= self.gain.high


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """The split of a budget that the laws predict the best score for."""

    schema: int
    metric: str
    goal: str
    """"mean" or "worst"."""
    budget: int
    budget_unit: SizeUnit
    score: Bounded
    """The goal, as predicted."""
    shares: tuple[Share, ...]
    rivals: tuple[Rival, ...]
    notes: tuple[str, ...]
    doubts: tuple[str, ...] = field(default=(), metadata=LATER)
    """Why the laws give no verdict on splits; () where they do."""
