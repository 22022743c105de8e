"""The workers and who is asked what: a dead worker is replaced, and what it had not answered is asked elsewhere."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeAlias, cast

from xlingual.data import known_hashes
from xlingual.errors import EnvironmentFault, XlingualError
from xlingual.plugin import ModelOptions, Note
from xlingual.records import Example, Failure, Request, Response, failed_response

from .chunks import Chunk, Queue, line_up
from .worker import ModelWorker

if TYPE_CHECKING:
    from ray import ObjectRef, ObjectRefGenerator
    from ray.actor import ActorHandle

    Stream: TypeAlias = ObjectRefGenerator[Response | Note | XlingualError]

READY_SECONDS = 300.0
"""For all workers to have their model described; weights come with the first answers."""


WAIT_SECONDS = 1.0


SPARE = 12
"""Replacements besides one for each worker, before it is said that workers keep dying."""


CALLS_AT_ONCE = 4
"""Of one worker: an answer, one that is being given up, and the word to give up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolConfig:
    """How many workers there are to be, and of what sort."""

    workers: int
    gpus: float | None
    """Of each; None: one where the cluster has GPUs and the model has weights, else none."""
    word: str
    options: ModelOptions
    fingerprint: str
    has_weights: bool


class Remote(Protocol):
    """A method of a worker in another process."""

    def options(self, *, num_returns: str) -> "Remote":
        """Say how it is to be called."""
        ...

    def remote(self, *arguments: object) -> object:
        """Call it; what comes back is a promise."""
        ...


class WorkerHandle(Protocol):
    """A worker in another process, as Ray hands it out."""

    hello: Remote
    answer: Remote
    stop: Remote


@dataclass(slots=True)
class InFlightBatch:
    """A chunk that a worker is busy with."""

    worker: WorkerHandle
    chunk: Chunk
    number: int


