"""Fits the translation scaling law to measured points: choice of the variant, intervals, test on the largest size."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..estimate import LEVEL
from ..plugin import FloatArray
from .choices import choose_similarities
from .laws import LawCurve, Ties, Variant, all_variants, log_offset
from .least_squares import Solution, fit_curve, refit, robust_softness, robust_sum
from .measurements import Measurements, gather
from .points import Point, SizeUnit
from .records import FIT_SCHEMA, Bounded, Candidate, Draws, Extrapolation, LanguageLaw, LawFit

RESAMPLES = 1000
_DIGITS = 7
"""Of the numbers that are kept of each draw."""
_TINY = 1e-12
_AS_GOOD = 2.0
"""Of AICc."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FitOptions:
    """How to fit; None of a tie: chosen by AICc."""

    unit: SizeUnit = SizeUnit.PAIRS
    metric: str | None = None
    """None: the only one in the table."""
    alpha: Ties | None = None
    beta: Ties | None = None
    ceiling: Ties | None = None
    similarities: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Tables by name, each of every language's similarity to English, from 0 (nothing in common) to 1: what gamma may
    be, beside 1. AICc chooses among them, and whether there is any."""
    test_largest: bool = True
    """Whether to fit once more without the largest sizes and predict them."""
    resamples: int = RESAMPLES
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _VariantFit:
    """One variant's fit: one part a language where nothing is shared, else one part for all."""

    table: Measurements
    """With the gammas that it was fitted with."""
    variant: Variant
    similarity: str | None
    """Name of the table of gammas; None: gamma is 1."""
    curves: tuple[LawCurve, ...]
    members: tuple[NDArray[np.intp], ...]
    """The rows of the table in each part."""
    solutions: tuple[Solution, ...]


def fit_laws(points: Sequence[Point], options: FitOptions) -> LawFit:
    """Fit the law to `points` and choose its variant by AICc among those that `options` leave open.

    Intervals are from a parametric bootstrap: normal noise around the fitted curve, whose standard deviation is itself
    drawn from what so few residuals can tell of it (scaled inverse chi-square). For a straight line this is exactly
    Student's interval, and it stays honest with eight points and three parameters, where resampling the points
    themselves loses whole sizes. They hold the luck of training, not that of the sentences that all points are scored
    on, and they take the chosen variant for the true one.

    Raises DataError for too few sizes and UsageError for options that do not fit the table.
    """
    table = gather(points, options.unit, options.metric)
    fits = _fit_all(table, options)
    candidates = _judge(fits, test_largest=options.test_largest)
    order = _order(candidates)
    best = fits[order[0]]
    generator = np.random.Generator(np.random.PCG64(options.seed))
    drawn = _draw(best, options.resamples, generator)
    return LawFit(
        schema=FIT_SCHEMA,
        metric=table.metric,
        unit=options.unit,
        unit_size=table.unit_size,
        variant=best.variant,
        r2=_r2(best, None),
        laws=tuple(_language_law(best, index, each) for index, each in enumerate(drawn)),
        candidates=tuple(candidates[index] for index in order),
        extrapolation=_extrapolate(best, options.resamples, generator) if options.test_largest else (),
        notes=table.notes,
        points=table.points,
        resamples=options.resamples,
        seed=options.seed,
        similarities=choose_similarities(candidates, candidates[order[0]], list(options.similarities)) or None,
    )


def _fit_all(table: Measurements, options: FitOptions) -> list[_VariantFit]:
    """Return the fits of all variants that the options leave open, those with gamma once for each similarity."""
    tables = {name: table.with_gammas(each) for name, each in options.similarities.items()}
    fits = []
    for variant in _allowed(table, options):
        if variant.similarity:
            fits += [_fit_variant(each, variant, name) for name, each in tables.items()]
        else:
            fits.append(_fit_variant(table, variant, None))
    return fits


