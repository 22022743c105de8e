"""Metrics over a corpus: the score is a formula of summed counts, not a mean of scores (BLEU and chrF)."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from ..plugin import SHARE, Bounds, FloatArray
from ..records import Example, Response, Statistics
from ..text import single_line
from .mean import can_judge

CLEANED = "_cleaned"
"""Ends the name of the variant whose texts are brought to NFC, without invisible marks: what a reader sees alike."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusMetric:
    """The Metric that a way to count matches in one segment and a formula over the summed counts make."""

    name: str
    count: Callable[[str, str, tuple[str, ...]], Statistics]
    """Counts of (language, hypothesis, references), each a single line."""
    formula: Callable[[FloatArray], FloatArray]
    describe: Callable[[str], str]
    lack: Callable[[str], str | None] = can_judge
    higher_is_better: bool = True
    bounds: Bounds = SHARE
    cleaned: bool = False
    """Whether texts are brought to NFC and lose invisible marks first; sacrebleu does neither."""

    def missing(self, language: str) -> str | None:
        """Return why the metric cannot be computed for `language` on this machine, or None."""
        return self.lack(language)

    def signature(self, language: str) -> str:
        """Return sacrebleu's own signature where the score is sacrebleu's own, as of one reference a segment."""
        return self.describe(language) + ("|text:nfc-visible" if self.cleaned else "")

    def measure(self, example: Example, response: Response) -> Statistics | None:
        """Return the counts of a segment; several accepted answers are several references."""
        if response.text is None:
            return None
        line = single_line if self.cleaned else as_line
        references = tuple(line(target) for target in example.targets)
        return self.count(example.language, line(response.text), references)

    def combine(self, sums: FloatArray) -> FloatArray:
        """Turn summed counts, shape (..., k), into corpus scores, shape (...)."""
        return self.formula(sums)


def as_line(text: str) -> str:
    """Return `text` as sacrebleu's command line would read it from a file: one line, without white space at its end.

    Line breaks, which such a file cannot hold, are spaces.
    """
    return text.strip("\n").replace("\n", " ").rstrip()


def with_cleaned(metric: CorpusMetric) -> tuple[CorpusMetric, CorpusMetric]:
    """Return `metric` and its variant on cleaned texts."""
    return metric, replace(metric, name=metric.name + CLEANED, cleaned=True)
