"""Many samples through one server: which request is sent when, which is sent again, and which fails."""

import asyncio
import heapq
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from xlingual.records import Failure, Request, Response, failed_response

from .client import unreached
from .pacing import RateLimits, RequestPacing, ServerTrouble, backoff

SILENCE = "timeout"
"""Kind of the failure of a sample that the server is silent about."""
UNREADABLE = frozenset({"not JSON", "wrong choices", "no content"})
"""Kinds of failures that say: this is no server of this API, or no such model."""
FEW = 5
"""Samples that all fail in one way before any other is answered: then the rest are not sent."""
Attempt: TypeAlias = Callable[[Request, Callable[[], None]], Awaitable[Response | ServerTrouble]]
"""Sends a request once; calls the function whenever a part of the answer has come."""


@dataclass(slots=True, kw_only=True)
class Sample:
    """A request that is not answered yet."""

    request: Request
    began: float
    """When it was first sent, in seconds of the event loop's clock, moved on by what the server spent on our others."""
    sent_at: float = 0.0
    heard_at: float = 0.0
    """When the server last did something for it, or for one that was sent before it."""
    counted_from: float = 0.0
    attempts: int = 0
    timer: asyncio.Timeout | None = None

    def send(self, now: float) -> None:
        """Begin an attempt."""
        self.sent_at = self.heard_at = self.counted_from = now
        self.attempts += 1

    def wait_on(self, now: float, limits: RateLimits, *, queued: bool) -> None:
        """Wait on: a part of the answer has come, or (`queued`) one that was sent before it is answered.

        A server that answers one at a time makes our requests wait for each other; no sample's time is spent on that.
        """
        self.heard_at = now
        if queued:
            self.began += now - self.counted_from
        self.counted_from = now
        if self.timer is not None and not self.timer.expired():
            self.timer.reschedule(self.deadline(limits))

    def deadline(self, limits: RateLimits) -> float:
        """Return when the attempt ends if nothing more is heard."""
        return min(self.began + limits.sample_seconds, self.heard_at + limits.read_seconds)