def _allowed(table: Measurements, options: FitOptions) -> list[Variant]:
    """Return the variants that the options leave open and the sizes can tell apart."""
    count = len(table.codes)
    named = {"alpha": options.alpha, "beta": options.beta, "ceiling": options.ceiling}
    if count == 1:
        named = {name: Ties.OWN if tie is Ties.SHARED else tie for name, tie in named.items()}
    fitting = [
        variant
        for variant in all_variants(count, similarity=bool(options.similarities))
        if all(tie is None or getattr(variant, name) is tie for name, tie in named.items())
    ]
    if not fitting:
        raise UsageError("there is no such variant of the law", hint="alpha and beta are own or shared")
    sizes = table.distinct_sizes()
    allowed = [variant for variant in fitting if _own_parameters(variant) < min(sizes)]
    if not allowed:
        needed = min(_own_parameters(variant) for variant in fitting) + 1
        code = table.codes[int(np.argmin(sizes))]
        what = f"{code} was measured at {min(sizes)} sizes, and this variant needs {needed}"
        raise UsageError(what, hint="fix the ceiling, share parameters, or measure more sizes")
    return allowed


def _own_parameters(variant: Variant) -> int:
    return (variant.alpha, variant.beta, variant.ceiling).count(Ties.OWN)


def _fit_variant(table: Measurements, variant: Variant, similarity: str | None) -> _VariantFit:
    logs = table.log_sizes(similarity=variant.similarity)
    if variant.separable:
        members = [np.flatnonzero(table.languages == each) for each in range(len(table.codes))]
        curves = [_one_curve(logs[rows], variant, table.floors[[each]]) for each, rows in enumerate(members)]
    else:
        members = [np.arange(len(logs))]
        curve = LawCurve(
            log_sizes=logs, languages=table.languages, count=len(table.codes), variant=variant, floors=table.floors
        )
        curves = [curve]
    solutions = [
        fit_curve(curve, table.scores[rows], table.weights[rows], curve.starts(table.scores[rows]))
        for curve, rows in zip(curves, members, strict=True)
    ]
    return _VariantFit(
        table=table,
        variant=variant,
        similarity=similarity,
        curves=tuple(curves),
        members=tuple(members),
        solutions=tuple(solutions),
    )


def _one_curve(log_sizes: FloatArray, variant: Variant, floors: FloatArray) -> LawCurve:
    languages: NDArray[np.intp] = np.zeros(len(log_sizes), dtype=np.intp)
    return LawCurve(log_sizes=log_sizes, languages=languages, count=1, variant=variant, floors=floors)


def _judge(fits: Sequence[_VariantFit], *, test_largest: bool) -> list[Candidate]:
    """Return the criterion of every fit, all under the softness of the richest, so that they can be compared.

    AICc (Hurvich and Tsai 1989) of residuals under soft_l1 (robust as in Ronchetti 1985); the noise counts as a
    parameter.
    """
    residuals = [_residuals(fit) for fit in fits]
    sizes = [sum(len(each.parameters) for each in fit.solutions) for fit in fits]
    n = len(residuals[0])
    richest = int(np.argmax(sizes))
    softness = robust_softness(residuals[richest], sizes[richest])
    candidates = []
    for fit, left, parameters in zip(fits, residuals, sizes, strict=True):
        k = parameters + 1
        mean = max(float(robust_sum(left, softness)) / n, _TINY)
        aicc = n * float(np.log(mean)) + 2 * k + 2 * k * (k + 1) / (n - k - 1) if n - k - 1 > 0 else None
        rms = float(np.sqrt(np.mean(left**2)))
        error = _mean_error(fit) if test_largest else None
        candidates.append(
            Candidate(
                variant=fit.variant.name_with(fit.similarity),
                parameters=parameters,
                aicc=aicc,
                rms=rms,
                extrapolation_error=error,
                similarity=fit.similarity,
            )
        )
    return candidates


def _residuals(fit: _VariantFit) -> FloatArray:
    residuals: FloatArray = np.empty(len(fit.table.scores))
    for rows, solution in zip(fit.members, fit.solutions, strict=True):
        residuals[rows] = solution.residuals
    return residuals


