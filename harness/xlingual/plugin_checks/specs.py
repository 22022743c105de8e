"""What a TaskSpec must be for a run to begin."""

import re
from collections.abc import Iterator

from ..errors import UsageError
from ..extraction import require_word
from ..languages import LANGUAGES
from ..metrics import METRIC_NAMES, find_metric
from ..metrics.repeats import NAME as REPEAT_METRIC
from ..records import TaskSpec
from ..sampling import Sampling
from ..text import close_words, did_you_mean, shows_nothing
from .contract import Broken, comma_hint
from .record_types import record_fault

MOST_TOKENS = 2**31
"""Limits are below this, as servers and files hold them."""
UNKNOWN_LANGUAGE = "und"
"""The code of ISO 639 for a language that is not known."""
SPLIT = re.compile(r"[^\W_][\w.+-]*")
"""The form of a split's name: it becomes part of file names."""


def spec_faults(spec: TaskSpec) -> Iterator[Broken]:
    """Yield what is wrong with a task's spec, its name aside; metrics that plugins bring along are looked up."""
    if (fault := record_fault(spec, TaskSpec)) is not None:
        yield Broken(fault, comma_hint(spec))
        return
    for name in ("language", "prompt_language", "source_language"):
        yield from language_faults(name, getattr(spec, name))
    yield from _metric_faults(spec)
    if shows_nothing(spec.version):
        yield Broken("version must not be blank")
    if not 0 <= spec.max_new_tokens < MOST_TOKENS:
        yield Broken(f"max_new_tokens must be 0 or more, and below {MOST_TOKENS}, got {spec.max_new_tokens}")
    if spec.stop is not None and not all(spec.stop):
        yield Broken("stop holds an empty text, which would end every answer")
    yield from _split_faults(spec)
    if spec.repeats is not None and spec.repeats < 1:
        yield Broken(f"repeats must be 1 or more, got {spec.repeats}")
    if spec.sampling is not None:
        yield from _sampling_faults(spec.sampling)
    for name in ("description", "variant", "system", "extract"):
        if getattr(spec, name) is not None and shows_nothing(getattr(spec, name)):
            yield Broken(f"{name} must not be blank", f"leave {name} out")
    if spec.description is not None and "\n" in spec.description:
        yield Broken("description must be one line")


def extract_faults(spec: TaskSpec) -> Iterator[Broken]:
    """Yield that a task which extracts in no way of its own names no word of extraction."""
    if spec.extract is None:
        return
    try:
        require_word(spec.extract)
    except UsageError as error:
        yield Broken(f"extract: {error.what}", error.hint)


def language_faults(field: str, code: str | None) -> Iterator[Broken]:
    """Yield that a code is of no language; `und` is for one that is not known."""
    if code is None or code in LANGUAGES or code == UNKNOWN_LANGUAGE:
        return
    near = close_words(code.casefold(), [*LANGUAGES, *(row.name.casefold() for row in LANGUAGES.values())], cutoff=0.6)
    hint = f"did you mean {near}?" if near else "xlingual tasks --languages lists the codes; 'und' is for others"
    yield Broken(f"{field}: no such language: {code!r}", hint)


def split_fault(split: str) -> Broken | None:
    """Return that no split can be called so, or None."""
    if SPLIT.fullmatch(split):
        return None
    return Broken(f"no split can be called {split!r}", "letters, digits and . _ - + do")


def _metric_faults(spec: TaskSpec) -> Iterator[Broken]:
    if not spec.metrics:
        yield Broken("metrics is empty: nothing would be scored", f"known: {', '.join(METRIC_NAMES[:7])}, ...")
    for name in spec.metrics:
        if spec.metrics.count(name) > 1:
            yield Broken(f"metrics names {name!r} twice")
        if name in METRIC_NAMES:
            continue
        if REPEAT_METRIC.fullmatch(name):
            hint = f"repeats={name.partition('@')[2]} makes it of a metric that says right or wrong"
            yield Broken(f"metrics: {name} is of several answers, no single one has it", hint)
            return
        try:
            metric = find_metric(name)
        except UsageError as error:
            yield Broken(f"metrics: {error}", error.hint)
            return
        metric.missing(spec.language)
        metric.signature(spec.language)


def _split_faults(spec: TaskSpec) -> Iterator[Broken]:
    for name, split in (("split", spec.split), ("shot_split", spec.shot_split), *(("splits", x) for x in _known(spec))):
        if split is not None and (broken := split_fault(split)):
            yield Broken(f"{name}: {broken.what}", broken.hint)
        elif split is not None and spec.splits is not None and split not in spec.splits:
            yield Broken(f"{name} {split!r} is not among its splits", did_you_mean(split, spec.splits))


def _known(spec: TaskSpec) -> tuple[str, ...]:
    return spec.splits or ()


def _sampling_faults(sampling: Sampling) -> Iterator[Broken]:
    if not sampling.temperature > 0:
        yield Broken(f"sampling.temperature must be above 0, got {sampling.temperature}", "sampling=None is greedy")
    if sampling.top_k is not None and sampling.top_k < 1:
        yield Broken(f"sampling.top_k must be 1 or more, got {sampling.top_k}")
    for name in ("top_p", "min_p"):
        value = getattr(sampling, name)
        if value is not None and not 0 < value <= 1:
            yield Broken(f"sampling.{name} must be above 0 and at most 1, got {value}")
