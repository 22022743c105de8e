"""Evaluate language models across languages, and produce cross-lingual ones.

These are the names that plugins and notebooks are written with; the errors are in `xlingual.errors`, the rest of the
records in `xlingual.records`.
"""

from .data import flores101_sources, locate, mlqa_sources, read_parallel, read_records, read_squad, xquad_sources
from .errors import XlingualError
from .languages import LANGUAGES
from .plugin import ChoiceTask, DataSource, GenerationTask, Model, ModelOptions, Task
from .records import DataFile, DatasetRef, Example, Examples, Failure, ModelSpec, Prompt, Request, Response, TaskSpec
from .registry import register_model, register_task
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
    "flores101_sources",
    "locate",
    "mlqa_sources",
    "open_model",
    "read_parallel",
    "read_records",
    "read_squad",
    "register_model",
    "register_task",
    "xquad_sources",
]
