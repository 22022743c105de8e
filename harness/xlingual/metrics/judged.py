"""What a judge model says of answers: computed by `xlingual judge`, never while answers are scored.

The metrics stand here so that boards, comparisons and lists know them; `judging/` gives them their statistics, one
(score, 1.0) an answer, and the signature that names the judge.
"""

from collections.abc import Callable

from ..records import Example, Response
from .mean import MeanMetric, in_every_language

CORRECT = "judge_correct"
WIN = "judge_win"
TRANSLATION = "judge_translation"


def _unjudged(_example: Example, _text: str, _response: Response) -> float | None:
    return None


def _needs(options: str) -> Callable[[str], str | None]:
    return lambda _language: f"not computed: it needs a judge: xlingual judge RUN --judge MODEL --kind {options}"


METRICS = tuple(
    MeanMetric(
        name=name,
        higher_is_better=True,
        judge=_unjudged,
        describe=in_every_language(signature),
        lack=_needs(options),
    )
    for name, signature, options in (
        (CORRECT, "rate:judged-correct|judge:none", "correctness"),
        (WIN, "rate:judged-better|ties:half|judge:none", "pairwise --against RUN"),
        (TRANSLATION, "score:judged-translation|0-100|judge:none", "translation"),
    )
)
"""Share of answers that are right; of pairs that are won, a tie being half a win; mean score of translations."""
