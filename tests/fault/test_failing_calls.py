"""The n-th call to the file system fails, for n = 1, 2, 3 and so on until no call is left to fail."""

import pytest

from .commands import COMMANDS
from .layer import CHANGING, KINDS, Fault
from .suite import Suite

WRITES = tuple(sorted(CHANGING))
READS = tuple(kind for kind in KINDS if kind not in CHANGING)
CODES = dict.fromkeys(("verify", "board", "view", "analyze content"), (0, 3, 5))
"""These say of a run that it cannot be read, and go on with the next; 3 where there is no other."""
MANY = 10
"""Trials of a command but `eval`, about, spread evenly over its calls from the first; of `eval` every call fails."""


def _sweep(
    suite: Suite, name: str, kinds: tuple[str, ...], action: str = "error", *, lasts: bool = False, step: int = 1
) -> int:
    """Let every call of these kinds fail, one a trial, or each of so many; return how many there were."""
    codes = CODES.get(name, (0, 5))
    number = 1 - step
    while True:
        number += step
        fault = Fault(at=number, action=action, kinds=kinds, lasts=lasts)
        ended = suite.try_fault(name, fault, codes)
        if ended.hit is None:
            assert ended.code == 0
            return number - 1


def _step(suite: Suite, name: str, kinds: tuple[str, ...]) -> int:
    return 1 if name == "eval" else max(1, len(suite.calm(name, kinds).calls) // MANY)


@pytest.mark.slow
def test_every_write_of_eval_fails_once(suite: Suite) -> None:
    assert _sweep(suite, "eval", WRITES) > 20


def test_the_disk_is_full_from_writes_all_over_eval_on(suite: Suite) -> None:
    assert _sweep(suite, "eval", WRITES, "ENOSPC", lasts=True, step=5) > 20


@pytest.mark.slow
def test_the_disk_is_full_from_any_write_of_eval_on(suite: Suite) -> None:
    assert _sweep(suite, "eval", WRITES, "ENOSPC", lasts=True) > 20


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", COMMANDS)
def test_reads_of_every_command_fail(suite: Suite, name: str) -> None:
    assert _sweep(suite, name, READS, step=_step(suite, name, READS)) > 0


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", [name for name in COMMANDS if COMMANDS[name].results])
def test_writes_of_every_command_fail(suite: Suite, name: str) -> None:
    assert _sweep(suite, name, WRITES, step=_step(suite, name, WRITES)) > 0


@pytest.mark.slow
@pytest.mark.parametrize("action", ["short", "part"])
def test_every_write_is_taken_by_half(suite: Suite, action: str) -> None:
    """Once the rest has room, nothing has happened; once it has none, the half is cut off again."""
    assert _sweep(suite, "eval", ("write",), action) > 5