@dataclass(slots=True, kw_only=True)
class RequestSchedule:
    """Asks all `waiting` requests; `attempt` sends one once and may raise what ends the run."""

    attempt: Attempt
    deliver: Callable[[Response], None]
    limits: RateLimits
    pace: RequestPacing
    waiting: deque[Request]
    where: str
    """The server, for messages."""
    in_flight: dict[asyncio.Task[Response | ServerTrouble], Sample] = field(default_factory=dict)
    retries: list[tuple[float, int, Sample]] = field(default_factory=list)
    """A heap by the time from which the sample may be asked again."""
    reached: bool = False
    answered: bool = False
    refusals: Counter[str] = field(default_factory=Counter)
    """Samples that the server refused for good, by the kind of the failure, until one was answered."""
    pushed: int = 0
    """Retries so far: orders those that are due at the same time."""

    async def run(self) -> None:
        """Deliver a response for every request. Raises what `attempt` raises, and cancels what is in flight."""
        clock = asyncio.get_running_loop().time
        try:
            while self.waiting or self.retries or self.in_flight:
                now = clock()
                self._launch(now)
                wakes = [at for at in (self.pace.resume_at, *(each[0] for each in self.retries[:1])) if at > now]
                pause = min(wakes) - now if wakes else None
                if not self.in_flight:
                    await asyncio.sleep(pause or 0.0)
                    continue
                done, _ = await asyncio.wait(self.in_flight, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
                self._finish_all(done, clock())
        finally:
            for task in self.in_flight:
                task.cancel()
            await asyncio.gather(*self.in_flight, return_exceptions=True)

    def _launch(self, now: float) -> None:
        while now >= self.pace.resume_at and len(self.in_flight) + 1 <= max(1.0, self.pace.limit):
            sample = self._next(now)
            if sample is None:
                return
            sample.send(now)
            self.in_flight[asyncio.ensure_future(self._try(sample))] = sample

    def _next(self, now: float) -> Sample | None:
        """Return a sample whose pause is over, else a new one if few are unfinished: an outage starts few."""
        if self.retries and self.retries[0][0] <= now:
            return heapq.heappop(self.retries)[2]
        if self.waiting and len(self.in_flight) + len(self.retries) + 1 <= max(1.0, self.pace.limit):
            return Sample(request=self.waiting.popleft(), began=now)
        return None

    async def _try(self, sample: Sample) -> Response | ServerTrouble:
        clock = asyncio.get_running_loop().time
        try:
            async with asyncio.timeout_at(sample.deadline(self.limits)) as sample.timer:
                return await self.attempt(sample.request, lambda: sample.wait_on(clock(), self.limits, queued=False))
        except TimeoutError:
            if clock() < sample.began + self.limits.sample_seconds:
                message = f"no answer within {self.limits.read_seconds:g} seconds"
                return ServerTrouble(kind=SILENCE, message=message, retry=True)
            message = f"no whole answer within the {self.limits.sample_seconds:g} seconds of a sample"
            return ServerTrouble(kind=SILENCE, message=message, retry=False)

    def _finish_all(self, done: set[asyncio.Task[Response | ServerTrouble]], now: float) -> None:
        finished = [(task, self.in_flight.pop(task)) for task in done]
        # What ends the run is raised after the answers that came with it are safe.
        finished.sort(key=lambda each: each[0].exception() is not None)
        for task, sample in finished:
            outcome = task.result()
            if isinstance(outcome, Response) or outcome.kind != SILENCE:
                for other in self.in_flight.values():
                    if other.sent_at >= sample.sent_at:
                        other.wait_on(now, self.limits, queued=True)
            self._finish(sample, outcome, now)

    def _finish(self, sample: Sample, outcome: Response | ServerTrouble, now: float) -> None:
        if isinstance(outcome, Response):
            self.reached = True
            self.pace.open(self.limits.initial_concurrency)
            self.pace.increase()
            if self.waiting:
                self.pace.measure(outcome.tokens, sent_at=sample.sent_at, now=now)
            self.deliver(outcome)
            self._count(outcome.failure, final=outcome.failure is not None and outcome.failure.kind in UNREADABLE)
            return
        if not outcome.final:  # while all are refused, one at a time is enough
            self.pace.open(self.limits.initial_concurrency)
        self.reached = self.reached or outcome.reached
        too_long = outcome.wait is not None and outcome.wait > self.limits.max_wait_seconds
        if outcome.busy:
            self.pace.decrease(sent_at=sample.sent_at, now=now)
            if outcome.wait is not None and not too_long:
                self.pace.hold(now + outcome.wait)
        ready = now + max(outcome.wait or 0.0, backoff(self.limits, sample.attempts))
        in_time = max(ready, self.pace.resume_at) < sample.began + self.limits.sample_seconds
        if outcome.retry and not too_long and in_time and self._has_attempts(sample, outcome):
            self.pushed += 1
            heapq.heappush(self.retries, (ready, self.pushed, sample))
        else:
            self._fail(sample, outcome, now)

    def _has_attempts(self, sample: Sample, trouble: ServerTrouble) -> bool:
        return trouble.busy or sample.attempts < (self.limits.attempts if self.reached else self.limits.first_attempts)

    def _fail(self, sample: Sample, trouble: ServerTrouble, now: float) -> None:
        if not self.reached:
            raise unreached(self.where, trouble.message)
        message = trouble.message
        if trouble.wait is not None and trouble.wait > self.limits.max_wait_seconds:
            message += f"; the server asks to wait {trouble.wait:.0f} seconds"
        elif trouble.retry:
            message += f"; given up after {sample.attempts} attempts in {now - sample.began:.1f} seconds"
        failure = Failure(kind=trouble.kind, message=message)
        self.deliver(failed_response(sample.request, failure))
        self._count(failure, final=trouble.final)

    def _count(self, failure: Failure | None, *, final: bool) -> None:
        """Count what the first samples get; where a few get one and the same refusal, the rest would get it too."""
        if failure is None:
            self.answered = True
        if failure is None or self.answered or not final:
            return
        self.refusals[failure.kind] += 1
        if self.refusals[failure.kind] < FEW or len(self.refusals) > 1:
            return
        message = f"{failure.message} (not sent: the first {FEW} all got this)"
        while self.waiting:
            self.deliver(failed_response(self.waiting.popleft(), Failure(kind=failure.kind, message=message)))


def make_schedule(
    requests: Sequence[Request],
    attempt: Attempt,
    deliver: Callable[[Response], None],
    limits: RateLimits,
    where: str,
) -> RequestSchedule:
    """Return the schedule of `requests`, none of them sent."""
    return RequestSchedule(
        attempt=attempt,
        deliver=deliver,
        limits=limits,
        pace=RequestPacing(max_concurrency=limits.max_concurrency),
        waiting=deque(requests),
        where=where,
    )
