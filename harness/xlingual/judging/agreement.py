"""Can the judge be believed? Its two orders against each other, and its verdicts against gold answers.

Only answers that the judge was asked about count: what a rule decided says nothing about the judge.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..metrics import MeanMetric, find_metric, is_own
from ..plugin import Bounds, FloatArray
from ..records import Example, Response, Statistics
from .cases import TIE
from .judged import JudgedAnswer
from .records import GoldAgreement, OrderAgreement, OrderCount, PairGoldAgreement
from .scores import JudgedCase, estimate_over, make_mean

OUTCOMES = {1.0: "win", TIE: "tie", 0.0: "loss"}


@dataclass(frozen=True, slots=True, kw_only=True)
class KappaMetric:
    """Cohen's kappa (1960) of two raters: agreement beyond what their own frequencies give by chance, at most 1.

    The statistics of an example are the cells of the table of both, shape (k * k,): 1 where it falls, else 0.
    """

    name: str
    categories: int
    higher_is_better: bool = True
    bounds: Bounds = (-1.0, 1.0)

    def missing(self, _language: str) -> str | None:
        """Return None: it needs nothing."""
        return None

    def signature(self, _language: str) -> str:
        """Name the formula."""
        return f"kappa:cohen|categories:{self.categories}"

    def measure(self, _example: Example, _response: Response) -> Statistics | None:
        """Return None: no single answer has it."""
        return None

    def combine(self, sums: FloatArray) -> FloatArray:
        """Turn counts of cells, shape (..., k * k), into kappa; NaN where chance alone gives full agreement."""
        table = sums.reshape((*sums.shape[:-1], self.categories, self.categories))
        total = table.sum(axis=(-2, -1))
        safe = np.where(total > 0, total, 1.0)
        observed = np.trace(table, axis1=-2, axis2=-1) / safe
        chance = (table.sum(axis=-1) * table.sum(axis=-2)).sum(axis=-1) / safe**2
        defined = (total > 0) & (1.0 - chance > 1e-12)
        return np.asarray(np.where(defined, (observed - chance) / np.where(defined, 1.0 - chance, 1.0), np.nan))

    def cell(self, row: int, column: int) -> Statistics:
        """Return the statistics of an example that one rater puts in `row`, and the other in `column`."""
        place = row * self.categories + column
        return tuple(float(each == place) for each in range(self.categories**2))


def order_agreement(judged: Sequence[JudgedCase], language: str) -> OrderAgreement | None:
    """Return whether the judge says the same in both orders; None where no pair has two verdicts."""
    both = [(each, *_outcomes(each)) for each in judged if each.by_judge and len(each.replies) == 2]
    if not both:
        return None
    answers = [each.case.answer for each, _, _ in both]
    kappa, places = KappaMetric(name="kappa", categories=3), list(OUTCOMES)
    # A verdict for the one shown first is a win in the first order and a loss in the second.
    positions = [(((ours + 1 - theirs) / 2), 1.0) for _, ours, theirs in both]
    counts = Counter((OUTCOMES[ours], OUTCOMES[theirs]) for _, ours, theirs in both)
    return OrderAgreement(
        consistency=estimate_over(
            make_mean("order_consistency", "rate:same-verdict-in-both-orders"),
            language,
            answers,
            [(float(ours == theirs), 1.0) for _, ours, theirs in both],
        ),
        kappa=estimate_over(
            kappa, language, answers, [kappa.cell(places.index(a), places.index(b)) for _, a, b in both]
        ),
        first_position=estimate_over(
            make_mean("first_position", "rate:verdicts-for-the-first|ties:half"), language, answers, positions
        ),
        counts=tuple(
            OrderCount(shown_first=first, shown_second=second, count=counts[first, second])
            for first in OUTCOMES.values()
            for second in OUTCOMES.values()
            if counts[first, second]
        ),
    )


def _outcomes(judged: JudgedCase) -> tuple[float, float]:
    """Return what each order says of the judged run's answer: 1 for a win."""
    first, second = (each.verdict.value for each in judged.replies)
    return float(first or 0.0), 1.0 - float(second or 0.0)


