"""Two models on the same sentences, before and after: differences by layer, paired by sentence."""

from collections.abc import Sequence

import numpy as np

from ...errors import UsageError
from .effects import certain_from_zero, draw_weights, intervals
from .measures import MEASURES
from .records import MEAN, DifferenceCurve, Effects, LayerCurve, SpaceComparison, SpaceRecord


def compare_spaces(first: SpaceRecord, second: SpaceRecord) -> SpaceComparison:
    """Return the second less the first, measure by measure; UsageError where they cannot be compared layer by layer."""
    if (why := incomparable(first, second)) is not None:
        raise UsageError(f"{first.model.name} and {second.model.name}: {why}", hint="analyse both in one command")
    weights = draw_weights(first.sentences, first.seed)
    before, after = _by_measure(first.effects), _by_measure(second.effects)
    curves = []
    for key, effects in before.items():
        if key not in after:
            continue
        changes = np.array(after[key].values) - np.array(effects.values)
        values = _values(second.curves, *key) - _values(first.curves, *key)
        low, high = intervals(values, changes, weights, (None, None))
        curves.append(
            DifferenceCurve(
                measure=key[0],
                pooling=key[1],
                values=tuple(values.tolist()),
                low=tuple(low.tolist()),
                high=tuple(high.tolist()),
                certain=tuple(certain_from_zero(values, changes).tolist()),
            )
        )
    return SpaceComparison(first=first.model.name, second=second.model.name, curves=tuple(curves))


def incomparable(first: SpaceRecord, second: SpaceRecord) -> str | None:
    """Return why two analyses cannot be compared layer by layer, None where they can."""
    if first.data != second.data:
        return "they were shown other sentences"
    if first.layers != second.layers:
        return f"one has {first.layers} layers, the other {second.layers}"
    if not set(first.poolings) & set(second.poolings):
        return "their vectors are pooled differently"
    return None


def _by_measure(effects: Sequence[Effects]) -> dict[tuple[str, str], Effects]:
    return {(each.measure, each.pooling): each for each in effects if each.measure in MEASURES}


def _values(curves: Sequence[LayerCurve], measure: str, pooling: str) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    found = find_curve(curves, measure, pooling)
    return np.array(() if found is None else found.values, dtype=np.float64)


def find_curve(
    curves: Sequence[LayerCurve], measure: str, pooling: str, scope: str = MEAN, *, shuffled: bool = False
) -> LayerCurve | None:
    """Return the curve of a measure, None where there is none."""
    wanted = (measure, pooling, scope, shuffled)
    return next((each for each in curves if (each.measure, each.pooling, each.scope, each.shuffled) == wanted), None)
