"""Metrics of plugins: made of what `register_metric` took, behind the border that `plugin_checks` is for the rest."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import cast

from ..errors import PluginError
from ..plugin import Bounds, FloatArray, Metric
from ..plugin_code import PluginCode
from ..records import Example, Response, Statistics
from ..registry import METRICS, Registered
from .mean import MeanMetric

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+@-]*")
_MEMBERS = ("missing", "signature", "measure", "combine")
_MEASURE_HINT = "(score, 1.0) for a mean; an answer that cannot be judged has None"
_ROUNDING = 1e-6
"""So much a score may lie beyond its bounds: sums of fractions do."""


@dataclass(frozen=True, slots=True)
class PluginMetric:
    """A Metric that raises a PluginError wherever the metric of a plugin is not as it must be."""

    metric: Metric
    code: PluginCode
    name: str
    higher_is_better: bool
    bounds: Bounds
    exact: bool
    """As of a MeanMetric: whether every score says right or wrong."""

    def missing(self, language: str) -> str | None:
        """Return why the metric cannot be computed for answers in `language`, or None."""
        function = self._made_of("lack", self.metric.missing)
        with self.code.calling(self._doing, function):
            found: object = self.metric.missing(language)
        if found is not None and not isinstance(found, str):
            raise self._fault(f"missing must return a text or None, got {type(found).__name__}", function)
        return found

    def signature(self, language: str) -> str:
        """Name every choice that changes the number."""
        function = self._made_of("describe", self.metric.signature)
        with self.code.calling(self._doing, function):
            found: object = self.metric.signature(language)
        if not isinstance(found, str) or not found.strip():
            raise self._fault("signature must return a text that is not blank", function)
        return found

    def measure(self, example: Example, response: Response) -> Statistics | None:
        """Return what the answered example adds, or None where it cannot be judged."""
        function = self._made_of("judge", self._made_of("count", self.metric.measure))
        doing = f"{self._doing}, example {example.id!r}"
        with self.code.calling(doing, function):
            found = self.metric.measure(example, response)
        if found is None:
            return None
        if not isinstance(found, tuple) or not found or not all(_is_number(each) for each in found):
            what = f"must measure a tuple of finite numbers, or None, got {_shown(found)}"
            raise self.code.fault(what, doing=doing, function=function, hint=_MEASURE_HINT)
        return tuple(float(each) for each in found)

    def combine(self, sums: FloatArray) -> FloatArray:
        """Turn summed statistics, shape (..., k), into scores within the bounds, shape (...)."""
        import numpy as np  # noqa: PLC0415  # `import xlingual` stays without it

        function = self._made_of("formula", self.metric.combine)
        with self.code.calling(self._doing, function):
            found = np.asarray(self.metric.combine(sums))
        if found.shape != sums.shape[:-1] or found.dtype.kind not in "fiu":
            wanted = f"numbers of shape {sums.shape[:-1]} for sums of shape {sums.shape}"
            raise self._fault(f"combine must return {wanted}, got {found.dtype} of shape {found.shape}", function)
        low, high = (None if each is None else float(each) for each in self.bounds)
        outside = (found < (-math.inf if low is None else low - _ROUNDING)) | (
            found > (math.inf if high is None else high + _ROUNDING)
        )
        if outside.any():
            what = f"the score {float(found[outside].flat[0]):.6g} is outside of its bounds {self.bounds}"
            hint = "a judgement is from 0 to 1; bounds=(0.0, None) where a score may exceed 100"
            raise self._fault(what, function, hint=hint)
        return cast(FloatArray, found.astype(np.float64))

    def _made_of(self, name: str, method: object) -> object:
        """Return the function of the plugin's that a MeanMetric or CorpusMetric calls, else its own method."""
        return getattr(self.metric, name, None) or method

    @property
    def _doing(self) -> str:
        return f"metric {self.name}"

    def _fault(self, what: str, function: object, *, hint: str = "") -> PluginError:
        return self.code.fault(what, doing=self._doing, function=function, hint=hint)


def _is_number(value: object) -> bool:
    return not isinstance(value, bool) and isinstance(value, Real) and math.isfinite(value)


def _shown(value: object) -> str:
    return f"{type(value).__name__} {str(value)[:40]}"


def plugin_metric(name: str) -> Metric:
    """Return the metric of that name that a plugin registered, made anew where the plugin has been imported anew.

    Raises UsageError where there is none, PluginError for one that is broken.
    """
    registered = METRICS.find(name)
    if name not in _MADE or _MADE[name][0] is not registered:
        _MADE[name] = (registered, _make(name, registered))
    return _MADE[name][1]


_MADE: dict[str, tuple[object, Metric]] = {}
"""What was registered by a name, and the metric made of it."""


def _make(name: str, registered: Registered[Metric | Callable[[], Metric]]) -> Metric:
    made, code, doing = registered.item, registered.code, f"metric {name}"
    with code.calling(doing, made):
        is_metric = hasattr(made, "measure") and not isinstance(made, type)
        metric = cast(Metric, made) if is_metric else cast(Callable[[], Metric], made)()
    if lacking := [member for member in _MEMBERS if not callable(getattr(metric, member, None))]:
        what = f"{type(metric).__name__} is no Metric: it has no {lacking[0]}()"
        hint = "return a MeanMetric, a CorpusMetric, or an object with all methods of xlingual.Metric"
        raise code.fault(what, doing=doing, function=made, hint=hint)
    with code.calling(doing, made):
        own, better, bounds = metric.name, metric.higher_is_better, getattr(metric, "bounds", (0.0, 100.0))
    if not isinstance(own, str) or not NAME.fullmatch(own):
        raise code.fault(f"the name {own!r} may not be: letters, digits and _ . + @ - do", doing=doing, function=made)
    if own != name:
        what = f"is registered as {name!r} and calls itself {own!r}"
        raise code.fault(what, doing=doing, function=made, hint="both names are one")
    if not isinstance(better, bool):
        raise code.fault(f"higher_is_better must be True or False, got {_shown(better)}", doing=doing, function=made)
    if isinstance(metric, MeanMetric) and not _is_scale(metric.scale):
        what = f"scale must be a finite number other than 0, got {_shown(metric.scale)}"
        raise code.fault(what, doing=doing, function=made)
    if not _are_bounds(bounds):
        what = f"bounds must be two numbers, None for none, the smaller first; got {_shown(bounds)}"
        raise code.fault(what, doing=doing, function=made)
    return PluginMetric(metric, code, own, better, bounds, exact=getattr(metric, "exact", False) is True)


def _is_scale(value: object) -> bool:
    """Whether a mean can be taken so often; a negative scale turns a loss into a score."""
    return not isinstance(value, bool) and isinstance(value, Real) and math.isfinite(value) and value != 0


def _are_bounds(bounds: object) -> bool:
    if not isinstance(bounds, tuple) or len(bounds) != 2:
        return False
    known = [each for each in bounds if each is not None]
    return all(_is_number(each) for each in known) and known == sorted(known) and len(set(known)) == len(known)
