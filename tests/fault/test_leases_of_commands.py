"""Two commands on one folder, whichever they are: one of them writes, and the other says who does."""

from pathlib import Path

import pytest

from xlingual.lease import LOCK, lock_folder

from .suite import Suite
from .trials import Ended, expect_order, stored_keys

WRITERS = ("eval", "judge", "score a run")
"""Commands that write into the folder of a run."""


def _folder(suite: Suite, name: str) -> Path:
    """Return the folder that a command writes to, as an earlier command has left it."""
    found = {"eval": "out/*/*/journal.jsonl", "judge": "runs/*/judge_*/verdicts/journal.jsonl"}
    if name == "score a run":
        return suite.place.work / suite.stock.runs[0]
    [journal] = suite.place.work.glob(found[name])
    return journal.parent


@pytest.mark.parametrize("name", WRITERS)
def test_a_folder_that_another_run_holds_is_refused_and_left_as_it_is(suite: Suite, name: str) -> None:
    suite.calm(name)
    suite.begin(name)
    assert suite.warm.run(suite.words(name), suite.place).code == 0
    before = suite.results(name)
    with lock_folder(_folder(suite, name)):
        refused = suite.warm.run(suite.words(name), suite.place)
        expect_order(refused, (5,))
        assert "in use by pid" in refused.err
    assert suite.results(name) == before


@pytest.mark.parametrize("name", WRITERS)
def test_of_two_commands_at_once_one_writes(suite: Suite, name: str) -> None:
    """The second is refused, or begins when the first has ended; no question is put twice either way."""
    calm = suite.calm(name)
    for _ in range(3):
        suite.begin(name)
        pids = [suite.warm.start(suite.words(name), suite.place, trace=f"trace{number}") for number in range(2)]
        ended = [suite.warm.wait(pid, suite.place, f"trace{number}") for number, pid in enumerate(pids)]
        codes = [each.code for each in ended]
        assert set(codes) <= {0, 5}, _both(ended)
        assert "Traceback" not in ended[0].err
        if 0 not in codes:  # each had seen the other's lock
            assert suite.warm.run(suite.words(name), suite.place).code == 0
        assert suite.results(name) == calm.files, _both(ended)
        assert suite.asked() == len(calm.keys - _before(suite, name))
        assert not list(suite.place.work.rglob(LOCK))


def _before(suite: Suite, name: str) -> set[str]:
    return set() if name == "eval" else stored_keys(suite.stock.folder)


def _both(ended: list[Ended]) -> str:
    return "\n".join(map(str, ended))
