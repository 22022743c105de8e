"""Evaluate language models across languages, and produce cross-lingual ones.

These are the names that plugins and notebooks are written with; the errors are in `xlingual.errors`, the rest of the
records in `xlingual.records`, of metrics in `xlingual.metrics`, of readers in `xlingual.data`.
"""

TYPE_CHECKING = False
"""What `typing` says; to import that takes long enough for a Ctrl-C, which would end in a traceback here."""

if TYPE_CHECKING:
    from .data import locate, read_parallel, read_records, read_squad
    from .errors import XlingualError
    from .languages import LANGUAGES
    from .metrics import MeanMetric
    from .plugin import ChoiceTask, DataSource, GenerationTask, Metric, Model, ModelOptions, Task
    from .records import (
        DataFile,
        DatasetRef,
        Example,
        Examples,
        Failure,
        ModelSpec,
        Prompt,
        Request,
        Response,
        TaskSpec,
    )
    from .registry import register_metric, register_model, register_task
    from .selection import open_model
    from .wording import ask_question, ask_translation

__all__ = [
    "LANGUAGES",
    "ChoiceTask",
    "DataFile",
    "DataSource",
    "DatasetRef",
    "Example",
    "Examples",
    "Failure",
    "GenerationTask",
    "MeanMetric",
    "Metric",
    "Model",
    "ModelOptions",
    "ModelSpec",
    "Prompt",
    "Request",
    "Response",
    "Task",
    "TaskSpec",
    "XlingualError",
    "ask_question",
    "ask_translation",
    "locate",
    "open_model",
    "read_parallel",
    "read_records",
    "read_squad",
    "register_metric",
    "register_model",
    "register_task",
]

_HOMES = {
    "data": ("locate", "read_parallel", "read_records", "read_squad"),
    "errors": ("XlingualError",),
    "languages": ("LANGUAGES",),
    "metrics": ("MeanMetric",),
    "plugin": ("ChoiceTask", "DataSource", "GenerationTask", "Metric", "Model", "ModelOptions", "Task"),
    "records": (
        "DataFile",
        "DatasetRef",
        "Example",
        "Examples",
        "Failure",
        "ModelSpec",
        "Prompt",
        "Request",
        "Response",
        "TaskSpec",
    ),
    "registry": ("register_metric", "register_model", "register_task"),
    "selection": ("open_model",),
    "wording": ("ask_question", "ask_translation"),
}
"""Module -> its public names. They are imported when they are first asked for: Ctrl-C may come before that."""


if not TYPE_CHECKING:  # or a checker would take any name for one of ours

    def __getattr__(name: str) -> object:
        """Return a public name from its module."""
        from importlib import import_module  # noqa: PLC0415 - see TYPE_CHECKING

        module = next((module for module, names in _HOMES.items() if name in names), None)
        if module is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f".{module}", __name__), name)


def __dir__() -> list[str]:
    """Return the public names."""
    return [*__all__, *globals()]
