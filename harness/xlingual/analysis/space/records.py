"""What an analysis of the space is, as records: the content of `space-NAME.json`."""

from collections.abc import Mapping
from dataclasses import dataclass

from ...records import DataFile, ModelSpec

SCHEMA = 1
MEAN = "mean"
"""The scope of a curve over all pairs, or over all languages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerCurve:
    """One measure by layer: index 0 is the embedding, the last is after the final norm."""

    measure: str
    pooling: str
    """"mean" or "last": of the tokens of a sentence."""
    scope: str
    """"mean"; "en-zh", a pair; "en>zh", from one to the other; "zh", a language."""
    shuffled: bool
    """Whether it is the control: the same with translations, or languages, in a random order."""
    values: tuple[float, ...]
    low: tuple[float, ...] | None
    high: tuple[float, ...] | None
    """95% intervals, each of its layer alone; None where there are none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effects:
    """What each sentence adds to the mean curve of a measure, so that models can be compared sentence by sentence."""

    measure: str
    pooling: str
    values: tuple[tuple[float, ...], ...]
    """By layer, by sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peak:
    """The layer in which a measure is highest, if it stands out from the shuffled control at all."""

    measure: str
    pooling: str
    layer: int | None
    """None: in no layer is it above the control, with so many layers looked at."""
    value: float | None
    stability: float | None
    """The share of resamples of the sentences in which the same layer, or a neighbour, is the highest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Projection:
    """The first sentences of every language on the two main axes of one layer, all languages together.

    The loudest tenth of the dimensions is brought down to the rest: a few huge ones would be the axes.
    """

    layer: int
    pooling: str
    explained: tuple[float, float]
    """Shares of variance of the two axes."""
    points: Mapping[str, tuple[tuple[float, float], ...]]
    """By language; sentence i is the same one in all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """What language the tokens are in that the layers predict, for input in one language."""

    language: str
    """Of the input."""
    best: int
    """So many of the best predictions at each position count: 1, or the `top_k` of the record."""
    shuffled: bool
    """Whether the languages of the input are in a random order: then its language says nothing."""
    shares: Mapping[str, tuple[float, ...]]
    """Language of the token -> share of all predictions by layer; "other" is any other language, "undecided" tokens
    that do not tell: punctuation, digits, parts of characters, words of several languages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenIdentification:
    """How often the language of a token is told rightly, tried on the tokens of sentences held out."""

    language: str
    tokens: int
    right: float
    wrong: float
    undecided: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LensRecord:
    """The logit lens: what every layer would predict as the next token."""

    sentences: int
    """Of each language; the first ones."""
    positions: int
    """In each sentence."""
    top_k: int
    decoded: tuple[Decoded, ...]
    overlap: tuple[LayerCurve, ...]
    """The share of top k predictions that a sentence and its translation have in common, at the same share of both."""
    identification: tuple[TokenIdentification, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceRecord:
    """The analysis of one model."""

    schema: int
    model: ModelSpec
    languages: tuple[str, ...]
    """The pivot first."""
    sentences: int
    tokens: int
    """Of all sentences in all languages."""
    data: str
    """Content hash of languages and sentences."""
    files: tuple[DataFile, ...]
    layers: int
    """Without the embedding: curves have one value more."""
    width: int
    poolings: tuple[str, ...]
    curves: tuple[LayerCurve, ...]
    effects: tuple[Effects, ...]
    peaks: tuple[Peak, ...]
    projections: tuple[Projection, ...]
    lens: LensRecord | None
    notes: tuple[str, ...]
    resamples: int
    seed: int
    versions: Mapping[str, str]
    written: str
    """Time in UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferenceCurve:
    """One model less another by layer, on the same sentences."""

    measure: str
    pooling: str
    values: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    """95% intervals, paired by sentence, each of its layer alone."""
    certain: tuple[bool, ...]
    """Whether the difference is more than noise with so many layers looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceComparison:
    """Two models, before and after."""

    first: str
    second: str
    curves: tuple[DifferenceCurve, ...]
    """Second less first."""
