"""SIGINT, SIGTERM, SIGHUP and SIGUSR1 at any call: the run ends in order, and the same command goes on."""

import random
import signal

import pytest

from .commands import COMMANDS
from .layer import Fault
from .suite import Suite
from .trials import Ended

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1")


def _codes(name: str) -> tuple[int, ...]:
    """Return how a command may end: in order, before it looks at signals or after, or because it was over by then."""
    number = int(signal.Signals[name])
    return (0, 128 + number, -number)


def _signal_at(suite: Suite, name: str, number: int, which: str) -> Ended:
    ended = suite.try_signal(name, Fault(at=number, action=which), _codes(which))
    assert "Traceback" not in ended.err, str(ended)
    return ended


@pytest.mark.parametrize("which", SIGNALS)
def test_signals_at_random_calls_end_eval_in_order(suite: Suite, which: str) -> None:
    total = len(suite.calm("eval").calls)
    draw = random.Random(which)
    codes = [_signal_at(suite, "eval", draw.randrange(1, total + 1), which).code for _ in range(5)]
    assert set(codes) <= set(_codes(which))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ["eval", "judge"])
def test_a_signal_at_every_call(suite: Suite, name: str) -> None:
    total = len(suite.calm(name).calls)
    codes = {_signal_at(suite, name, number, SIGNALS[number % 4]).code for number in range(1, total + 1)}
    assert codes > {130, 143}


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_ctrl_c_at_random_calls_of_every_command(suite: Suite, name: str) -> None:
    total = len(suite.calm(name).calls)
    draw = random.Random(name)
    for _ in range(4):
        _signal_at(suite, name, draw.randrange(1, total + 1), "SIGINT")
