"""Signals: the first one ends the run in order, the second at once."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from ..errors import Interrupted


@contextmanager
def orderly_signals(hint: str) -> Iterator[None]:
    """Turn SIGINT and SIGTERM into Interrupted with `hint`, once; a second signal ends the process at once."""
    received: list[int] = []

    def handle(number: int, _frame: FrameType | None) -> None:
        if received:
            os._exit(128 + number)
        received.append(number)
        raise Interrupted(number, hint=hint)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