@dataclass(slots=True, kw_only=True)
class WorkerPool:
    """The workers; hired with the first chunk."""

    config: PoolConfig
    threads: int
    environment: Mapping[str, str]
    note: Callable[[str], None]
    """Is told of dead workers, and what workers tell."""
    workers: list[WorkerHandle] = field(default_factory=list)
    replaced: int = 0
    chunks: int = 0
    """Given out so far: their numbers tell them apart."""

    def answer(self, requests: Sequence[Request], examples: Mapping[str, Example]) -> Iterator[Response]:
        """Answer every request; left early, the workers are told to give up."""
        import ray  # noqa: PLC0415 - optional and heavy

        if not self.workers:
            self.workers = self._start_workers(self.config.workers)
        queue = line_up(requests, self.config.workers)
        in_flight: dict[Stream, InFlightBatch] = {}
        try:
            for worker in self.workers:
                self._give(worker, queue, examples, in_flight)
            while in_flight:
                ready, _ = ray.wait(list(in_flight), num_returns=1, timeout=WAIT_SECONDS)
                for stream in ready:
                    batch = in_flight[stream]
                    item = _take(stream)
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
                        self._give(worker, queue, examples, in_flight)
        finally:
            for batch in in_flight.values():
                batch.worker.stop.remote(batch.number)

    def close(self) -> None:
        """End the workers at once."""
        import ray  # noqa: PLC0415 - optional and heavy

        for worker in self.workers:
            ray.kill(cast("ActorHandle[ModelWorker]", worker))
        self.workers = []

    def _finish_batch(self, batch: InFlightBatch, end: "StreamEnd | Death", queue: Queue) -> Iterator[Response]:
        """Settle a chunk that has ended: all answered, or left behind by a dead worker, which is replaced."""
        if isinstance(end, StreamEnd):
            for request in batch.chunk.requests.values():
                yield failed_response(request, Failure(kind="unanswered", message="the model gave no answer"))
            return
        self._replace(batch.worker, end)
        lost = len(batch.chunk.requests)
        given_up = queue.put_back(batch.chunk)
        if given_up is None:
            self.note(f"a worker died and was replaced ({end.reason}); {lost} requests are asked again")
        else:
            self.note(f"a worker died and was replaced ({end.reason}); one request failed")
            yield failed_response(*given_up)

    def _idle(self, in_flight: "Mapping[Stream, InFlightBatch]") -> list[WorkerHandle]:
        busy = {id(batch.worker) for batch in in_flight.values()}
        return [worker for worker in self.workers if id(worker) not in busy]

    def _give(
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

    def _replace(self, worker: WorkerHandle, death: "Death") -> None:
        import ray  # noqa: PLC0415 - optional and heavy

        self.replaced += 1
        if self.replaced > self.config.workers + SPARE:
            hint = "is there memory for so many workers? finished answers are kept"
            raise EnvironmentFault(f"the workers keep dying ({death.reason})", where="ray", hint=hint)
        ray.kill(cast("ActorHandle[ModelWorker]", worker))
        place = next(index for index, each in enumerate(self.workers) if each is worker)
        [self.workers[place]] = self._start_workers(1)

    def _start_workers(self, count: int) -> list[WorkerHandle]:
        """Start workers and have them open the model; raises what that raises, and where they do not start in time."""
        import ray  # noqa: PLC0415 - optional and heavy

        present = ray.cluster_resources()  # type: ignore[no-untyped-call]  # Ray does not say
        gpus = self._gpus(float(present.get("GPU", 0.0)))
        options: dict[str, object] = {"num_cpus": 1, "num_gpus": gpus, "max_concurrency": CALLS_AT_ONCE}
        if self.environment:
            options["runtime_env"] = {"env_vars": dict(self.environment)}
        actor_class = ray.remote(ModelWorker).options(scheduling_strategy="SPREAD", **options)
        arguments = (self.config.word, self.config.options, self.threads, known_hashes())
        started = [cast(WorkerHandle, actor_class.remote(*arguments)) for _ in range(count)]
        greetings = [cast("ObjectRef[str | XlingualError]", worker.hello.remote()) for worker in started]
        ready, late = ray.wait(greetings, num_returns=count, timeout=READY_SECONDS)
        if late:
            raise EnvironmentFault(
                f"{len(late)} of {count} workers have not started within {READY_SECONDS:.0f} seconds",
                where="ray",
                hint="ray status shows what the cluster lacks; fewer workers may fit",
            )
        for greeting in ready:
            self._check(greeting)
        return started

    def _gpus(self, present: float) -> float:
        gpus = self.config.gpus
        if gpus is None:
            return 1.0 if present and self.config.has_weights else 0.0
        if gpus * self.config.workers > present:
            what = f"{self.config.workers} workers with {gpus:g} GPUs each, and the cluster has {present:g}"
            raise EnvironmentFault(what, where="ray", hint="ask for fewer, or for a part of a GPU: ray:4@0.5:SPEC")
        return gpus

    def _check(self, greeting: "ObjectRef[str | XlingualError]") -> None:
        """Refuse a worker whose model is another one: its answers would stand under a name that is not theirs."""
        import ray  # noqa: PLC0415 - optional and heavy
        from ray.exceptions import RayError  # noqa: PLC0415

        try:
            said = ray.get(greeting)
        except RayError as error:
            hint = "xlingual must be installed on every node, in the same version"
            raise EnvironmentFault(f"a worker does not start ({_first_line(error)})", where="ray", hint=hint) from error
        if isinstance(said, XlingualError):
            raise said
        if said != self.config.fingerprint:
            hint = "files, versions and settings must be the same on every node"
            raise EnvironmentFault("a worker has another model than the driver", where=self.config.word, hint=hint)


@dataclass(frozen=True, slots=True)
class StreamEnd:
    """A worker has come to the end of its chunk."""


@dataclass(frozen=True, slots=True)
class Death:
    """A worker is gone."""

    reason: str


def _take(stream: "Stream") -> Response | Note | XlingualError | StreamEnd | Death:
    """Return what a worker says next."""
    import ray  # noqa: PLC0415 - optional and heavy
    from ray.exceptions import RayError, RayTaskError  # noqa: PLC0415

    try:
        return cast(Response | Note | XlingualError, ray.get(next(stream)))
    except StopIteration:
        return StreamEnd()
    except RayTaskError as error:  # a traceback: what was raised is its end
        return Death(str(error).strip().splitlines()[-1][:200])
    except RayError as error:
        return Death(_first_line(error))


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
