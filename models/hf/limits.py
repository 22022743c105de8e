"""Limits of memory: how many rows a batch has, and what happens when they do not fit."""

import gc
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from xlingual.decoder.loading import is_failure
from xlingual.errors import XlingualError
from xlingual.records import Failure

from .cgroup import available_bytes


def free_bytes(device: str) -> int:
    """Return how much memory `device` has free now; on a CPU, no more than the container is allowed."""
    import torch  # noqa: PLC0415 - heavy

    if torch.device(device).type == "cuda":
        return int(torch.cuda.mem_get_info(torch.device(device))[0])
    return available_bytes()


MAX_PADDED_TOKENS = 16384
"""Most prompt tokens of a static batch, padding included: bounds the memory of a batch of long prompts."""
OUT_OF_MEMORY = "OutOfMemoryError"
"""Kind of the failure."""
MAX_REASON = 200
"""Characters of an error that go into a note."""
Item = TypeVar("Item")
Result = TypeVar("Result")


def ignore_note(_message: str) -> None:
    """Do nothing with a note."""


@dataclass(slots=True)
class RowLimit:
    """Most rows of a batch; lowered for good when memory does not hold them."""

    rows: int
    note: Callable[[str], None] = ignore_note
    """Called with a line for every change."""

    def lower(self, rows: int) -> None:
        """Allow no more than `rows` from now on."""
        if rows < self.rows:
            self.note(f"out of memory: {rows} prompts are answered together from now on, not {self.rows}")
            self.rows = rows

    def halve(self, batch: list[Item], failure: Failure, *, again: bool) -> list[list[Item]]:
        """Return the halves of a failed batch, the first one last, and note what changes.

        Out of memory lowers the limit. Any other error is noted once a batch: not `again` for its halves.
        """
        half = len(batch) // 2
        if failure.kind == OUT_OF_MEMORY:
            self.lower(half)
        elif not again:
            reason = " ".join(f"{failure.kind}: {failure.message}".splitlines()[:1])[:MAX_REASON]
            self.note(f"a batch of {len(batch)} failed ({reason}); it is halved until what fails is alone")
        return [batch[half:], batch[:half]]


def attempt(call: Callable[[], Result]) -> Result | Failure:
    """Return what a call of the model returns, or its error as a Failure; only our own errors are raised."""
    import torch  # noqa: PLC0415 - heavy

    try:
        return call()
    except XlingualError:
        raise
    except torch.OutOfMemoryError as error:
        failure = Failure(kind=OUT_OF_MEMORY, message=str(error))
    except BaseException as error:  # the model call: any error is the failure of its rows
        if not is_failure(error):
            raise
        cpu_memory = isinstance(error, MemoryError) or "DefaultCPUAllocator" in str(error)
        failure = Failure(kind=OUT_OF_MEMORY if cpu_memory else type(error).__name__, message=str(error))
    # The frames that held the tensors of the call are gone with the exception, so their memory can be freed.
    release_memory()
    return failure


def release_memory() -> None:
    """Give cached memory back to the device."""
    import torch  # noqa: PLC0415 - heavy

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
