"""How much is asked at once, and what is asked again when: the numbers and the rules, without any network."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite

RETRIED = frozenset({408, 409, 425, 429})
"""Besides all of 5xx: what the same request may get an answer to later. Never 400, 401, 403, 404, 413, 422."""
BUSY = frozenset({429, 503})
"""The server says that it is asked too much."""

ANSWER_WORK = 32
"""Tokens that an answer counts for besides its own: reading the prompt is work as well."""
SHORTEST_ROUND = 4
"""Answers over which a rate is measured, at least."""
LEAST_ROUND = 0.8
"""Of the time that an answer takes."""
LEAST_GAIN = 0.25
"""Twice as many at once must bring 2 ** 0.25 times as many answers a second, 19% more."""
FIRST_REST = 4
"""Rounds without growth after growth brought nothing; twice as many each time."""
LONGEST_REST = 32
"""Rounds: the most of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimits:
    """How much is asked of one server at once, how long it is waited for, and how often it is asked again."""

    initial_concurrency: int = 8
    """Requests at once, after the first has been answered."""
    max_concurrency: int = 64
    connect_seconds: float = 10.0
    read_seconds: float = 300.0
    """Longest silence of the server; while it answers what we sent before, it is not silent."""
    sample_seconds: float = 600.0
    """For a sample from its first request on, all attempts and pauses included, but not while others were answered."""
    attempts: int = 10
    """Of a sample whose server fails; where the server is only busy, the seconds alone decide."""
    first_attempts: int = 5
    """Where nothing has ever listened at the address."""
    backoff_seconds: float = 0.5
    max_backoff_seconds: float = 30.0
    max_wait_seconds: float = 60.0
    """A longer pause that a server asks for is not kept: the sample fails."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTrouble:
    """An attempt without an answer."""

    kind: str
    message: str
    retry: bool
    busy: bool = False
    final: bool = False
    """Whether the server refuses the request as it is, so that others like it may be refused too."""
    reached: bool = True
    """Whether something listened at the address."""
    wait: float | None = None
    """Seconds that the server asked to wait."""


@dataclass(slots=True, kw_only=True)
class RequestPacing:
    """Requests at once: one until the server has answered, then more with every answer, half when it is busy.

    Latency counts as well. Every round of answers is measured; where more requests at once brought no more answers a
    second, they only queued, and there are fewer again.
    """

    max_concurrency: int
    limit: float = 1.0
    resume_at: float = 0.0
    """Nothing is sent before, in seconds of the event loop's clock."""
    halved_at: float = -1.0
    probed: bool = False
    rates: dict[int, float] = field(default_factory=dict)
    """Work a second that was measured at so many requests at once."""
    round_began: float | None = None
    round_level: int = 1
    round_answers: int = 0
    round_work: float = 0.0
    draining: int = 0
    """Answers that do not count: to what was sent when there were more at once."""
    resting: int = 0
    """Rounds for which there will not be more at once."""
    patience: int = FIRST_REST

    def open(self, concurrency: int) -> None:
        """Go from the first request, sent alone so that a refused key is sent once, to as many at once."""
        if not self.probed:
            self.probed = True
            self.limit = float(min(concurrency, self.max_concurrency))

    def increase(self) -> None:
        """After an answer: one more at once for every round of answers."""
        if not self.resting:
            self.limit = min(float(self.max_concurrency), self.limit + 1.0 / self.limit)

    def decrease(self, *, sent_at: float, now: float) -> None:
        """After a refusal: half as many, once for all the requests that were in flight when it came."""
        self.round_began = None
        if sent_at > self.halved_at:
            self.limit = max(1.0, self.limit / 2)
            self.halved_at = now

    def hold(self, until: float) -> None:
        """Send nothing before `until`."""
        self.round_began = None
        self.resume_at = max(self.resume_at, until)

    def measure(self, tokens: int | None, *, sent_at: float, now: float) -> None:
        """Take note of an answer of so many tokens, while there is more to ask; the first one was alone."""
        work = ANSWER_WORK + (tokens or 0)
        if not self.rates:
            self.rates[1] = work / max(now - sent_at, 1e-6)
        elif self.draining:
            self.draining -= 1
            self.round_began = None
        elif self.round_began is None:
            self._begin_round(now)
        else:
            self.round_answers += 1
            self.round_work += work
            # A round lasts about as long as an answer takes: of many that come at one moment, none is measured alone.
            is_long = now - self.round_began >= LEAST_ROUND * (now - sent_at)
            if is_long and self.round_answers >= max(SHORTEST_ROUND, self.round_level):
                rate = self.round_work / max(now - self.round_began, 1e-6)
                self._begin_round(now) if self._gains(rate) else self._fall_back()

    def _begin_round(self, now: float) -> None:
        self.round_began, self.round_level, self.round_answers, self.round_work = now, round(self.limit), 0, 0.0

    def _gains(self, rate: float) -> bool:
        """Whether a round of so much work a second is worth its concurrency, measured by that of fewer at once."""
        level = self.round_level
        self.resting = max(0, self.resting - 1)
        fewer = max((each for each in self.rates if each <= level * 0.7), default=None)
        self.rates[level] = rate
        if fewer is None:
            return True
        if rate >= self.rates[fewer] * (level / fewer) ** LEAST_GAIN:
            self.patience = FIRST_REST
            return True
        return False

    def _fall_back(self) -> None:
        fewer = max(each for each in self.rates if each <= self.round_level * 0.7)
        self.limit = float(max(fewer, self.round_level // 2))
        self.rates = {each: found for each, found in self.rates.items() if each <= self.limit}
        self.draining, self.round_began = self.round_level, None
        self.resting = self.patience
        self.patience = min(2 * self.patience, LONGEST_REST)


def backoff(limits: RateLimits, attempts: int) -> float:
    """Return the pause before the next attempt in seconds: anything up to a bound that doubles (full jitter)."""
    bound = limits.backoff_seconds * 2.0 ** min(attempts - 1, 30)
    return random.uniform(0.0, min(bound, limits.max_backoff_seconds))  # noqa: S311 - no secret


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of a Retry-After header in either of its forms, None where there is none or it says nothing.

    A date is compared with the server's own clock where the server tells it.
    """
    value = headers.get("retry-after", "").strip()
    try:
        seconds = float(value)
    except ValueError:
        then = _read_date(value)
        now = _read_date(headers.get("date", "")) or datetime.now(UTC)
        return None if then is None else max(0.0, (then - now).total_seconds())
    return seconds if isfinite(seconds) and seconds >= 0 else None


def _read_date(value: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(value)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
