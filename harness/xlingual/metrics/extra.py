"""Metrics that a user asks for besides those of a task: `--metrics comet22`."""

from collections.abc import Sequence

from ..records import TaskSpec
from . import find_metric

COMPANIONS = ("source_copy", "off_target")
"""Stand beside a judgement of translations: copies of the source score high there, and other languages as well."""


def needs_translation(name: str) -> bool:
    """Return whether a metric compares answers with the text that was translated; UsageError for an unknown one."""
    return getattr(find_metric(name), "translations_only", False) is True


def unfit(spec: TaskSpec, names: Sequence[str]) -> list[str]:
    """Return those of `names` that judge translations, where a task asks for none."""
    return [name for name in names if spec.source_language is None and needs_translation(name)]


def choose_extra(spec: TaskSpec, names: Sequence[str]) -> tuple[str, ...]:
    """Return those of `names` that can be computed for a task and are not its own, with their companions.

    Raises UsageError for a name that is no metric.
    """
    for name in names:
        find_metric(name, task=spec.name).signature(spec.language)  # says what is wrong with its settings
    found: list[str] = []
    for name in names:
        if name not in unfit(spec, names):
            found += [name, *(COMPANIONS if needs_translation(name) else ())]
    return tuple(name for name in dict.fromkeys(found) if name not in spec.metrics)
