"""A judge against labels of people, and the rate that is left when its mistakes are taken into account.

    {"id": "1", "question": "Who wrote Emma?", "gold": "Jane Austen", "answer": "Austen", "label": "correct"}
    {"id": "2", "question": "Tell a joke.", "first": "...", "second": "...", "label": "second"}     first, second or tie

The judge is asked about the labelled items in the same words. Of answers, sensitivity and specificity turn the judged
rate into an estimate of the true one (Rogan and Gladen 1978), with the interval of Lang and Reiczigel (2014), which
counts the uncertainty of both. Of pairs, where orders are both asked so that sides do not matter, one number does.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..data import read_records
from ..errors import DataError
from ..files import read_text, require_file
from ..identity import content_hash
from ..records import Estimate, Example
from ..statistics.quantiles import NORMAL
from ..text import is_blank
from .cases import make_example
from .judged import JudgedAnswer
from .prompts import JudgePrompt
from .records import Calibration, CorrectedRate, JudgeKind, VerdictState
from .scores import Reply, estimate_over, make_mean

LABELS = {
    JudgeKind.CORRECTNESS: {"correct": 1.0, "incorrect": 0.0},
    JudgeKind.PAIRWISE: {"first": 1.0, "tie": 0.5, "second": 0.0},
}
FEWEST = 10
"""Labelled items with a verdict below which nothing is corrected, and of each label of answers below which either."""
FEWEST_EACH = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledItem:
    """One item with its label."""

    id: str
    label: float
    shown: tuple[Example, ...]
    """As of a case: the answer, or the pair in both orders."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledSet:
    """A file of labelled items."""

    file: str
    sha256: str
    kind: JudgeKind
    items: tuple[LabelledItem, ...]


def read_labels(path: Path, prompt: JudgePrompt) -> LabelledSet:
    """Read a file of labelled items.

    Raises UsageError where there is none, DataError naming the file and the lines that are not as they must be.
    """
    if prompt.kind not in LABELS:
        what = f"labels are of {' and '.join(LABELS)}, not of translations"
        raise DataError(what, where=str(path), hint="leave --calibration out")
    require_file(path)
    pair = prompt.kind is JudgeKind.PAIRWISE
    texts = ("question", "first", "second") if pair else ("question", "gold", "answer")
    optional = () if pair or prompt.uses_reference else ("gold",)
    rows = read_records(path, dict.fromkeys(("id", *texts, "label"), str), optional=optional)
    items = []
    for row in rows:
        where = f"{path}:{row.line}"
        values = {name: str(row.values.get(name, "")) for name in ("id", *texts, "label")}
        known = LABELS[prompt.kind]
        if values["label"] not in known:
            raise DataError(f"the label is {values['label']!r}", where=where, hint=f"one of {', '.join(known)}")
        blank = next((name for name in texts if name not in optional and is_blank(values[name])), None)
        if blank is not None:
            raise DataError(f"{blank!r} is blank", where=where)
        items.append(_item(values, known[values["label"]], prompt))
    digest = content_hash(read_text(path))
    return LabelledSet(file=path.name, sha256=digest, kind=prompt.kind, items=tuple(items))


def _item(values: dict[str, str], label: float, prompt: JudgePrompt) -> LabelledItem:
    name = values["id"]
    if prompt.kind is JudgeKind.PAIRWISE:
        other = {**values, "first": values["second"], "second": values["first"]}
        shown = tuple(
            make_example(f"{name}#{number}", (name, name), each, prompt)
            for number, each in enumerate((values, other), start=1)
        )
    else:
        shown = (make_example(name, (name, name), values, prompt),)
    return LabelledItem(id=name, label=label, shown=shown)


def calibrate(labelled: LabelledSet, replies: dict[str, Reply]) -> Calibration:
    """Return how the judge does on the labelled items; those that it gave no clear verdict on are left out, counted."""
    scored = [(item, score) for item in labelled.items if (score := _score(item, replies)) is not None]
    pairs = labelled.kind is JudgeKind.PAIRWISE
    decided = [(item, score) for item, score in scored if item.label != 0.5] if pairs else scored

    def rate(name: str, rows: Sequence[tuple[LabelledItem, float]]) -> Estimate:
        values = [(score if item.label == 1.0 else 1 - score, 1.0) for item, score in rows]
        metric = make_mean(name, f"rate:{name}|labels:{labelled.sha256[:8]}")
        return estimate_over(metric, "en", [_as_answer(item) for item, _ in rows], values)

    return Calibration(
        file=labelled.file,
        sha256=labelled.sha256,
        n=len(scored),
        unscored=len(labelled.items) - len(scored),
        accuracy=rate("accuracy", decided),
        sensitivity=None if pairs else rate("sensitivity", [each for each in scored if each[0].label == 1.0]),
        specificity=None if pairs else rate("specificity", [each for each in scored if each[0].label == 0.0]),
    )


