"""Whether a similarity to English has a part in the law: both AICc values side by side, and what was chosen."""

from collections.abc import Sequence

import numpy as np

from .records import Candidate, LawFit, SimilarityChoice


def choose_similarities(
    candidates: Sequence[Candidate], chosen: Candidate, names: Sequence[str]
) -> tuple[SimilarityChoice, ...]:
    """Return, for each similarity that was tried, the best variant with it beside the best without any.

    () where a law without a similarity, or with it, was not left open.
    """
    without = _best([each for each in candidates if each.similarity is None])
    found = []
    for name in names:
        best = _best([each for each in candidates if each.similarity == name])
        if best is None or without is None:
            continue
        found.append(
            SimilarityChoice(
                name=name,
                is_chosen=chosen.similarity == name,
                aicc_with=best.aicc,
                aicc_without=without.aicc,
                variant_with=best.variant,
                variant_without=without.variant,
                parameters_with=best.parameters,
                parameters_without=without.parameters,
            )
        )
    return tuple(found)


def _best(candidates: Sequence[Candidate]) -> Candidate | None:
    """Return the candidate of the lowest AICc; without any such number, the one of the fewest parameters."""
    return min(candidates, key=lambda each: (np.inf if each.aicc is None else each.aicc, each.parameters), default=None)


def similarity_lines(fit: LawFit, names: Sequence[str]) -> list[str]:
    """Return a line on each of the similarities `names`: both AICc values and the choice, or that none was tried."""
    found = {each.name: each for each in fit.similarities or ()}
    return [
        _line(found[name], len(fit.points))
        if name in found
        else f"similarity {name}: not compared: it takes several languages that may share alpha, or not"
        for name in names
    ]


def _line(choice: SimilarityChoice, n: int) -> str:
    values = (
        f"AICc {_number(choice.aicc_with, choice.parameters_with, n)} with it ({choice.variant_with}), "
        f"{_number(choice.aicc_without, choice.parameters_without, n)} without ({choice.variant_without})"
    )
    return f"similarity {choice.name}: {'kept' if choice.is_chosen else 'left out'}: {values}"


def _number(value: float | None, parameters: int, n: int) -> str:
    """Return a value; where there is none, why: k counts the noise as a parameter, and n - k - 1 must be above 0."""
    return f"{value:.2f}" if value is not None else f"none, for n = {n} is too few for k = {parameters + 1},"
