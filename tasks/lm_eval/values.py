"""What lm-eval's metrics say of single documents, as the sums that scores are made of."""

import math
import re
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from xlingual.records import Statistics

if TYPE_CHECKING:
    from sacrebleu.metrics.chrf import CHRF


def aggregation_name(function: object) -> str:
    """Return lm-eval's name of an aggregation, or that of the function where it is the task's own."""
    from lm_eval.api.registry import aggregation_registry  # noqa: PLC0415 - optional, and heavy

    known = next((name for name in aggregation_registry if aggregation_registry.get(name) is function), None)
    if known is not None:
        return str(known)
    if _is_mean_of_known(function):
        return "mean_of_known"
    return f"own-{getattr(function, '__name__', type(function).__name__)}"


def _is_mean_of_known(function: object) -> bool:
    """Return whether a task's own aggregation is the mean without -1, which stands for "not known" in RULER's tasks."""
    module = str(getattr(function, "__module__", ""))  # a dotted name, or the path of a file of the user's
    if re.split(r"[./\\]", module)[-1] != "common_utils" or not callable(function):
        return False
    cases = (([0.25, -1.0, 1.0], 0.625), ([1.0, 0.0], 0.5), ([-1.0], -1))
    return all(function(values) == expected for values, expected in cases)


def measure(aggregation: str, value: object) -> Statistics | None:
    """Return what `value` adds to a metric of that aggregation, or None where it cannot be judged."""
    if aggregation in ("mean", "nanmean", "perplexity"):
        return _counted(value)
    if aggregation == "mean_of_known":
        return None if value == -1.0 else _counted(value)
    pair = tuple(value) if isinstance(value, tuple | list) and len(value) == 2 else None
    if pair is None:
        return None
    if aggregation in ("weighted_perplexity", "bits_per_byte"):
        return float(pair[0]), float(pair[1])
    if aggregation in ("f1", "matthews_corrcoef"):
        return _confusion(pair[0], pair[1])
    if aggregation == "brier_score":
        return _counted(sum((float(each) - (place == pair[0])) ** 2 for place, each in enumerate(pair[1])))
    if aggregation in ("bleu", "chrf", "chrf++"):
        references = [str(each) for each in pair[0]] if isinstance(pair[0], list | tuple) else [str(pair[0])]
        prediction = str(pair[1][0]) if isinstance(pair[1], list | tuple) else str(pair[1])
        return _bleu(prediction, references) if aggregation == "bleu" else _chrf(aggregation, prediction, references)
    return None


def _counted(value: object) -> Statistics | None:
    if not isinstance(value, int | float) and not hasattr(value, "__float__"):
        return None
    number = float(value)
    return (number, 1.0) if math.isfinite(number) else None


def _confusion(gold: object, predicted: object) -> Statistics | None:
    """Return (true positive, false positive, false negative, true negative) of a question with two answers."""
    pair = [int(each) for each in (gold, predicted) if isinstance(each, int) or hasattr(each, "__int__")]
    if len(pair) < 2 or not set(pair) <= {0, 1}:
        return None
    is_right, is_positive = pair[0] == pair[1], pair[1] == 1
    cases = (is_right and is_positive, not is_right and is_positive, not is_right and not is_positive)
    return (*map(float, cases), float(is_right and not is_positive))


def _bleu(prediction: str, references: Sequence[str]) -> Statistics:
    from sacrebleu import corpus_bleu  # noqa: PLC0415 - for these metrics only

    score = corpus_bleu([prediction], [[reference] for reference in references])
    return tuple(float(each) for each in (score.sys_len, score.ref_len, *score.counts, *score.totals))


def _chrf(name: str, prediction: str, references: Sequence[str]) -> Statistics:
    # The public calls give the score only; sacrebleu's own significance tests get their counts here too.
    words = 2 if name == "chrf++" else 0
    rows = _scorer(words)._extract_corpus_statistics([prediction], [[reference] for reference in references])
    return tuple(float(count) for count in rows[0])


@cache
def _scorer(words: int) -> "CHRF":
    from sacrebleu.metrics.chrf import CHRF  # noqa: PLC0415 - for these metrics only

    return CHRF(word_order=words)
