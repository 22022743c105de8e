"""Metrics by name, one a file: a look-up imports the one module that the name needs.

Every module offers `METRIC`, an object that fulfils the `Metric` protocol of plugin.py.
"""

import importlib
from typing import cast

from ..errors import UsageError
from ..plugin import Metric
from ..text import did_you_mean

_MODULES = {
    "containment": "containment",
    "mlqa_em": "mlqa_em",
    "mlqa_f1": "mlqa_f1",
    "mlqa_fixed_em": "mlqa_fixed_em",
    "mlqa_fixed_f1": "mlqa_fixed_f1",
    "squad_em": "squad_em",
    "squad_f1": "squad_f1",
    "spbleu": "spbleu",
    "spbleu_flores200": "spbleu_flores200",
    "bleu": "bleu",
    "chrf++": "chrf_plus_plus",
    "off_target": "off_target",
    "empty": "empty",
    "source_copy": "source_copy",
    "truncated": "truncated",
    "accuracy": "accuracy",
    "accuracy_norm": "accuracy_norm",
}

FOREIGN = "lm-eval:"
"""Begins the names of lm-eval's metrics: see `foreign.py`."""
FOREIGN_LOWER = ":lower"
"""Ends the names of those that are the better the lower they are."""

METRIC_NAMES: tuple[str, ...] = tuple(_MODULES)
"""Every metric: of answers, of translations, then the diagnostics of any generated text, then of choices."""


def find_metric(name: str) -> Metric:
    """Return the metric called `name`; UsageError with close names if there is none."""
    if name.startswith(FOREIGN):
        return cast(Metric, importlib.import_module(f"{__name__}.foreign").read_name(name))
    if name not in _MODULES:
        raise UsageError(f"no such metric: {name!r}", hint=did_you_mean(name, METRIC_NAMES))
    return cast(Metric, importlib.import_module(f"{__name__}.{_MODULES[name]}").METRIC)
