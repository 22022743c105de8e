"""Evaluate language models across languages, and produce cross-lingual ones.

These are the names that plugins and notebooks are written with; the errors are in `xlingual.errors`, the rest of the
records in `xlingual.records`, of metrics in `xlingual.metrics`, of readers in `xlingual.data`.
"""

from .data import locate, read_parallel, read_records, read_squad
from .errors import XlingualError
from .languages import LANGUAGES
from .metrics import MeanMetric
from .plugin import ChoiceTask, DataSource, GenerationTask, Metric, Model, ModelOptions, Task
from .records import DataFile, DatasetRef, Example, Examples, Failure, ModelSpec, Prompt, Request, Response, TaskSpec
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
