"""When a fit holds nothing: what is wrong with a law, in words, before anything is predicted by it.

    zh: scores fall with more data, from 12.1 at 1,000 to 8.0 at 64,000 pairs: not this language
    hi: all 8 scores are 0.0: nothing to fit
    tr: the law explains less than the mean score does (R2 -0.26)

A law that is doubted is still shown. It gives no verdict: `scale allocate` names no winner by it.
"""

from collections.abc import Iterator

from .laws import TOP
from .points import Point, SizeUnit
from .records import LanguageLaw, LawFit

_FLAT = 1e-9
"""Points between the lowest and the highest score, at most, where nothing varies."""
_RATES = (0.0026, 5.9)
"""A rate outside of these is at the end of what is searched."""
_ROUNDING = 0.05
"""Points: what is nearer to 0 or 100 is shown as it."""
_HIGHEST_CEILING = 99.99
"""The ceiling that is searched ends here, below 100."""


def doubts_of(fit: LawFit) -> tuple[str, ...]:
    """Return what is wrong with the laws of a fit, a line each; () where nothing is."""
    return tuple(line for law in fit.laws for line in _doubts(fit, law))


def _doubts(fit: LawFit, law: LanguageLaw) -> Iterator[str]:
    points = [point for point in fit.points if point.language == law.language]
    scores = [point.score for point in points]
    if max(scores) - min(scores) <= _FLAT:
        yield f"{law.language}: all {len(scores)} scores are {scores[0]:.1f}: nothing to fit"
        return
    (first, low), (last, high) = _ends(points, fit.unit)
    if high <= low:
        what = "fall with" if high < low else "do not grow with"
        yield (
            f"{law.language}: scores {what} more data, from {low:.1f} at {first:,} to {high:.1f} at {last:,} "
            f"{fit.unit.value}: not this language"
        )
    elif law.floor is not None and law.ceiling.value <= law.floor:
        yield (
            f"{law.language}: more data leads to {law.ceiling.value:.1f}, "
            f"and the untuned model scores {law.floor:.1f}: not this law"
        )
    elif law.r2 is not None and law.r2 < 0.0:
        yield f"{law.language}: the law explains less than the mean score does (R2 {law.r2:.2f})"
    elif not _RATES[0] < law.beta.value < _RATES[1]:
        end = "lower" if law.beta.value < 1.0 else "upper"
        yield f"{law.language}: beta {law.beta.value:.4f} is at the {end} end of what is searched: no such law is seen"
    elif law.ceiling.low is not None and law.ceiling.value > _HIGHEST_CEILING:
        yield f"{law.language}: the ceiling is at the upper end of what is searched: none is seen, fix it at {TOP:g}"


def _ends(points: list[Point], unit: SizeUnit) -> tuple[tuple[int, float], tuple[int, float]]:
    """Return the smallest and the largest size, each with the mean of its scores."""
    sizes: dict[int, list[float]] = {}
    for point in points:
        sizes.setdefault(point.pairs if unit is SizeUnit.PAIRS else point.tokens or 0, []).append(point.score)
    first, last = min(sizes), max(sizes)
    return (first, sum(sizes[first]) / len(sizes[first])), (last, sum(sizes[last]) / len(sizes[last]))


def impossible_scores(scores: dict[str, float]) -> list[str]:
    """Return the languages whose predicted scores are none: below 0 or above 100, beyond rounding."""
    return [code for code, score in scores.items() if not -_ROUNDING <= score <= TOP + _ROUNDING]