def _order(candidates: Sequence[Candidate]) -> list[int]:
    """Return the candidates, best AICc first, but before all the simplest of those that are as good as the best.

    Within two units the data do not tell models apart (Burnham and Anderson 2002), and the criterion by itself likes
    parameters too much where so many variants are tried. Of two with as many parameters, the one without a similarity
    is the simpler.
    """
    values = [np.inf if each.aicc is None else each.aicc for each in candidates]
    order = sorted(range(len(candidates)), key=lambda index: (values[index], candidates[index].parameters))
    as_good = [index for index in order if values[index] <= values[order[0]] + _AS_GOOD]
    first = min(as_good, key=lambda index: (candidates[index].parameters, candidates[index].similarity is not None))
    return [first, *(index for index in order if index != first)]


def _r2(fit: _VariantFit, language: int | None) -> float | None:
    """Return the share of the variance within languages that the fit explains, of all or of one of them."""
    table = fit.table
    left = _residuals(fit) / table.weights
    means = np.array([table.scores[table.languages == each].mean() for each in range(len(table.codes))])
    around = table.scores - means[table.languages]
    rows = slice(None) if language is None else table.languages == language
    total = float(np.sum(around[rows] ** 2))
    return 1.0 - float(np.sum(left[rows] ** 2)) / total if total > _TINY else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Drawn:
    """One language's alpha, beta and ceiling as fitted, and in every bootstrap fit."""

    values: tuple[float, float, float]
    draws: tuple[FloatArray, FloatArray, FloatArray]
    noise: float
    noises: FloatArray
    """The standard deviation that each draw was made with."""


def _draw(fit: _VariantFit, resamples: int, generator: np.random.Generator) -> list[_Drawn]:
    """Return the languages of the table, each with fits to redrawn scores."""
    table, languages = fit.table, []
    for curve, rows, solution in zip(fit.curves, fit.members, fit.solutions, strict=True):
        spread = generator.chisquare(solution.freedom, size=resamples)
        noises: FloatArray = solution.noise * np.sqrt(solution.freedom / spread)
        wander = noises[:, np.newaxis] * generator.standard_normal((resamples, len(rows))) / table.weights[rows]
        scores = curve.values(solution.parameters) + wander
        start = solution.parameters[np.newaxis]
        drawn = curve.unpack(refit(curve, scores, table.weights[rows], start, solution.softness))
        values = curve.unpack(solution.parameters)
        for each in range(curve.count):
            alpha, beta, ceiling = (float(part[each]) for part in values)
            draws = (drawn[0][:, each], drawn[1][:, each], drawn[2][:, each])
            languages.append(_Drawn(values=(alpha, beta, ceiling), draws=draws, noise=solution.noise, noises=noises))
    return languages


def _language_law(fit: _VariantFit, language: int, drawn: _Drawn) -> LanguageLaw:
    table = fit.table
    rows = table.languages == language
    alpha, beta, ceiling = (bound(value, draws) for value, draws in zip(drawn.values, drawn.draws, strict=True))
    if fit.variant.ceiling is Ties.FIXED:
        ceiling = replace(ceiling, low=None, high=None)
    counted = [point for point, kept in zip(table.points, rows, strict=True) if kept and point.tokens is not None]
    pairs = sum(point.pairs for point in counted)
    kept = [tuple(float(f"{value:.{_DIGITS}g}") for value in each) for each in drawn.draws]
    return LanguageLaw(
        language=table.codes[language],
        alpha=alpha,
        beta=beta,
        ceiling=ceiling,
        gamma=float(table.gammas[language]) if fit.variant.similarity else 1.0,
        count=int(rows.sum()),
        smallest=int(table.sizes[rows].min()),
        largest=int(table.sizes[rows].max()),
        r2=_r2(fit, language),
        noise=drawn.noise,
        tokens_per_pair=sum(point.tokens or 0 for point in counted) / pairs if pairs else None,
        draws=Draws(alpha=kept[0], beta=kept[1], ceiling=kept[2]),
        floor=None if np.isnan(table.floors[language]) else float(table.floors[language]),
    )