def _score(item: LabelledItem, replies: dict[str, Reply]) -> float | None:
    verdicts = [replies[each.id].verdict for each in item.shown]
    if any(each.state is not VerdictState.READ for each in verdicts):
        return None
    values = [each.value or 0.0 for each in verdicts]
    return values[0] if len(values) == 1 else (values[0] + 1 - values[1]) / 2


def _as_answer(item: LabelledItem) -> JudgedAnswer:
    return JudgedAnswer(id=item.id, repeat=0, group=item.id, cluster=item.id, targets=(), asked="", text=None,
                        statistics={}, messages=[])  # fmt: skip


def correct_rate(found: Estimate, calibration: Calibration) -> CorrectedRate:
    """Return the rate `found` corrected by the judge's mistakes on the labelled items, in per cent."""
    method = "Rogan-Gladen, Lang-Reiczigel interval" if calibration.sensitivity else "symmetric mistakes, delta method"
    nothing = CorrectedRate(value=None, low=None, high=None, method=method, reason=None)
    if found.value is None:
        return replace(nothing, reason="there is no judged rate")
    if calibration.n < FEWEST:
        return replace(nothing, reason=f"only {calibration.n} labelled items have a verdict, {FEWEST} are needed")
    n = found.effective_n or float(found.n)
    if calibration.sensitivity is None or calibration.specificity is None:
        return _corrected_pairs(found.value / 100, n, calibration, nothing)
    rates = (calibration.sensitivity, calibration.specificity)
    few = next((each for each in rates if each.n < FEWEST_EACH), None)
    if few is not None:
        what = f"only {few.n} items for the {few.metric}, {FEWEST_EACH} of each label are needed"
        return replace(nothing, reason=what)
    values = [(each.value or 0.0) / 100 for each in rates]
    if sum(values) <= 1.0:
        return replace(nothing, reason=CHANCE)
    return _rogan_gladen((found.value / 100, n), (values[0], rates[0].n), (values[1], rates[1].n), nothing)


CHANCE = "on the labelled items the judge is no better than chance"


def _rogan_gladen(
    rate: tuple[float, float], sensitivity: tuple[float, int], specificity: tuple[float, int], form: CorrectedRate
) -> CorrectedRate:
    """Return the corrected rate with the interval of Lang and Reiczigel, Preventive Veterinary Medicine 113 (2014).

    Each of the three is a share and the number of examples behind it.
    """
    (p, n), (se, n_se), (sp, n_sp) = rate, sensitivity, specificity
    value = (p + sp - 1) / (se + sp - 1)
    z2 = NORMAL**2
    p1, n1 = (n * p + z2 / 2) / (n + z2), n + z2
    se1, m_se = (n_se * se + 1) / (n_se + 2), n_se + 2
    sp1, m_sp = (n_sp * sp + 1) / (n_sp + 2), n_sp + 2
    span = se1 + sp1 - 1
    if span <= 0:
        return replace(form, reason=CHANCE)
    middle = (p1 + sp1 - 1) / span
    var_se, var_sp = se1 * (1 - se1) / m_se, sp1 * (1 - sp1) / m_sp
    shift = 2 * z2 * (middle * var_se - (1 - middle) * var_sp)
    half = NORMAL * math.sqrt(p1 * (1 - p1) / n1 + middle**2 * var_se + (1 - middle) ** 2 * var_sp) / span
    ends = (min(value, middle + shift - half), max(value, middle + shift + half))
    return replace(form, value=100 * _share(value), low=100 * _share(ends[0]), high=100 * _share(ends[1]))


def _corrected_pairs(wins: float, n: float, calibration: Calibration, form: CorrectedRate) -> CorrectedRate:
    """Return the corrected win rate: both orders are asked, so mistakes favour neither side, and ties stay half.

    With a the judge's mean score of the answer that people prefer, a share w of wins is seen as 0.5 + (2 a - 1) (w -
    0.5).
    """
    accuracy, count = (calibration.accuracy.value or 0.0) / 100, calibration.accuracy.n
    if count < FEWEST:
        what = f"only {count} labelled pairs are no ties and have a verdict, {FEWEST} are needed"
        return replace(form, reason=what)
    smoothed = (count * accuracy + 1) / (count + 2)
    slope = 2 * accuracy - 1
    if slope <= 0 or 2 * smoothed - 1 <= 0:
        return replace(form, reason=CHANCE)
    value = 0.5 + (wins - 0.5) / slope
    smooth_wins = (n * wins + 1) / (n + 2)
    variance = smooth_wins * (1 - smooth_wins) / (n + 2) / slope**2
    variance += 4 * (wins - 0.5) ** 2 * smoothed * (1 - smoothed) / (count + 2) / slope**4
    half = NORMAL * math.sqrt(variance)
    return replace(form, value=100 * _share(value), low=100 * _share(value - half), high=100 * _share(value + half))


def _share(value: float) -> float:
    return min(1.0, max(0.0, value))
