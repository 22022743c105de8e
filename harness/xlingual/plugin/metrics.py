"""What a metric fulfils."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

from ..records import Example, Response, Statistics

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FloatArray: TypeAlias = "NDArray[np.float64]"
Bounds: TypeAlias = tuple[float | None, float | None]
SHARE: Bounds = (0.0, 100.0)
"""The bounds of shares in per cent, and of most scores."""


class Metric(Protocol):
    """A metric as per-example statistics and an aggregation of their sums, so that every interval is cheap."""

    @property
    def name(self) -> str:
        """As in `TaskSpec.metrics`."""
        ...

    @property
    def higher_is_better(self) -> bool:
        """False for rates of failure."""
        ...

    @property
    def bounds(self) -> Bounds:
        """The smallest and the largest score that there can be, None where there is none: (0.0, 100.0) for shares."""
        ...

    def missing(self, language: str) -> str | None:
        """Return why the metric cannot be computed for answers in `language` on this machine, or None."""
        ...

    def signature(self, language: str) -> str:
        """Name every choice that changes the number, versions included."""
        ...

    def measure(self, example: Example, response: Response) -> Statistics | None:
        """Return what the answered example adds, or None where it cannot be judged; never called for a failure."""
        ...

    def combine(self, sums: FloatArray) -> FloatArray:
        """Turn summed statistics, shape (..., k), into scores within the bounds, shape (...); NaN where undefined."""
        ...


@runtime_checkable
class BatchMetric(Protocol):
    """A Metric that measures many answers at once, since one by one would take far longer: a model judges them."""

    def measure_all(
        self, examples: Sequence[Example], responses: Sequence[Response | None]
    ) -> Sequence[Statistics | None]:
        """Return what every answered example adds; None where there is no answer or it cannot be judged."""
        ...
