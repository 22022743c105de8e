"""Metrics over a corpus: the score is a formula of summed counts, not a mean of scores (BLEU and chrF)."""

from collections.abc import Callable
from dataclasses import dataclass

from ..plugin import FloatArray
from ..records import Example, Response, Statistics
from ..text import single_line


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusMetric:
    """The Metric that a way to count matches in one segment and a formula over the summed counts make."""

    name: str
    count: Callable[[str, str, tuple[str, ...]], Statistics]
    """Counts of (language, hypothesis, references), each a single line."""
    formula: Callable[[FloatArray], FloatArray]
    describe: Callable[[str], str]
    lack: Callable[[str], str | None]
    higher_is_better: bool = True

    def missing(self, language: str) -> str | None:
        """Return why the metric cannot be computed for `language` on this machine, or None."""
        return self.lack(language)

    def signature(self, language: str) -> str:
        """Return sacrebleu's own signature, as of one reference a segment."""
        return self.describe(language)

    def measure(self, example: Example, response: Response) -> Statistics | None:
        """Return the counts of a segment; several accepted answers are several references."""
        if response.text is None:
            return None
        references = tuple(single_line(target) for target in example.targets)
        return self.count(example.language, single_line(response.text), references)

    def combine(self, sums: FloatArray) -> FloatArray:
        """Turn summed counts, shape (..., k), into corpus scores from 0 to 100, shape (...)."""
        return self.formula(sums)
