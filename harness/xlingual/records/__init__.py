"""The frozen records of an evaluation, in the order in which one is made of another.

data        DatasetRef -> DataFile
requests    Request -> Response
tasks       TaskSpec -> Example -> Prompt
results     Statistics -> Estimate -> RunRecord
"""

from .data import Corpus, DataFile, DatasetRef, HubSource, Origin, UrlSource
from .requests import (
    Choice,
    Failure,
    Finish,
    Form,
    Likelihood,
    Message,
    Request,
    Response,
    Role,
    Translation,
    failed_response,
)
from .results import (
    NO_INTERVAL,
    Counts,
    Estimate,
    FailureCount,
    ModelSpec,
    Protocol,
    RecordHashes,
    RunRecord,
    Statistics,
    label_task,
    no_interval,
)
from .tasks import Demonstration, Example, Examples, GroupMetric, Prompt, TaskGroup, TaskSpec, Turn

__all__ = [
    "NO_INTERVAL",
    "Choice",
    "Corpus",
    "Counts",
    "DataFile",
    "DatasetRef",
    "Demonstration",
    "Estimate",
    "Example",
    "Examples",
    "Failure",
    "FailureCount",
    "Finish",
    "Form",
    "GroupMetric",
    "HubSource",
    "Likelihood",
    "Message",
    "ModelSpec",
    "Origin",
    "Prompt",
    "Protocol",
    "RecordHashes",
    "Request",
    "Response",
    "Role",
    "RunRecord",
    "Statistics",
    "TaskGroup",
    "TaskSpec",
    "Translation",
    "Turn",
    "UrlSource",
    "failed_response",
    "label_task",
    "no_interval",
]
