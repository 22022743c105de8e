"""Which metrics are rates: means of scores from 0 to 1, whose intervals need no resamples."""

import numpy as np

from ..plugin import FloatArray
from .resampling import Combines

_ROUNDING = 1e-9


def is_share(metric: Combines, values: FloatArray) -> bool:
    """Return whether `metric` is 100 times the mean of scores from 0 to 1, one an example.

    Asked of the numbers rather than of the class, so that it is true of metrics of lm-eval's and of plugins, too.
    `values` are the examples' statistics, shape (examples, k): (score, 1.0) each.
    """
    if values.shape[1] != 2 or not np.all(values[:, 1] == 1.0):
        return False
    if values[:, 0].min() < -_ROUNDING or values[:, 0].max() > 1 + _ROUNDING:
        return False
    probes = np.array([[0.0, 3.0], [1.0, 4.0], [5.0, 7.0], [2.0, 2.0]])
    return bool(np.allclose(metric.combine(probes), 100 * probes[:, 0] / probes[:, 1], rtol=0, atol=1e-6))
