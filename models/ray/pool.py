"""The worker pool: chunks go to actors, a dead actor is replaced, and what it had not answered is asked again."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeAlias, cast

from xlingual.data import known_hashes
from xlingual.errors import EnvironmentFault, XlingualError
from xlingual.plugin import ModelOptions, Note
from xlingual.records import Example, Failure, Request, Response, failed_response

from .chunks import Chunk, Queue, make_queue
from .worker import ModelWorker

if TYPE_CHECKING:
    from ray import ObjectRef, ObjectRefGenerator
    from ray.actor import ActorHandle

    Stream: TypeAlias = ObjectRefGenerator[Response | Note | XlingualError]

START_SECONDS = 300.0
"""For all workers to open their model; weights are loaded with the first answers."""
WAIT_SECONDS = 1.0
"""For the next response, before signals are looked at."""
SPARE_REPLACEMENTS = 12
"""Besides one for each worker; a worker that dies after so many ends the run."""
MAX_CONCURRENCY = 4
"""Calls of one worker: an answer, one that is being cancelled, and the call that cancels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolConfig:
    """How many workers a pool has, and what each of them opens."""

    workers: int
    gpus: float | None
    """Of each worker; None: one where the cluster has GPUs and the model has weights, else none."""
    word: str
    options: ModelOptions
    fingerprint: str
    has_weights: bool


class Remote(Protocol):
    """A remote method of an actor."""

    def options(self, *, num_returns: str) -> "Remote":
        """Return the method with options for the call."""
        ...

    def remote(self, *arguments: object) -> object:
        """Call it; returns an object reference."""
        ...


class WorkerHandle(Protocol):
    """The actor handle of a `ModelWorker`."""

    open: Remote
    answer: Remote
    cancel: Remote


@dataclass(slots=True)
class InFlightBatch:
    """A chunk that a worker is answering."""

    worker: WorkerHandle
    chunk: Chunk
    number: int
    """Of the chunk, to cancel it by."""


