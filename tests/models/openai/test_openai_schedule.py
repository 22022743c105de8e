"""The schedule alone, with made-up attempts: which request is sent when."""

import asyncio
import importlib
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import pytest

from xlingual.errors import AuthError
from xlingual.records import Form, Request, Response

Reply: TypeAlias = Callable[[Request], Awaitable[object]]


def make(number: int) -> Request:
    return Request(key=str(number), form=Form.TEXT, messages=(), stop=(), max_new_tokens=1)


def part(name: str) -> Any:  # noqa: ANN401 - a module of the plugin, which is none of the public names
    return importlib.import_module(f"xlingual.plugins.models.openai.{name}")


def said(request: Request) -> Response:
    return Response(key=request.key, text="yes", failure=None, finish=None, prompt_tokens=None, tokens=None)


def refused(wait: float | None = None) -> object:
    return part("pacing").ServerTrouble(kind="HTTP 429", message="busy", retry=True, busy=True, wait=wait)


class TimelessLoop(asyncio.SelectorEventLoop):
    """Time jumps to the next thing to do, so that hours pass at once and no busy machine changes the outcome."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        selector: Any = self._selector  # type: ignore[attr-defined] # of the standard library's loop
        select = selector.select

        def jump(timeout: float | None) -> object:
            self.now += timeout or 0.0
            return select(0)

        selector.select = jump

    def time(self) -> float:
        return self.now


class Log:
    """When each request was sent, and what was delivered."""

    def __init__(self) -> None:
        self.sent: list[tuple[float, str]] = []
        self.delivered: list[Response] = []
        self.now = 0
        self.crowd: list[int] = []
        self.seconds = 0.0
        """Of a timeless run."""

    def run(
        self,
        reply: Callable[[Request], Awaitable[object]],
        *,
        requests: int = 40,
        timeless: bool = False,
        **limits: float,
    ) -> Any:  # noqa: ANN401 - a RequestSchedule
        async def attempt(request: Request, heard: Callable[[], None]) -> object:
            self.sent.append((time.monotonic(), request.key))
            self.now += 1
            self.crowd.append(self.now)
            try:
                return await reply(request)
            finally:
                self.now -= 1

        asked = [make(each) for each in range(requests)]
        quick = {} if timeless else {"backoff_seconds": 0.01, "max_backoff_seconds": 0.02, "sample_seconds": 5.0}
        limits_ = part("pacing").RateLimits(**{**quick, **limits})
        schedule = part("schedule").make_schedule(asked, attempt, self.delivered.append, limits_, "server")
        with asyncio.Runner(loop_factory=TimelessLoop if timeless else None) as runner:
            runner.run(schedule.run())
            self.seconds = runner.get_loop().time()
        assert sorted(each.key for each in self.delivered) == sorted(each.key for each in asked)


def test_the_first_request_goes_alone_and_then_as_many_as_the_start() -> None:
    async def slow(request: Request) -> object:
        await asyncio.sleep(0.02)
        return said(request)

    log = Log()
    log.run(slow)
    assert log.crowd[:9] == [1, 1, 2, 3, 4, 5, 6, 7, 8]
    assert 9 <= max(log.crowd) <= 13


def test_while_the_server_asks_to_wait_nothing_is_sent() -> None:
    asked_to_wait: list[float] = []

    async def reply(request: Request) -> object:
        await asyncio.sleep(0.01)
        if request.key == "3" and not asked_to_wait:
            asked_to_wait.append(time.monotonic())
            return refused(wait=0.3)
        return said(request)

    log = Log()
    log.run(reply)
    assert not [at for at, _ in log.sent if asked_to_wait[0] + 0.02 < at < asked_to_wait[0] + 0.28]
    assert log.sent[-1][0] > asked_to_wait[0] + 0.29


def test_refusals_halve_what_is_asked_at_once() -> None:
    refusals: list[int] = []

    async def reply(request: Request) -> object:
        await asyncio.sleep(0.01)
        if 10 < len(log.sent) <= 26:
            refusals.append(len(log.sent))
            return refused()
        return said(request)

    log = Log()
    log.run(reply)
    assert refusals
    assert max(log.crowd[:10]) >= 8
    assert max(log.crowd[26:34]) <= 5


def test_in_an_outage_few_samples_are_started() -> None:
    """Each begun sample uses up its seconds; those not begun wait for free."""
    start = time.monotonic()

    async def reply(request: Request) -> object:
        await asyncio.sleep(0.002)
        return said(request) if request.key == "0" or time.monotonic() - start > 0.3 else refused()

    log = Log()
    log.run(reply)
    begun = {key for at, key in log.sent if at - start < 0.3}
    assert len(begun) <= 9


def test_a_busy_server_is_asked_until_the_seconds_are_over_and_a_broken_one_a_few_times() -> None:
    trouble = part("pacing").ServerTrouble

    async def busy(request: Request) -> object:
        return refused() if request.key == "5" else said(request)

    async def broken(request: Request) -> object:
        return trouble(kind="HTTP 500", message="broken", retry=True) if request.key == "5" else said(request)

    for reply, fewest, most in ((busy, 15, 500), (broken, 3, 3)):
        log = Log()
        log.run(reply, attempts=3, sample_seconds=0.5)
        count = sum(key == "5" for _, key in log.sent)
        assert fewest <= count <= most
        [failure] = [each.failure for each in log.delivered if each.failure is not None]
        assert f"given up after {count} attempts" in failure.message


def test_answers_that_come_with_the_end_of_a_run_are_not_lost() -> None:
    opened = asyncio.Event()

    async def reply(request: Request) -> object:
        if request.key == "0":
            return said(request)
        if int(request.key) == 8:
            opened.set()
        await opened.wait()
        if request.key == "4":
            raise AuthError("revoked")
        return said(request)

    log = Log()
    with pytest.raises(AuthError):
        log.run(reply)
    assert sorted(each.key for each in log.delivered) == sorted(set("012345678") - {"4"})


def slots(count: int, seconds: float, spread: float = 0.0) -> Reply:
    """A server that answers so many requests at once and takes `seconds` or, with a spread, more for each."""
    free: list[asyncio.Semaphore] = []
    chance = random.Random(0)

    async def reply(request: Request) -> object:
        if not free:
            free.append(asyncio.Semaphore(count))
        async with free[0]:
            await asyncio.sleep(seconds * (1 + spread * chance.random()))
        return said(request)

    return reply


@pytest.mark.parametrize("spread", [0.0, 1.0, 5.0])
def test_a_server_of_one_request_at_a_time_answers_all(spread: float) -> None:
    """P10, in seconds: 10 an answer, 300 of silence, 600 a sample."""
    log = Log()
    log.run(slots(1, 10.0, spread), requests=600, timeless=True)
    assert [each.failure for each in log.delivered] == [None] * 600
    assert len(log.sent) == 600
    assert 8 <= max(log.crowd[:20]) <= 10
    assert sorted(log.crowd[60:])[270] <= 3
    assert log.seconds == pytest.approx(6000 * (1 + spread / 2), rel=0.05)


@pytest.mark.parametrize("spread", [0.0, 1.0, 5.0])
@pytest.mark.parametrize(("count", "most"), [(16, 32), (100, 64)])
def test_concurrency_stays_where_the_server_works_in_parallel(count: int, most: int, spread: float) -> None:
    """The time of a run is about that of the server, though it begins with eight and grows by one a round."""
    log = Log()
    log.run(slots(count, 2.0, spread), requests=2000, timeless=True)
    assert log.seconds < 2.5 * 2000 * 2.0 * (1 + spread / 2) / min(count, 64)
    assert most / 2 < max(log.crowd) <= most


def test_time_spent_on_our_own_others_is_no_silence() -> None:
    """64 at once from the start, each taking its turn: the last waits for 640 seconds, the limit of silence is 100."""
    log = Log()
    limits = {"initial_concurrency": 64, "read_seconds": 100.0, "sample_seconds": 200.0}
    log.run(slots(1, 10.0), requests=65, timeless=True, **limits)
    assert [each.failure for each in log.delivered] == [None] * 65
    assert max(log.crowd) == 64
    assert len(log.sent) == 65


def test_silence_is_counted_where_later_requests_are_answered() -> None:
    async def reply(request: Request) -> object:
        await asyncio.sleep(1e6 if request.key == "3" else 5.0)
        return said(request)

    log = Log()
    log.run(reply, requests=2000, timeless=True, attempts=2, read_seconds=50.0)
    [failure] = [each.failure for each in log.delivered if each.failure is not None]
    assert failure.kind == "timeout"
    assert "given up after 2 attempts" in failure.message
    place = [each.failure is not None for each in log.delivered].index(True)
    assert place < 1990


def test_the_pace_follows_the_server() -> None:
    pacing = part("pacing")
    pace = pacing.RequestPacing(max_concurrency=10)
    assert pace.limit == 1
    pace.open(8)
    for _ in range(8):
        pace.increase()
    assert 8.9 < pace.limit < 9
    pace.decrease(sent_at=1.0, now=2.0)
    pace.decrease(sent_at=1.5, now=2.1)  # was in flight when the first refusal came
    assert 4.4 < pace.limit < 4.5
    for at in (3.0, 5.0, 7.0):
        pace.decrease(sent_at=at, now=at + 1)
    assert pace.limit == 1
    for _ in range(200):
        pace.increase()
    assert pace.limit == 10
    limits = pacing.RateLimits(backoff_seconds=1.0, max_backoff_seconds=4.0)
    pauses = [[pacing.backoff(limits, attempts) for _ in range(50)] for attempts in (1, 2, 9)]
    assert [max(each) <= bound and max(each) > bound / 2 for each, bound in zip(pauses, (1, 2, 4), strict=True)]
    assert min(pauses[2]) < 1