def bound(value: float, draws: FloatArray) -> Bounded:
    """Return `value` with the interval that holds 95% of `draws`."""
    tail = (100.0 - LEVEL) / 2
    # Of m draws the i-th is the i / (m + 1) quantile: other conventions make intervals of few draws too narrow.
    low, high = np.percentile(draws, [tail, 100.0 - tail], method="weibull")
    return Bounded(value=value, low=float(low), high=float(high))


def _without_largest(whole: _VariantFit) -> tuple[NDArray[np.bool_], _VariantFit | None]:
    """Return which rows are of the largest size of their language, and the fit without them, or None for too few."""
    table, variant = whole.table, whole.variant
    largest = np.array([table.sizes[table.languages == each].max() for each in range(len(table.codes))])
    left_out = table.sizes == largest[table.languages]
    rest = table.only(~left_out)
    counts = np.bincount(rest.languages, minlength=len(table.codes))
    own = _own_parameters(variant)
    enough = min(rest.distinct_sizes()) >= max(own, 2) and (
        counts.min() > own if variant.separable else counts.sum() > variant.count(len(counts))
    )
    return left_out, _fit_variant(rest, variant, whole.similarity) if enough else None


def _mean_error(whole: _VariantFit) -> float | None:
    """Return the mean absolute error of the scores at the largest sizes, predicted from the smaller ones only."""
    table = whole.table
    left_out, fit = _without_largest(whole)
    if fit is None:
        return None
    parts = [curve.unpack(each.parameters) for curve, each in zip(fit.curves, fit.solutions, strict=True)]
    alpha, beta, ceiling = (np.concatenate(each) for each in zip(*parts, strict=True))
    rows = table.languages[left_out]
    x = np.exp(table.log_sizes(similarity=whole.variant.similarity)[left_out])
    return float(np.abs(_scores(alpha, beta, ceiling, table.floors, rows, x) - table.scores[left_out]).mean())


def _scores(
    alpha: FloatArray, beta: FloatArray, ceiling: FloatArray, floors: FloatArray, rows: NDArray[np.intp], x: FloatArray
) -> FloatArray:
    """Return the scores of the laws of languages `rows` at the sizes `x`, both (n,)."""
    offsets = log_offset(np.log(alpha[rows]), beta[rows], ceiling[rows], floors[rows])
    return np.asarray(ceiling[rows] - alpha[rows] * np.exp(-beta[rows] * np.logaddexp(np.log(x), offsets)))


def _extrapolate(whole: _VariantFit, resamples: int, generator: np.random.Generator) -> tuple[Extrapolation, ...]:
    """Predict the largest size of every language from the smaller ones, and set it beside what was measured."""
    table = whole.table
    left_out, fit = _without_largest(whole)
    if fit is None:
        return ()
    rest = fit.table
    logs = table.log_sizes(similarity=whole.variant.similarity)
    found = []
    for language, drawn in enumerate(_draw(fit, resamples, generator)):
        rows = left_out & (table.languages == language)
        x = float(np.exp(logs[rows][0]))
        alpha, beta, ceiling = drawn.values
        alphas, betas, ceilings = drawn.draws
        spread = drawn.noises * float(np.sqrt(np.sum(table.weights[rows] ** -2.0))) / int(rows.sum())
        floor = table.floors[language]
        logs_with = np.logaddexp(np.log(x), log_offset(np.log(alphas), betas, ceilings, np.full(resamples, floor)))
        new = ceilings - alphas * np.exp(-betas * logs_with) + spread * generator.standard_normal(resamples)
        one = (np.array([alpha]), np.array([beta]), np.array([ceiling]), np.array([floor]))
        predicted = float(_scores(*one, np.zeros(1, dtype=np.intp), np.array([x]))[0])
        found.append(
            Extrapolation(
                language=table.codes[language],
                size=int(table.sizes[rows][0]),
                smaller=int(rest.sizes[rest.languages == language].max()),
                measured=float(table.scores[rows].mean()),
                predicted=bound(predicted, new),
            )
        )
    return tuple(found)
