"""Where steps are launched: the stream of a GPU, or a CPU that does at once what it is told.

    submit    work that the host does not wait for
    mark      a point behind all that was submitted, which the host can wait for
    capture   work whose kernels are recorded (a CUDA graph), to be launched at once from then on

The double on a CPU keeps what a graph keeps: the operations, and the tensors that they read and write.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch

Tensors = tuple["torch.Tensor", ...]


class StepMark(Protocol):
    """A point in the queue behind the work submitted so far, as a CUDA event is."""

    def wait(self) -> None:
        """Return when all that was submitted before it is done."""
        ...


class Graph(Protocol):
    """Work whose operations are recorded, as a CUDA graph is."""

    @property
    def outputs(self) -> Tensors:
        """What the work returned; every replay writes to these tensors."""
        ...

    def replay(self) -> None:
        """Launch it again."""
        ...


class StepQueue(Protocol):
    """Where steps are launched: the stream of a GPU, or a CPU; see the module."""

    def submit(self, work: Callable[[], None]) -> None:
        """Launch work behind what was submitted before."""
        ...

    def mark(self) -> StepMark:
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
class Operation:
    """An operation of torch with the tensors that it read and made."""

    call: Callable[..., object]
    arguments: tuple[object, ...]
    named: dict[str, object]
    made: object


@dataclass(frozen=True, slots=True)
class RecordedOperations:
    """The double of a CUDA graph: the operations of a recording are done again, on the very tensors of the recording.

    Whatever Python decided while it was recorded, stays so.
    """

    operations: list[Operation]
    outputs: Tensors

    def replay(self) -> None:
        """Do the operations again."""
        import torch  # noqa: PLC0415 - heavy
        from torch.utils._pytree import tree_leaves  # noqa: PLC0415 - heavy

        with torch.no_grad():
            for each in self.operations:
                found = each.call(*each.arguments, **each.named)
                if found is each.made:
                    continue
                for kept, new in zip(tree_leaves(each.made), tree_leaves(found), strict=True):
                    if isinstance(kept, torch.Tensor) and kept is not new:
                        kept.copy_(new)


def record(work: Callable[[], Tensors]) -> RecordedOperations:
    """Do work, and return its operations; views of tensors, which a replay finds as they are, are none."""
    import torch  # noqa: PLC0415 - heavy
    from torch.utils._python_dispatch import TorchDispatchMode  # noqa: PLC0415 - heavy

    operations: list[Operation] = []

    class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]  # of torch
        def __torch_dispatch__(
            self,
            func: Any,  # noqa: ANN401 - of torch
            types: object,
            args: tuple[object, ...] = (),
            kwargs: dict[str, object] | None = None,
        ) -> object:
            del types
            made = func(*args, **(kwargs or {}))
            returned = func._schema.returns
            is_view = returned and all(each.alias_info and not each.alias_info.is_write for each in returned)
            if not is_view:
                operations.append(Operation(func, args, kwargs or {}, made))
            return made

    with torch.no_grad(), Recorder():  # type: ignore[no-untyped-call]  # of torch
        outputs = work()
    return RecordedOperations(operations, outputs)


@dataclass(slots=True)
class HostQueue:
    """A CPU: everything is done when it is submitted."""

    def submit(self, work: Callable[[], None]) -> None:
        """Do the work."""
        work()

    def mark(self) -> StepMark:
        """Return a mark that is passed already."""
        return NoWait()

    def capture(self, work: Callable[[], Tensors]) -> Graph:
        """Do the work once, and keep its operations."""
        return record(work)


@dataclass(slots=True)
class CudaQueue:
    """The current stream of a GPU; its graphs share one pool of memory, so they are replayed one after the other."""

    device: "torch.device"
    pool: object = field(default=None, init=False)
    stream: "torch.cuda.Stream | None" = field(default=None, init=False)

    def submit(self, work: Callable[[], None]) -> None:
        """Launch the work; its kernels run later."""
        work()

    def mark(self) -> StepMark:
        """Record an event."""
        import torch  # noqa: PLC0415 - heavy

        event = torch.cuda.Event()  # type: ignore[no-untyped-call]  # of torch
        event.record(torch.cuda.current_stream(self.device))
        return CudaMark(event)

    def capture(self, work: Callable[[], Tensors]) -> Graph:
        """Run the work on a stream of its own, so that kernels are compiled and loaded, then capture it."""
        import torch  # noqa: PLC0415 - heavy

        if self.pool is None or self.stream is None:
            self.pool = torch.cuda.graph_pool_handle()
            # One for all captures: the libraries of matrix products keep memory of their own for every stream.
            self.stream = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]  # of torch
        stream = self.stream
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
    """A CUDA event."""

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
    """Return the queue of a device, "cuda:0" or "cpu": its stream, or the double on a CPU."""
    import torch  # noqa: PLC0415 - heavy

    found = torch.device(device)
    return CudaQueue(found) if found.type == "cuda" else HostQueue()
