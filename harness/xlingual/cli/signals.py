"""Signals: the first one ends the run in order, the second at once.

Besides Ctrl-C and SIGTERM these are SIGHUP, of a terminal that is closed, and SIGUSR1, by which batch systems say that
the time is nearly up. Under nohup, SIGHUP stays ignored.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from ..errors import Interrupted

SAME_WAVE = 2.0
"""Seconds: a terminal and torchrun both pass one Ctrl-C on, which is not to be taken for two."""


def _numbers() -> list[signal.Signals]:
    """Return the signals that end a run in order."""
    found = [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1]
    return found if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else [*found, signal.SIGHUP]


_Handler = Callable[[int, FrameType | None], Any] | int | None


def _put_back(before: dict[signal.Signals, _Handler]) -> None:
    """Give signals the handlers that they had; one that was not set by Python cannot be, and gets the default."""
    for number, handler in before.items():
        signal.signal(number, signal.SIG_DFL if handler is None else handler)


@contextmanager
def orderly_signals(hint: str) -> Iterator[None]:
    """Turn these signals into Interrupted with `hint`, once; a second signal ends the process at once."""
    received: list[int] = []

    def handle(number: int, _frame: FrameType | None) -> None:
        if received:
            os._exit(128 + number)
        received.append(number)
        raise Interrupted(number, hint=hint)

    before: dict[signal.Signals, _Handler] = {number: signal.signal(number, handle) for number in _numbers()}
    try:
        yield
    except Interrupted:
        raise
    except BaseException as error:
        if not received:
            raise
        raise Interrupted(received[0], hint=hint) from error  # a library made another error of it
    finally:
        _put_back(before)


@contextmanager
def noted_signals() -> Iterator[Callable[[], int | None]]:
    """Note these signals and yield what tells the first of them; a later one ends the process at once."""
    received: list[tuple[int, float]] = []

    def handle(number: int, _frame: FrameType | None) -> None:
        if received and time.monotonic() - received[0][1] > SAME_WAVE:
            os._exit(128 + number)
        received.append((number, time.monotonic()))

    before: dict[signal.Signals, _Handler] = {number: signal.signal(number, handle) for number in _numbers()}
    try:
        yield lambda: received[0][0] if received else None
    finally:
        _put_back(before)
