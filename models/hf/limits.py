"""Limits of memory: how many sequences go together, and what happens when they do not fit."""

import gc
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from xlingual.errors import XlingualError
from xlingual.records import Failure

from .cgroup import available_bytes


def free_bytes(device: str) -> int:
    """Return how much memory `device` has free now; on a CPU, no more than the container is allowed."""
    import torch  # noqa: PLC0415 - heavy

    if torch.device(device).type == "cuda":
        return int(torch.cuda.mem_get_info(torch.device(device))[0])
    return available_bytes()


PADDED_TOKENS = 16384
"""Most prompt tokens of one batch, padding included: bounds the memory of a batch of long prompts."""
OUT_OF_MEMORY = "OutOfMemoryError"
Item = TypeVar("Item")
Result = TypeVar("Result")


def take_no_note(_message: str) -> None:
    """Where nobody takes notes."""


@dataclass(slots=True)
class RowLimit:
    """Most rows of a batch; lowered for good when the memory does not hold them."""

    rows: int
    note: Callable[[str], None] = take_no_note
    """Told of every change."""

    def lower(self, rows: int) -> None:
        """Allow no more than `rows` from now on."""
        if rows < self.rows:
            self.note(f"out of memory: {rows} prompts are answered together from now on, not {self.rows}")
            self.rows = rows

    def halve(self, batch: list[Item], failure: Failure, *, again: bool) -> list[list[Item]]:
        """Return the halves of a batch that failed, the first one last, and say what that changes.

        Where memory was short, batches are no larger from now on. Another error is said once for the whole batch;
        `again`: the batch is itself a part of one that failed.
        """
        half = len(batch) // 2
        if failure.kind == OUT_OF_MEMORY:
            self.lower(half)
        elif not again:
            what = (
                f"{failure.kind}: {failure.message.strip().splitlines()[0]}"
                if failure.message.strip()
                else failure.kind
            )
            self.note(f"a batch of {len(batch)} failed ({what[:200]}); it is halved until what fails is alone")
        return [batch[half:], batch[:half]]


def attempt(call: Callable[[], Result]) -> Result | Failure:
    """Return what a call of the model returns, or why it failed; only our own errors come through."""
    import torch  # noqa: PLC0415 - heavy

    try:
        return call()
    except XlingualError:
        raise
    except torch.OutOfMemoryError as error:
        failure = Failure(kind=OUT_OF_MEMORY, message=str(error))
    except Exception as error:  # noqa: BLE001 - the model call: whatever a model does is the failure of its rows
        cpu_memory = isinstance(error, MemoryError) or "DefaultCPUAllocator" in str(error)
        failure = Failure(kind=OUT_OF_MEMORY if cpu_memory else type(error).__name__, message=str(error))
    # Only here have the frames that held the call's tensors gone with the exception.
    release_memory()
    return failure


def release_memory() -> None:
    """Give cached memory back to the device."""
    import torch  # noqa: PLC0415 - heavy

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