@dataclass(slots=True, kw_only=True)
class WorkerPool:
    """The workers; started with the first request."""

    config: PoolConfig
    threads: int
    environment: Mapping[str, str]
    note: Callable[[str], None]
    """Called when a worker has died, and with the notes of workers."""
    workers: list[WorkerHandle] = field(default_factory=list)
    replaced: int = 0
    chunks: int = 0
    """How many were assigned so far."""

    def answer(self, requests: Sequence[Request], examples: Mapping[str, Example]) -> Iterator[Response]:
        """Answer every request; where the iterator is left early, the chunks at work are cancelled."""
        import ray  # noqa: PLC0415 - optional and heavy

        if not self.workers:
            self.workers = self._start_workers(self.config.workers)
        queue = make_queue(requests, self.config.workers)
        in_flight: dict[Stream, InFlightBatch] = {}
        try:
            for worker in self.workers:
                self._assign(worker, queue, examples, in_flight)
            while in_flight:
                ready, _ = ray.wait(list(in_flight), num_returns=1, timeout=WAIT_SECONDS)
                for stream in ready:
                    batch = in_flight[stream]
                    item = _next_item(stream)
                    if isinstance(item, Response):
                        if batch.chunk.requests.pop(item.key, None) is not None:
                            yield item
                        continue
                    if isinstance(item, Note):
                        self.note(f"worker {self.workers.index(batch.worker) + 1}: {item.text}")
                        continue
                    if isinstance(item, XlingualError):
                        raise item
                    del in_flight[stream]
                    yield from self._finish_batch(batch, item, queue)
                    for worker in self._idle(in_flight):
                        self._assign(worker, queue, examples, in_flight)
        finally:
            for batch in in_flight.values():
                batch.worker.cancel.remote(batch.number)

    def close(self) -> None:
        """Kill the workers."""
        import ray  # noqa: PLC0415 - optional and heavy

        for worker in self.workers:
            ray.kill(cast("ActorHandle[ModelWorker]", worker))
        self.workers = []

    def _finish_batch(self, batch: InFlightBatch, end: "StreamEnd | WorkerDeath", queue: Queue) -> Iterator[Response]:
        """End a chunk: all of it is answered, or its worker has died, which is replaced."""
        if isinstance(end, StreamEnd):
            for request in batch.chunk.requests.values():
                yield failed_response(request, Failure(kind="unanswered", message="the model gave no answer"))
            return
        self._replace(batch.worker, end)
        lost = len(batch.chunk.requests)
        failed = queue.requeue(batch.chunk)
        if failed is None:
            self.note(f"a worker died and was replaced ({end.reason}); {lost} requests are asked again")
        else:
            self.note(f"a worker died and was replaced ({end.reason}); one request failed")
            yield failed_response(*failed)

    def _idle(self, in_flight: "Mapping[Stream, InFlightBatch]") -> list[WorkerHandle]:
        busy = {id(batch.worker) for batch in in_flight.values()}
        return [worker for worker in self.workers if id(worker) not in busy]

    def _assign(
        self,
        worker: WorkerHandle,
        queue: Queue,
        examples: Mapping[str, Example],
        in_flight: "dict[Stream, InFlightBatch]",
    ) -> None:
        chunk = queue.next()
        if chunk is None:
            return
        self.chunks += 1
        shown = {key: examples[key] for key in chunk.requests if key in examples}
        requests = tuple(chunk.requests.values())
        stream = worker.answer.options(num_returns="streaming").remote(self.chunks, requests, shown)
        in_flight[cast("Stream", stream)] = InFlightBatch(worker, chunk, self.chunks)

    def _replace(self, worker: WorkerHandle, death: "WorkerDeath") -> None:
        import ray  # noqa: PLC0415 - optional and heavy

        self.replaced += 1
        if self.replaced > self.config.workers + SPARE_REPLACEMENTS:
            hint = "is there memory for so many workers? finished answers are kept"
            raise EnvironmentFault(f"the workers keep dying ({death.reason})", where="ray", hint=hint)
        ray.kill(cast("ActorHandle[ModelWorker]", worker))
        index = next(index for index, each in enumerate(self.workers) if each is worker)
        [self.workers[index]] = self._start_workers(1)

    def _start_workers(self, count: int) -> list[WorkerHandle]:
        """Start workers that have opened the model.

        Raises what opening raises, EnvironmentFault where they do not start in time or have another model.
        """
        import ray  # noqa: PLC0415 - optional and heavy

        present = ray.cluster_resources()  # type: ignore[no-untyped-call]  # Ray does not say
        gpus = self._gpus(float(present.get("GPU", 0.0)))
        options: dict[str, object] = {"num_cpus": 1, "num_gpus": gpus, "max_concurrency": MAX_CONCURRENCY}
        if self.environment:
            options["runtime_env"] = {"env_vars": dict(self.environment)}
        actor_class = ray.remote(ModelWorker).options(scheduling_strategy="SPREAD", **options)
        arguments = (self.config.word, self.config.options, self.threads, known_hashes())
        started = [cast(WorkerHandle, actor_class.remote(*arguments)) for _ in range(count)]
        opened = [cast("ObjectRef[str | XlingualError]", worker.open.remote()) for worker in started]
        ready, late = ray.wait(opened, num_returns=count, timeout=START_SECONDS)
        if late:
            raise EnvironmentFault(
                f"{len(late)} of {count} workers have not started within {START_SECONDS:.0f} seconds",
                where="ray",
                hint="ray status shows what the cluster lacks; fewer workers may fit",
            )
        for each in ready:
            self._check_fingerprint(each)
        return started

    def _gpus(self, present: float) -> float:
        gpus = self.config.gpus
        if gpus is None:
            return 1.0 if present and self.config.has_weights else 0.0
        if gpus * self.config.workers > present:
            what = f"{self.config.workers} workers with {gpus:g} GPUs each, and the cluster has {present:g}"
            raise EnvironmentFault(what, where="ray", hint="ask for fewer, or for a part of a GPU: ray:4@0.5:SPEC")
        return gpus

    def _check_fingerprint(self, opened: "ObjectRef[str | XlingualError]") -> None:
        """Raise EnvironmentFault for a worker with another model: its answers would be recorded as this one's."""
        import ray  # noqa: PLC0415 - optional and heavy
        from ray.exceptions import RayError  # noqa: PLC0415

        try:
            fingerprint = ray.get(opened)
        except RayError as error:
            hint = "xlingual must be installed on every node, in the same version"
            raise EnvironmentFault(f"a worker does not start ({_first_line(error)})", where="ray", hint=hint) from error
        if isinstance(fingerprint, XlingualError):
            raise fingerprint
        if fingerprint != self.config.fingerprint:
            hint = "files, versions and settings must be the same on every node"
            raise EnvironmentFault("a worker has another model than the driver", where=self.config.word, hint=hint)


@dataclass(frozen=True, slots=True)
class StreamEnd:
    """A worker has finished its chunk."""


@dataclass(frozen=True, slots=True)
class WorkerDeath:
    """A worker process is gone."""

    reason: str


def _next_item(stream: "Stream") -> Response | Note | XlingualError | StreamEnd | WorkerDeath:
    """Return what a worker sends next."""
    import ray  # noqa: PLC0415 - optional and heavy
    from ray.exceptions import RayError, RayTaskError  # noqa: PLC0415

    try:
        return cast(Response | Note | XlingualError, ray.get(next(stream)))
    except StopIteration:
        return StreamEnd()
    except RayTaskError as error:  # a traceback, whose last line is the error
        return WorkerDeath(str(error).strip().splitlines()[-1][:200])
    except RayError as error:
        return WorkerDeath(_first_line(error))


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
