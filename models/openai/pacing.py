"""How much is asked at once, and what is asked again when: the numbers and the rules, without any network."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite

RETRIED = frozenset({408, 409, 425, 429})
"""Besides all of 5xx: what the same request may get an answer to later. Never 400, 401, 403, 404, 413, 422."""
BUSY = frozenset({429, 503})
"""The server says that it is asked too much."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimits:
    """Of one model on one server."""

    initial_concurrency: int = 8
    """Requests at once, after the first has been answered."""
    max_concurrency: int = 64
    connect_seconds: float = 10.0
    read_seconds: float = 300.0
    """Longest silence of the server."""
    sample_seconds: float = 600.0
    """For a sample from its first request on, all attempts and pauses included."""
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
    reached: bool = True
    """Whether something listened at the address."""
    wait: float | None = None
    """Seconds that the server asked to wait."""


@dataclass(slots=True, kw_only=True)
class RequestPacing:
    """Requests at once: one until the server has answered, then more with every answer, half when it is busy."""

    max_concurrency: int
    limit: float = 1.0
    resume_at: float = 0.0
    """Nothing is sent before, in seconds of the event loop's clock."""
    halved_at: float = -1.0
    probed: bool = False

    def open(self, concurrency: int) -> None:
        """Go from the first request, sent alone so that a refused key is sent once, to as many at once."""
        if not self.probed:
            self.probed = True
            self.limit = float(min(concurrency, self.max_concurrency))

    def increase(self) -> None:
        """After an answer: one more at once for every round of answers."""
        self.limit = min(float(self.max_concurrency), self.limit + 1.0 / self.limit)

    def decrease(self, *, sent_at: float, now: float) -> None:
        """After a refusal: half as many, once for all the requests that were in flight when it came."""
        if sent_at > self.halved_at:
            self.limit = max(1.0, self.limit / 2)
            self.halved_at = now

    def hold(self, until: float) -> None:
        """Send nothing before `until`."""
        self.resume_at = max(self.resume_at, until)


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
