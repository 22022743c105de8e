"""Metrics by name: a look-up imports the one module that the name needs.

Every module of metrics offers `METRICS`, objects that fulfil the `Metric` protocol of `plugin`. Read `mean` and
`corpus` first: all metrics are a mean of scores of examples, or a formula of summed counts. Plugins make theirs of the
same two: `MeanMetric` and `CorpusMetric`.
"""

import importlib
from collections.abc import Sequence
from typing import cast

from ..errors import UsageError, XlingualError
from ..plugin import Metric
from ..plugin_files import find_plugins, plugin_stem
from ..registry import METRICS, TASKS
from ..text import did_you_mean
from . import repeats
from .corpus import CorpusMetric
from .mean import MeanMetric, in_every_language
from .plugin_metric import plugin_metric

__all__ = ["METRIC_NAMES", "CorpusMetric", "MeanMetric", "find_metric", "in_every_language", "is_own", "metric_names"]

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
    "comet22": "comet",
    "cometkiwi22": "comet",
    "off_target": "off_target",
    "thinking_off_target": "off_target",
    "empty": "diagnostics",
    "source_copy": "diagnostics",
    "truncated": "diagnostics",
    "passage_copy": "diagnostics",
    "length_ratio": "diagnostics",
    "exact_match": "exact",
    "accuracy": "choices",
    "accuracy_norm": "choices",
    "judge_correct": "judged",
    "judge_win": "judged",
    "judge_translation": "judged",
}

LM_EVAL_PREFIX = "lm-eval:"
"""Begins the names of lm-eval's metrics: see `lm_eval_metrics.py`."""
LOWER_SUFFIX = ":lower"
"""Ends the names of those that are the better the lower they are."""

METRIC_NAMES: tuple[str, ...] = tuple(_MODULES)
"""Every metric: of answers, of translations, then the diagnostics of any generated text, of choices, of judges."""


CHOICE_METRICS: tuple[str, ...] = tuple(name for name, module in _MODULES.items() if module == "choices")
"""Those that score choices, and nothing else."""
GOLD_FREE_METRICS = frozenset(
    name
    for name, module in _MODULES.items()
    if module in ("off_target", "judged")
    or name in ("empty", "source_copy", "truncated", "passage_copy", "cometkiwi22")
)
"""Those that need no accepted answer: examples of a task that has no others may be without targets."""

METRICS.reserve(METRIC_NAMES, owner=__name__)


def is_own(name: str) -> bool:
    """Return whether a metric is xlingual's own, so that its direction and bounds are known by its name."""
    return name in _MODULES or repeats.NAME.fullmatch(name) is not None


def metric_names() -> list[str]:
    """Return the names of all metrics: xlingual's own, then those of plugins that are known without importing tasks."""
    return [*METRIC_NAMES, *(name for name in METRICS.names() if name not in METRIC_NAMES)]


def find_metric(name: str, *, task: str = "") -> Metric:
    """Return the metric called `name`; UsageError with close names if there is none, PluginError for a broken one.

    A plugin's metric is in a file of its own or in that of a task: `task` names one whose family may bring it along.
    """
    if name.startswith(LM_EVAL_PREFIX):
        return cast(Metric, importlib.import_module(f"{__name__}.lm_eval_metrics").read_name(name))
    if repeats.NAME.fullmatch(name):
        return repeats.RepeatMetric(name=name)
    if name in _MODULES:
        if offers := find_plugins("metrics").get(plugin_stem(name)):
            raise METRICS.is_taken(name, owner=__name__, by=offers[0].place)
        metrics = cast(Sequence[Metric], importlib.import_module(f"{__name__}.{_MODULES[name]}").METRICS)
        return next(metric for metric in metrics if metric.name == name)
    if plugin_stem(name) not in METRICS.names() and task:
        _load_family(task)
    if plugin_stem(name) not in METRICS.names():
        raise UsageError(f"no such metric: {name!r}", hint=did_you_mean(name, metric_names()))
    return plugin_metric(name)


def _load_family(task: str) -> None:
    """Import the file of a task's family, which may register metrics; without it they are as unknown as before."""
    try:
        TASKS.find(task.partition("/")[0])
    except XlingualError:
        return


def decimals(name: str) -> int:
    """Return how many decimals the scores of a metric are shown with: bits and perplexities can be small numbers."""
    aggregation = [*name.split(":"), "", "", ""][2] if name.startswith(LM_EVAL_PREFIX) else ""
    return 3 if aggregation in ("perplexity", "weighted_perplexity", "bits_per_byte") else 1
