"""What torch and safetensors make of a disk that fails: the error of the system within theirs, or their own words.

A full disk comes out of `torch.distributed.checkpoint` as a CheckpointException, which is no Exception, or as a
RuntimeError of a writer whose file has another length than it thinks; out of safetensors as a SafetensorError.
"""

from pathlib import Path

from safetensors import SafetensorError
from torch.distributed.checkpoint.api import CheckpointException

from ..errors import EnvironmentFault
from ..files import disk_fault

STORAGE_ERRORS = (OSError, RuntimeError, SafetensorError, CheckpointException)
"""What writing a checkpoint or a model may raise; `write_fault` tells which of it is the disk's."""
_OF_A_WRITER = ("inline_container", "PytorchStreamWriter")
"""Words of torch's writer of files: it has lost bytes on the way."""


def system_error(error: BaseException) -> OSError | None:
    """Return the error of the system that an exception was made of, None where there is none."""
    waiting, seen = [error], set[int]()
    while waiting:
        each = waiting.pop()
        if isinstance(each, OSError):
            return each
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, CheckpointException):
            waiting += [failure for failure, _ in each.failures.values()]
        waiting += [cause for cause in (each.__cause__, each.__context__) if cause is not None]
    return None


def write_fault(error: BaseException, path: Path) -> EnvironmentFault | None:
    """Return the fault of the disk that `path` could not be written to for; None for an exception of another kind."""
    if (found := system_error(error)) is not None:
        return disk_fault(found, path)
    if isinstance(error, SafetensorError | CheckpointException) or any(word in str(error) for word in _OF_A_WRITER):
        return disk_fault(OSError(str(error).strip().rpartition("\n")[2]), path)
    return None
