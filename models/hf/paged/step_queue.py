"""Where steps are launched: the stream of a GPU, or a CPU that does at once what it is told.

    submit    work that the host does not wait for
    mark      a point behind all that was submitted, which the host can wait for
    capture   work whose kernels are recorded (a CUDA graph), to be launched at once from then on

The double on a CPU keeps what a graph keeps: a replay reads and writes the very tensors of the recording.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch

Tensors = tuple["torch.Tensor", ...]


class Mark(Protocol):
    """A point in the queue."""

    def wait(self) -> None:
        """Return when all that was submitted before it is done."""
        ...


class Graph(Protocol):
    """Recorded work."""

    @property
    def outputs(self) -> Tensors:
        """What the work returned; every replay writes to these tensors."""
        ...

    def replay(self) -> None:
        """Launch it again."""
        ...


class StepQueue(Protocol):
    """See the module."""

    def submit(self, work: Callable[[], None]) -> None:
        """Launch work behind what was submitted before."""
        ...

    def mark(self) -> Mark:
        """Return the point behind all that was submitted."""
        ...

    def capture(self, work: Callable[[], Tensors]) -> Graph:
        """Record work; it is run before, once or more."""
        ...


@dataclass(frozen=True, slots=True)
class NoWait:
    """The mark of a queue whose work is done when it is submitted."""

    def wait(self) -> None:
        """Return at once."""


@dataclass(frozen=True, slots=True)
class RecordedClosure:
    """The double of a CUDA graph."""

    work: Callable[[], Tensors]
    outputs: Tensors

    def replay(self) -> None:
        """Run the work, and write what it returns to the outputs of the recording."""
        for kept, found in zip(self.outputs, self.work(), strict=True):
            kept.copy_(found)


@dataclass(slots=True)
class HostQueue:
    """A CPU: everything is done when it is submitted."""

    captured: int = 0

    def submit(self, work: Callable[[], None]) -> None:
        """Do the work."""
        work()

    def mark(self) -> Mark:
        """Return a mark that is passed already."""
        return NoWait()

    def capture(self, work: Callable[[], Tensors]) -> Graph:
        """Run the work once, and keep it."""
        self.captured += 1
        return RecordedClosure(work, tuple(each.clone() for each in work()))


@dataclass(slots=True)
class CudaQueue:
    """The current stream of a GPU; its graphs share one pool of memory, so they are replayed one after the other."""

    device: "torch.device"
    pool: object = field(default=None, init=False)

    def submit(self, work: Callable[[], None]) -> None:
        """Launch the work; its kernels run later."""
        work()

    def mark(self) -> Mark:
        """Record an event."""
        import torch  # noqa: PLC0415 - heavy

        event = torch.cuda.Event()  # type: ignore[no-untyped-call]  # of torch
        event.record(torch.cuda.current_stream(self.device))
        return CudaMark(event)

    def capture(self, work: Callable[[], Tensors]) -> Graph:
        """Run the work on a stream of its own, so that kernels are compiled and loaded, then capture it."""
        import torch  # noqa: PLC0415 - heavy

        if self.pool is None:
            self.pool = torch.cuda.graph_pool_handle()
        stream = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]  # of torch
        stream.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(stream):
            work()
        torch.cuda.current_stream(self.device).wait_stream(stream)
        torch.cuda.synchronize(self.device)
        graph = torch.cuda.CUDAGraph()
        pool: Any = self.pool
        with torch.cuda.graph(graph, pool=pool, stream=stream, capture_error_mode="thread_local"):
            outputs = work()
        return CapturedGraph(graph, outputs)


@dataclass(frozen=True, slots=True)
class CudaMark:
    """An event."""

    event: "torch.cuda.Event"

    def wait(self) -> None:
        """Wait for the event."""
        self.event.synchronize()


@dataclass(frozen=True, slots=True)
class CapturedGraph:
    """A CUDA graph and the tensors that it writes."""

    graph: "torch.cuda.CUDAGraph"
    outputs: Tensors

    def replay(self) -> None:
        """Launch its kernels."""
        self.graph.replay()


def queue_for(device: str) -> StepQueue:
    """Return the queue of a device."""
    import torch  # noqa: PLC0415 - heavy

    found = torch.device(device)
    return CudaQueue(found) if found.type == "cuda" else HostQueue()