def gold_agreements(judged: Sequence[JudgedCase], language: str) -> tuple[GoldAgreement, ...]:
    """Return how the judge agrees with each metric of the run that says right or wrong; equal ones of a kind once.

    Containment and exact match are both shown, also where they hold the same answers to be right.
    """
    asked = [each for each in judged if each.by_judge]
    found, seen = [], set()
    for metric in _right_or_wrong([each.case.answer for each in asked]):
        pairs = [(each, row[0]) for each in asked if (row := each.case.answer.statistics.get(metric)) is not None]
        table = (_is_containment(metric), *((each.case.answer.name, right) for each, right in pairs))
        if pairs and table not in seen:
            seen.add(table)
            found.append(_gold_agreement(metric, pairs, language))
    return tuple(found)


def _right_or_wrong(answers: Sequence[JudgedAnswer]) -> list[str]:
    """Return the metrics that hold every answer to be right or wrong by its gold."""
    names = dict.fromkeys(name for answer in answers for name in answer.statistics)
    rows = {name: [row for each in answers if (row := each.statistics.get(name)) is not None] for name in names}
    return [name for name, found in rows.items() if _compares_with_gold(name) and found and all(map(_is_binary, found))]


def _is_containment(name: str) -> bool:
    return name.startswith("containment")


def _compares_with_gold(name: str) -> bool:
    if _is_containment(name):
        return True
    if is_own(name):
        return bool(getattr(find_metric(name), "exact", False))
    return bool({"exact_match", "acc", "em"} & set(re.split("[:,]", name)))


def _is_binary(row: Statistics) -> bool:
    return len(row) == 2 and row[0] in (0.0, 1.0) and row[1] == 1.0


def _gold_agreement(metric: str, pairs: Sequence[tuple[JudgedCase, float]], language: str) -> GoldAgreement:
    kappa = KappaMetric(name="kappa", categories=2)
    answers = [each.case.answer for each, _ in pairs]
    verdicts = [(float(each.score or 0.0), right) for each, right in pairs]
    counts = Counter(verdicts)

    def rate(name: str, keep: Callable[[float], bool]) -> tuple[MeanMetric, list[JudgedAnswer], list[Statistics]]:
        chosen = [place for place, (_, right) in enumerate(verdicts) if keep(right)]
        rows: list[Statistics] = [(verdicts[place][0], 1.0) for place in chosen]
        return make_mean(name, f"rate:{name}|metric:{metric}"), [answers[place] for place in chosen], rows

    matches, found = (
        rate("accepts_matches", lambda right: right == 1.0),
        rate("accepts_others", lambda right: not right),
    )
    return GoldAgreement(
        metric=metric,
        n=len(pairs),
        both=counts[1.0, 1.0],
        judge_only=counts[1.0, 0.0],
        metric_only=counts[0.0, 1.0],
        neither=counts[0.0, 0.0],
        agreement=estimate_over(
            make_mean("agreement", f"rate:same|metric:{metric}"),
            language,
            answers,
            [(float(ours == theirs), 1.0) for ours, theirs in verdicts],
        ),
        kappa=estimate_over(kappa, language, answers, [kappa.cell(int(a), int(b)) for a, b in verdicts]),
        accepts_matches=estimate_over(matches[0], language, matches[1], matches[2]),
        accepts_others=estimate_over(found[0], language, found[1], found[2]),
    )


def pair_gold_agreements(judged: Sequence[JudgedCase], language: str) -> tuple[PairGoldAgreement, ...]:
    """Return, for each metric that says right or wrong, whether the judge prefers the answer that is right."""
    asked = [each for each in judged if each.by_judge and each.case.other is not None]
    found, seen = [], set()
    for metric in _right_or_wrong([each.case.answer for each in asked]):
        rows: list[Statistics] = []
        answers = []
        for each in asked:
            ours = each.case.answer.statistics.get(metric)
            theirs = None if each.case.other is None else each.case.other.statistics.get(metric)
            if ours is None or theirs is None or ours[0] == theirs[0] or each.score is None:
                continue
            answers.append(each.case.answer)
            rows.append((each.score if ours[0] > theirs[0] else 1 - each.score, 1.0))
        key = (_is_containment(metric), *((answer.name, row) for answer, row in zip(answers, rows, strict=True)))
        if rows and key not in seen:
            seen.add(key)
            prefers = estimate_over(
                make_mean("prefers_match", f"rate:prefers-match|ties:half|metric:{metric}"), language, answers, rows
            )
            found.append(PairGoldAgreement(metric=metric, n=len(rows), prefers_match=prefers))
    return tuple(found)
