"""What an analysis of contents writes down: JSON records with where they come from."""

from collections.abc import Mapping
from dataclasses import dataclass

from ...records import Estimate, Origin
from ...statistics.paired import Difference
from .passage_position import Third

CONTENT_SCHEMA = 1
UNKNOWN = "unknown"
"""Stands among languages for answers of which it cannot be told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerCounts:
    """What became of the questions of a run: only the answered are analysed."""

    answered: int
    failed: int
    missing: int
    unfinished: int
    """Ended inside the thinking."""
    choices: int
    """Nothing was to be generated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ThirdShare:
    """How often answers stand in a third of the passage, beside the gold answers and chance."""

    third: Third
    answers: float
    """Per cent, of the examples of which answer and gold answer both stand in one third."""
    golds: float
    """The same of the gold answers."""
    chance: float
    """The same of texts as long as the answers, put anywhere."""
    low: float | None
    high: float | None
    """95% interval of answers minus golds; None with too few clusters."""
    p: float
    """Two-sided, of such a difference if there is none."""
    n: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentExample:
    """An answer that a measure counts."""

    measure: str
    id: str
    excerpt: str
    """The part that shows it, as the model wrote it: a stranger's text, to be escaped wherever it is shown."""
    detail: str
    """What is to be seen in it: the language, the phrase, how often a unit is repeated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentRecord:
    """What is in the answers of one run."""

    model: str
    fingerprint: str
    task: str
    """With the wording of the prompt where that is not the task's own."""
    language: str
    """Code of the language that the answers are to be in."""
    limit: str | None
    """"1-40": only these examples were asked."""
    origin: Origin
    """Of the data; the packaged sample says little about a model."""
    where: str
    """The results file, from the name of the folder that was searched."""
    samples: str
    """SHA-256 of the samples file."""
    finished_at: str
    """Of the run."""
    counts: AnswerCounts
    estimates: tuple[Estimate, ...]
    """One a measure, in their order; one that is not computed says why."""
    languages: Mapping[str, int]
    """Answers by their language, the most frequent first; UNKNOWN where it cannot be told."""
    span_languages: Mapping[str, int]
    """The same of the spans of all answers: sentences, and parts of them in another script."""
    thinking_languages: Mapping[str, int]
    """The same of the thinking; {} where no model thought."""
    scripts: Mapping[str, float]
    """Shares of all letters of all answers in per cent, by script."""
    thirds: tuple[ThirdShare, ...]
    """() where answers have no place in a passage, or too few do."""
    examples: tuple[ContentExample, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentDifference:
    """One measure of one task, in two runs."""

    task: str
    measure: str
    model: str
    baseline: str
    found: Difference
    """Of the model minus the baseline, on the examples that both were judged on."""
    p_holm: float
    """Corrected by Holm's method for all comparisons of the analysis."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotCompared:
    """Two runs, or a measure of theirs, that were not compared."""

    task: str
    model: str
    measure: str | None
    """None: none of the measures."""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentAnalysis:
    """What is in the answers of several runs, and how they differ."""

    schema: int
    made_at: str
    """UTC, ISO 8601."""
    versions: Mapping[str, str]
    """Of Python and packages that analysed."""
    phrases: str
    """SHA-256 of the table of phrases."""
    records: tuple[ContentRecord, ...]
    differences: tuple[ContentDifference, ...]
    not_compared: tuple[NotCompared, ...]
    left_out: tuple[str, ...]
    """Runs that could not be read, each with the reason."""
