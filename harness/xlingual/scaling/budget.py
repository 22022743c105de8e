"""`allocate`: from fitted laws and a budget to the best split, its uncertainty, and its lead over simpler splits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from ..errors import UsageError
from ..plugin import FloatArray
from ..text import did_you_mean
from .allocation import AllocationLimits, Laws, best_mean, best_worst, round_to_rows, spread
from .doubts import doubts_of, impossible_scores
from .fit import bound
from .points import SizeUnit
from .prediction import laws_of_pairs
from .records import ALLOCATION_SCHEMA, Allocation, LanguageLaw, LawFit, Rival, Share

TEMPERATURE = 0.3
"""Exponent of the sizes, as for XLM-R (Conneau et al. 2020) and mT5 (Xue et al. 2021)."""


class Goal(StrEnum):
    """What is to be as high as possible."""

    MEAN = "mean"
    WORST = "worst"


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetOptions:
    """What is to be split, and within which bounds; mappings are by language code."""

    budget: int
    unit: SizeUnit = SizeUnit.PAIRS
    goal: Goal = Goal.MEAN
    weights: Mapping[str, float] | None = None
    """Of the scores in the mean; a language that is not named weighs 1."""
    available: Mapping[str, int] | None = None
    """Pairs there are; a language that is not named has no limit."""
    at_least: int = 0
    """Pairs that every language gets."""
    max_epochs: float = 1.0
    """How often the available pairs may be repeated. The law takes a repeated pair for a new one, which holds up to
    about four times (Muennighoff et al. 2023)."""
    tokens_per_pair: Mapping[str, float] | None = None
    """Instead of what the measurements say."""


def allocate(fit: LawFit, options: BudgetOptions) -> Allocation:
    """Return the split of the budget that `fit` predicts the best score for.

    Raises UsageError for bounds that cannot be kept, and where tokens are asked for and not known.
    """
    codes = [law.language for law in fit.laws]
    _check_codes(codes, options)
    notes: list[str] = []
    needs_tokens = SizeUnit.TOKENS in (options.unit, fit.unit)
    tokens = np.array([_tokens(law, options, needed=needs_tokens) for law in fit.laws])
    limits = _limits(codes, options, tokens)
    weights = np.array([1.0 if options.weights is None else options.weights.get(code, 1.0) for code in codes])
    if not weights.sum() > 0:
        raise UsageError("all weights are 0", where="--weight")
    fitted, drawn = laws_of_pairs(fit, tokens)
    plan = _Plan(fitted=fitted, drawn=drawn, limits=limits, weights=weights / weights.sum(), goal=options.goal)
    rows = round_to_rows(plan.solve(fitted), limits)
    if sum(rows * limits.costs) < options.budget - limits.costs.max():
        notes.append(f"{options.budget - sum(rows * limits.costs):,.0f} {options.unit} are left: there is no more data")
    shares = _shares(fit, plan, rows, options)
    if outside := [share.language for share in shares if share.extrapolated]:
        notes.append(f"outside the measured sizes (*), where the law extrapolates: {', '.join(outside)}")
    score, draws = plan.value(np.array(rows, dtype=np.float64))
    rivals = _rivals(plan, rows, codes, options, notes)
    return Allocation(
        schema=ALLOCATION_SCHEMA,
        metric=fit.metric,
        goal=options.goal,
        budget=options.budget,
        budget_unit=options.unit,
        score=bound(score, draws),
        shares=shares,
        rivals=rivals,
        notes=tuple(notes),
        doubts=_doubts(fit, plan, [rows, *(rival.rows for rival in rivals)]),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """The problem as arrays."""

    fitted: Laws
    drawn: Laws
    limits: AllocationLimits
    weights: FloatArray
    """By language, summing to 1."""
    goal: Goal

    def solve(self, laws: Laws) -> FloatArray:
        """Return the best pairs under `laws`, of their shape."""
        if self.goal is Goal.WORST:
            return best_worst(laws, self.limits)
        return best_mean(laws, self.weights, self.limits)

    def value(self, pairs: FloatArray) -> tuple[float, FloatArray]:
        """Return the goal at `pairs`, shape (n,), under the fitted laws, and under each of the drawn ones."""
        scores = [laws.scores(np.maximum(pairs, 1.0)) for laws in (self.fitted, self.drawn)]
        if self.goal is Goal.WORST:
            return float(scores[0].min()), np.asarray(scores[1].min(axis=-1))
        return float(scores[0] @ self.weights), np.asarray(scores[1] @ self.weights)


def _doubts(fit: LawFit, plan: _Plan, splits: Sequence[Sequence[int]]) -> tuple[str, ...]:
    """Return why the laws give no verdict on these splits: they hold nothing, or predict what is no score."""
    doubts = list(doubts_of(fit))
    codes = [law.language for law in fit.laws]
    outside: dict[str, float] = {}
    for rows in splits:
        scores = plan.fitted.scores(np.maximum(np.array(rows, dtype=np.float64), 1.0))
        predicted = dict(zip(codes, scores.tolist(), strict=True))
        outside.update({code: predicted[code] for code in impossible_scores(predicted)})
    doubts += [f"{code}: {score:.1f} is predicted for a split, which is no score" for code, score in outside.items()]
    return tuple(doubts)


def _check_codes(codes: Sequence[str], options: BudgetOptions) -> None:
    named = {
        "--weight": options.weights,
        "--available": options.available,
        "--tokens-per-pair": options.tokens_per_pair,
    }
    for where, mapping in named.items():
        if unknown := [code for code in mapping or () if code not in codes]:
            raise UsageError(f"no law of {unknown[0]!r}", where=where, hint=did_you_mean(unknown[0], codes))


def _tokens(law: LanguageLaw, options: BudgetOptions, *, needed: bool) -> float:
    """Return the target tokens of a pair; NaN where they are not known nor needed."""
    given = None if options.tokens_per_pair is None else options.tokens_per_pair.get(law.language)
    found = law.tokens_per_pair if given is None else given
    if found is None and needed:
        hint = f"--tokens-per-pair {law.language}=N, or points with a column tokens"
        raise UsageError(f"the tokens of a pair in {law.language} are not known", hint=hint)
    return float("nan") if found is None else found


def _limits(codes: Sequence[str], options: BudgetOptions, tokens: FloatArray) -> AllocationLimits:
    available = options.available or {}
    upper = np.array([available[code] * options.max_epochs if code in available else np.inf for code in codes])
    lower = np.minimum(np.full(len(codes), float(options.at_least)), upper)
    costs = tokens if options.unit is SizeUnit.TOKENS else np.ones(len(codes))
    limits = AllocationLimits(budget=float(options.budget), costs=costs, lower=lower, upper=upper)
    limits.check()
    return limits


def _shares(fit: LawFit, plan: _Plan, rows: Sequence[int], options: BudgetOptions) -> tuple[Share, ...]:
    pairs = np.maximum(np.array(rows, dtype=np.float64), 1.0)
    values, draws = plan.fitted.scores(pairs), plan.drawn.scores(pairs)
    best = plan.solve(plan.drawn)
    shares = []
    for index, (law, count) in enumerate(zip(fit.laws, rows, strict=True)):
        interval = bound(float(count), best[:, index])
        tokens = _tokens(law, options, needed=False)
        size = count if fit.unit is SizeUnit.PAIRS else count * tokens
        limits = plan.limits
        at_upper, at_lower = count >= np.floor(limits.upper[index]), count <= np.ceil(limits.lower[index])
        shares.append(
            Share(
                language=law.language,
                rows=count,
                low=interval.low,
                high=interval.high,
                tokens=None if np.isnan(tokens) else round(count * tokens),
                available=(options.available or {}).get(law.language),
                score=bound(float(values[index]), draws[:, index]),
                extrapolated=not law.smallest <= size <= law.largest,
                limit="upper" if at_upper else "lower" if at_lower else None,
            )
        )
    return tuple(shares)


def _rivals(
    plan: _Plan, rows: Sequence[int], codes: Sequence[str], options: BudgetOptions, notes: list[str]
) -> tuple[Rival, ...]:
    """Return the usual splits of the same budget; a split that is in proportion to sizes needs them all."""
    even = np.ones(len(codes))
    splits = [("uniform", spread(even, plan.limits, surplus=False))]
    available = options.available or {}
    if all(code in available for code in codes):
        sizes = np.array([float(available[code]) for code in codes])
        splits.append(("proportional", spread(sizes, plan.limits, surplus=False)))
        splits.append((f"temperature {TEMPERATURE}", spread(sizes**TEMPERATURE, plan.limits, surplus=False)))
        splits.append(("UniMax", spread(even, plan.limits, surplus=True)))
    else:
        notes.append("no proportional, temperature and UniMax splits: they need --available of every language")
    mine = plan.value(np.array(rows, dtype=np.float64))
    rivals = []
    for name, pairs in splits:
        whole = round_to_rows(pairs, _unbounded_below(plan.limits))
        score, draws = plan.value(np.array(whole, dtype=np.float64))
        gain = bound(mine[0] - score, mine[1] - draws)
        rivals.append(Rival(name=name, rows=tuple(whole), score=score, gain=gain))
    return tuple(rivals)


def _unbounded_below(limits: AllocationLimits) -> AllocationLimits:
    return AllocationLimits(
        budget=limits.budget, costs=limits.costs, lower=np.zeros_like(limits.lower), upper=limits.upper
    )
