"""Length ratios: characters of the target to those of the source, against the median of the source of pairs.

The median takes the place of a table of languages: Chinese has a third of the characters of its English, and a source
of such pairs has that as its median.
"""

import math
from collections.abc import Sequence

from .records import Quantiles

FAR = 4.0
"""A ratio this factor away from the median is counted."""


def log_ratio(source: str, target: str) -> float:
    """Return the natural logarithm of the ratio of characters, target to source."""
    return math.log(max(len(target.strip()), 1) / max(len(source.strip()), 1))


def median(values: Sequence[float]) -> float:
    """Return the lower median of one value or more."""
    return sorted(values)[(len(values) - 1) // 2]


def is_far(value: float, middle: float, factor: float) -> bool:
    """Return whether a logarithm of a ratio is more than `factor` away from `middle`, either way."""
    return abs(value - middle) > math.log(factor) + 1e-12


def quantiles(values: Sequence[float]) -> Quantiles:
    """Return the distribution of one value or more."""
    ordered = sorted(values)

    def at(share: float) -> float:
        return ordered[round(share * (len(ordered) - 1))]

    return Quantiles(least=at(0), q05=at(0.05), median=at(0.5), q95=at(0.95), most=at(1))
