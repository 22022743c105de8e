"""Metrics by name: a look-up imports the one module that the name needs.

Every module of metrics offers `METRICS`, objects that fulfil the `Metric` protocol of plugin.py. Read `mean` and
`corpus` first: all metrics are a mean of scores of examples, or a formula of summed counts.
"""

import importlib
from collections.abc import Sequence
from typing import cast

from ..errors import UsageError
from ..plugin import Metric
from ..text import did_you_mean
from . import repeats

_MODULES = {
    "containment": "answers",
    "containment_first": "answers",
    "mlqa_em": "answers",
    "mlqa_f1": "answers",
    "mlqa_fixed_em": "answers",
    "mlqa_fixed_f1": "answers",
    "squad_em": "answers",
    "squad_f1": "answers",
    "spbleu": "sentencepiece_bleu",
    "spbleu_flores200": "sentencepiece_bleu",
    "bleu": "bleu",
    "bleu_cleaned": "bleu",
    "chrf++": "chrf_plus_plus",
    "chrf++_cleaned": "chrf_plus_plus",
    "off_target": "off_target",
    "thinking_off_target": "off_target",
    "empty": "diagnostics",
    "source_copy": "diagnostics",
    "truncated": "diagnostics",
    "accuracy": "choices",
    "accuracy_norm": "choices",
}

LM_EVAL_PREFIX = "lm-eval:"
"""Begins the names of lm-eval's metrics: see `lm_eval_metrics.py`."""
LOWER_SUFFIX = ":lower"
"""Ends the names of those that are the better the lower they are."""

METRIC_NAMES: tuple[str, ...] = tuple(_MODULES)
"""Every metric: of answers, of translations, then the diagnostics of any generated text, then of choices."""


def find_metric(name: str) -> Metric:
    """Return the metric called `name`; UsageError with close names if there is none."""
    if name.startswith(LM_EVAL_PREFIX):
        return cast(Metric, importlib.import_module(f"{__name__}.lm_eval_metrics").read_name(name))
    if repeats.NAME.fullmatch(name):
        return repeats.RepeatMetric(name=name)
    if name not in _MODULES:
        raise UsageError(f"no such metric: {name!r}", hint=did_you_mean(name, METRIC_NAMES))
    metrics = cast(Sequence[Metric], importlib.import_module(f"{__name__}.{_MODULES[name]}").METRICS)
    return next(metric for metric in metrics if metric.name == name)
