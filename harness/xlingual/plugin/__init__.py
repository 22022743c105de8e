"""The protocols that plugins fulfil.

tasks      a Task yields examples; what it may do besides; the Tasks that functions make
models     a Model answers requests; how it is loaded
metrics    a Metric measures answers, one by one or many at once
sources    a Source yields examples to learn from
"""

from .metrics import SHARE, BatchMetric, Bounds, FloatArray, Metric
from .models import (
    LOCAL_OPTIONS,
    ChatTrainable,
    Diagnosable,
    ExampleAware,
    LearntTurn,
    LogitLens,
    Model,
    ModelOptions,
    Note,
    SplitAware,
    StateArray,
    SupportsHiddenStates,
    SupportsNotes,
    SupportsPromptProof,
    TextStates,
    TokenArray,
    Trainable,
)
from .sources import Asker, Source, TextSource
from .tasks import (
    OWN_VARIANT,
    Asking,
    ChatTask,
    ChoiceTask,
    DataSource,
    ExtractingTask,
    GenerationTask,
    GroupMember,
    RewordableTask,
    SelfScoredTask,
    Task,
    reword_spec,
)

__all__ = [
    "LOCAL_OPTIONS",
    "OWN_VARIANT",
    "SHARE",
    "Asker",
    "Asking",
    "BatchMetric",
    "Bounds",
    "ChatTask",
    "ChatTrainable",
    "ChoiceTask",
    "DataSource",
    "Diagnosable",
    "ExampleAware",
    "ExtractingTask",
    "FloatArray",
    "GenerationTask",
    "GroupMember",
    "LearntTurn",
    "LogitLens",
    "Metric",
    "Model",
    "ModelOptions",
    "Note",
    "RewordableTask",
    "SelfScoredTask",
    "Source",
    "SplitAware",
    "StateArray",
    "SupportsHiddenStates",
    "SupportsNotes",
    "SupportsPromptProof",
    "Task",
    "TextSource",
    "TextStates",
    "TokenArray",
    "Trainable",
    "reword_spec",
]
