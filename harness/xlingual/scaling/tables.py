"""A fit and an allocation as tables of text, for a terminal and for a page."""

from collections.abc import Sequence
from dataclasses import dataclass

from .laws import TOP
from .points import Point
from .records import Allocation, Bounded, LawFit, Rival, Share

SHOWN = 5
"""Variants of the law that are listed."""
_SHOWN_GAIN = 0.005
"""Points; what is smaller is shown as 0.00."""
_GOALS = {"mean": "mean", "worst": "worst score"}


@dataclass(frozen=True, slots=True)
class TextTable:
    """A table as it is shown."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


def point_table(points: Sequence[Point]) -> TextTable:
    """Return measured points, one a row; all of one metric."""
    header = ["language", "pairs", "tokens", "seed", f"{points[0].metric} [95%]"]
    rows = [
        [
            each.language,
            f"{each.pairs:,}",
            *("" if number is None else f"{number:,}" for number in (each.tokens, each.seed)),
            _interval(Bounded(value=each.score, low=each.low, high=each.high), 1),
        ]
        for each in points
    ]
    return TextTable("points", header, rows)


def fit_tables(fit: LawFit) -> list[TextTable]:
    """Return the laws, the best variants, and the test on the largest size where there was one."""
    tables = [_law_table(fit), _variant_table(fit)]
    return tables if not fit.extrapolation else [*tables, _extrapolation_table(fit)]


def allocation_tables(allocation: Allocation) -> list[TextTable]:
    """Return what each language gets, and the other splits."""
    goal = f"highest {_GOALS.get(allocation.goal, allocation.goal)} of {allocation.metric}"
    budget = f"{allocation.budget:,} {allocation.budget_unit}"
    predicted = "no prediction" if allocation.doubts else f"{_interval(allocation.score, 2)} predicted"
    title = f"{budget} for the {goal}: {predicted}"
    header = ["language", "rows", "95%", "tokens", "available", f"{allocation.metric} [95%]", "limit"]
    shares = TextTable(title, header, [_share_row(each) for each in allocation.shares])
    header = ["split", *(share.language for share in allocation.shares), allocation.metric, "gain [95%]", "verdict"]
    rivals = [_rival_row(each, doubted=bool(allocation.doubts)) for each in allocation.rivals]
    return [shares, TextTable("against other splits", header, rivals)]


def _law_table(fit: LawFit) -> TextTable:
    has_floors = any(law.floor is not None for law in fit.laws)
    size = f"gamma * X / {fit.unit_size:,}{' + x0' if has_floors else ''}"
    title = f"{fit.metric}: S(X) = C - alpha * ({size}) ** -beta, X in {fit.unit}, 95% intervals"
    header = ["language", "n", "measured at", "alpha", "beta", "C", "gamma", "noise", "R2"]
    header += ["S(0)"] if has_floors else []
    rows = [
        [
            law.language,
            str(law.count),
            f"{law.smallest:,} - {law.largest:,}",
            *(_interval(each, digits) for each, digits in ((law.alpha, 2), (law.beta, 3), (law.ceiling, 1))),
            f"{law.gamma:.3g}",
            f"{law.noise:.2f}",
            _number(law.r2, 4),
            *([_number(law.floor, 1)] if has_floors else []),
        ]
        for law in fit.laws
    ]
    return TextTable(title, header, rows)


def _variant_table(fit: LawFit) -> TextTable:
    header = ["variant", "parameters", "AICc", "rms", "error at the largest size"]
    rows = [
        [
            each.variant,
            str(each.parameters),
            *(_number(number, 2) for number in (each.aicc, each.rms, each.extrapolation_error)),
        ]
        for each in fit.candidates[:SHOWN]
    ]
    left = len(fit.candidates) - SHOWN
    more = f" ({left} more in the JSON)" if left > 0 else ""
    return TextTable(f"variants, the chosen one first{more}", header, rows)


def _extrapolation_table(fit: LawFit) -> TextTable:
    header = ["language", "size", "fitted up to", "measured", "predicted [95%]", "error"]
    rows = [
        [
            each.language,
            *(f"{size:,}" for size in (each.size, each.smaller)),
            _number(each.measured, 1),
            _interval(each.predicted, 1),
            f"{each.error:+.2f}",
        ]
        for each in fit.extrapolation
    ]
    return TextTable("the largest size, predicted from the smaller ones", header, rows)


def _share_row(share: Share) -> list[str]:
    interval = "" if share.low is None or share.high is None else f"{share.low:,.0f} - {share.high:,.0f}"
    counts = ["" if each is None else f"{each:,}" for each in (share.tokens, share.available)]
    is_score = 0.0 <= share.score.value <= TOP
    marked = f"{_interval(share.score, 1)}{' *' if share.extrapolated else ''}" if is_score else "none"
    return [share.language, f"{share.rows:,}", interval, *counts, marked, share.limit or ""]


def _rival_row(rival: Rival, *, doubted: bool) -> list[str]:
    if doubted:
        return [rival.name, *(f"{each:,}" for each in rival.rows), "", "", "no verdict"]
    gain = f"{rival.gain.value:+.2f} [{_number(rival.gain.low, 2)}, {_number(rival.gain.high, 2)}]"
    verdict = "within noise" if not rival.certain else "ahead of it" if rival.gain.value > 0 else "behind it"
    if abs(rival.gain.value) < _SHOWN_GAIN:
        verdict = "no difference"
    return [rival.name, *(f"{each:,}" for each in rival.rows), _number(rival.score, 2), gain, verdict]


def _interval(bounded: Bounded, digits: int) -> str:
    if bounded.low is None or bounded.high is None:
        return _number(bounded.value, digits)
    return f"{bounded.value:.{digits}f} [{bounded.low:.{digits}f}, {bounded.high:.{digits}f}]"


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"
