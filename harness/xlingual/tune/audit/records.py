"""The frozen records of the audit, stored in a plan, and the filter of a source, stored in a recipe."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which rows of a source are left out before anything else is done with them; None or False leaves out none."""

    language: bool = False
    """Rows that are in another language than the source says."""
    max_ratio: float | None = None
    """Pairs whose length ratio is further than this factor from the median ratio of the source."""
    min_score: float | None = None
    """Rows with a lower score; only for readers that give one."""
    copies: bool = True
    """Whether rows whose answer copies what is given are kept."""
    min_letters: int | None = None
    """Rows of which an answer, or a side of a pair, has fewer letters outside URLs."""
    dedup: bool = False
    """Rows that differ from an earlier one in case, spaces, punctuation and invisible characters only."""


class AuditFinding(StrEnum):
    """What may be wrong with a row."""

    NO_SCRIPT = "no_script"
    """The answer holds no letter of its language's script: it may be a number, code, or in another language."""
    LANGUAGE = "language"
    """The answer is in another language: by the identifier, or its letters are of other scripts."""
    SOURCE_LANGUAGE = "source_language"
    """The same of the source side of a pair."""
    COPY = "copy"
    """The answer is what is given: source, input or instruction."""
    RATIO = "ratio"
    """The length ratio of the pair is far from the median of its source."""
    NO_LETTER = "no_letter"
    """The answer, or a side of a pair, has no letter."""
    URL = "url"
    """The answer, or a side of a pair, is URLs alone."""
    DUPLICATE = "duplicate"
    """An earlier row of the source is the same; left out."""
    DUPLICATE_ELSEWHERE = "duplicate_elsewhere"
    """A row of an earlier source is the same; left out."""
    TRUNCATED = "truncated"
    """The row is longer than the recipe's length: it is cut, and its end token is lost."""
    SHORTENED = "shortened"
    """The conversation is longer than the recipe's length: its last answers are left out, none is cut."""
    OPEN_ENDED = "open_ended"
    """The conversation ends with a message that nothing answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditedRow:
    """A row to be looked at."""

    row: str
    """Id of the row, as its reader gives it: name of the source and number of the row."""
    excerpt: str
    """The beginning of what the finding is about, on one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingCount:
    """The rows of a source with one finding."""

    kind: AuditFinding
    rows: int
    of: int
    """Rows that were looked at; a language is identified in a sample of a large source."""
    examples: tuple[AuditedRow, ...]
    """The first of them."""

    @property
    def share(self) -> float:
        """Share of the rows looked at, 0 to 1."""
        return self.rows / self.of if self.of else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantiles:
    """The distribution of a number over the rows of a source."""

    least: float
    q05: float
    median: float
    q95: float
    most: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignmentCheck:
    """Whether the two sides of a source of pairs are in the same order."""

    rows: int
    """In blocks that could be judged."""
    wrong: int
    """Of these, in blocks whose pairs agree no better than pairs put together by chance, or worse than shifted ones."""
    shift: int | None
    """By how many lines the target side is late where most wrong blocks say the same; None where they do not."""
    first: str | None
    """Id of the first row of the first wrong block; None without any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceAudit:
    """What the checks say of the rows of one source that its filter keeps."""

    rows: int
    """Rows that were looked at."""
    skipped: int
    """Rows without a prompt or an answer, which are left out."""
    unanswered: int
    """Of these, rows without an answer."""
    identified: int
    """Rows whose language was asked of an identifier; fewer than `rows` in a large source, 0 without an identifier."""
    counts: tuple[FindingCount, ...]
    """Of every kind that was found."""
    ratio: Quantiles | None
    """Characters of the target side to those of the source side; None where rows are no pairs."""
    score: Quantiles | None
    """Scores of the rows; None where the reader gives none."""
    alignment: AlignmentCheck | None
    """None where rows are no pairs, or too few to judge."""
    filtered: Mapping[str, int]
    """Rows that the filter left out, by the key of the filter that did: the first that holds."""

    def count(self, kind: AuditFinding) -> int:
        """Return the rows with a finding."""
        return next((each.rows for each in self.counts if each.kind is kind), 0)
