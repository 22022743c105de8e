"""Many samples through one server: which request is sent when, which is sent again, and which fails."""

import asyncio
import heapq
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from xlingual.errors import EnvironmentFault
from xlingual.records import Failure, Request, Response, failed_response

from .pacing import RateLimits, RequestPacing, ServerTrouble, backoff


@dataclass(slots=True, kw_only=True)
class Sample:
    """A request that is not answered yet."""

    request: Request
    began: float
    """When it was first sent, in seconds of the event loop's clock."""
    sent_at: float = 0.0
    attempts: int = 0


@dataclass(slots=True, kw_only=True)
class RequestSchedule:
    """Asks all `waiting` requests; `attempt` sends one once and may raise what ends the run."""

    attempt: Callable[[Request], Awaitable[Response | ServerTrouble]]
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
            seconds = sample.began + self.limits.sample_seconds - now
            sample.attempts += 1
            sample.sent_at = now
            self.in_flight[asyncio.ensure_future(self._try(sample.request, seconds))] = sample

    def _next(self, now: float) -> Sample | None:
        """Return a sample whose pause is over, else a new one if few are unfinished: an outage starts few."""
        if self.retries and self.retries[0][0] <= now:
            return heapq.heappop(self.retries)[2]
        if self.waiting and len(self.in_flight) + len(self.retries) + 1 <= max(1.0, self.pace.limit):
            return Sample(request=self.waiting.popleft(), began=now)
        return None

    async def _try(self, request: Request, seconds: float) -> Response | ServerTrouble:
        try:
            async with asyncio.timeout(seconds):
                return await self.attempt(request)
        except TimeoutError:
            message = f"no whole answer within the {self.limits.sample_seconds:g} seconds of a sample"
            return ServerTrouble(kind="timeout", message=message, retry=False)

    def _finish_all(self, done: set[asyncio.Task[Response | ServerTrouble]], now: float) -> None:
        finished = [(task, self.in_flight.pop(task)) for task in done]
        # What ends the run is raised after the answers that came with it are safe.
        finished.sort(key=lambda each: each[0].exception() is not None)
        for task, sample in finished:
            self._finish(sample, task.result(), now)

    def _finish(self, sample: Sample, outcome: Response | ServerTrouble, now: float) -> None:
        self.pace.open(self.limits.initial_concurrency)
        if isinstance(outcome, Response):
            self.reached = True
            self.pace.increase()
            self.deliver(outcome)
            return
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
            hint = "check the address, and that the server is running"
            raise EnvironmentFault(f"the server cannot be reached ({trouble.message})", where=self.where, hint=hint)
        message = trouble.message
        if trouble.wait is not None and trouble.wait > self.limits.max_wait_seconds:
            message += f"; the server asks to wait {trouble.wait:.0f} seconds"
        elif trouble.retry:
            message += f"; given up after {sample.attempts} attempts in {now - sample.began:.1f} seconds"
        self.deliver(failed_response(sample.request, Failure(kind=trouble.kind, message=message)))


def make_schedule(
    requests: Sequence[Request],
    attempt: Callable[[Request], Awaitable[Response | ServerTrouble]],
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
