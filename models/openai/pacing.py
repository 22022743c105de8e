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

    start: int = 8
    """Requests at once, after the first has been answered."""
    most: int = 64
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
    longest_backoff_seconds: float = 30.0
    longest_wait_seconds: float = 60.0
    """A server that asks for a longer pause is not waited for."""


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
    """Seconds that the server asked to be left alone."""


@dataclass(slots=True, kw_only=True)
class RequestPacing:
    """Requests at once: one until the server has said anything, then more with every answer, half when it is busy."""

    most: int
    room: float = 1.0
    resume_at: float = 0.0
    """Nothing is sent before, in seconds of the event loop's clock."""
    halved_at: float = -1.0
    probed: bool = False

    def open_up(self, start: int) -> None:
        """Go from the first request, sent alone so that a refused key is sent once, to `start` at once."""
        if not self.probed:
            self.probed = True
            self.room = float(min(start, self.most))

    def speed_up(self) -> None:
        """Take an answer: one more at once for every round of answers."""
        self.room = min(float(self.most), self.room + 1.0 / self.room)

    def slow_down(self, *, sent_at: float, now: float) -> None:
        """Take a refusal: half as much, once for all the requests that were under way when it came."""
        if sent_at > self.halved_at:
            self.room = max(1.0, self.room / 2)
            self.halved_at = now

    def hold(self, until: float) -> None:
        """Send nothing before `until`."""
        self.resume_at = max(self.resume_at, until)


def backoff(limits: RateLimits, attempts: int) -> float:
    """Return the pause before the next attempt in seconds: anything up to a bound that doubles (full jitter)."""
    bound = limits.backoff_seconds * 2.0 ** min(attempts - 1, 30)
    return random.uniform(0.0, min(bound, limits.longest_backoff_seconds))  # noqa: S311 - no secret


def asked_wait(headers: Mapping[str, str]) -> float | None:
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
