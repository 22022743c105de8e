"""A journal that is torn or damaged at any byte: the other answers count, and those that are gone are asked again."""

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from xlingual.journal import DAMAGED, JOURNAL, open_journal
from xlingual.records import Finish, Response

from .commands import SAMPLES
from .suite import Suite
from .trials import Ended

TEXTS = ["Paris", "Афины, 北京", "", 'a\nb"c\\d']
DAMAGES: dict[str, Callable[[int], bytes]] = {
    "a bit": lambda byte: bytes([byte ^ 0x01]),
    "the sign bit": lambda byte: bytes([byte ^ 0x80]),
    "capitals": lambda byte: bytes([byte ^ 0x20]),
    "a line feed": lambda _: b"\n",
    "NUL": lambda _: b"\x00",
    "no UTF-8": lambda _: b"\xff",
    "nothing": lambda _: b"",
}
"""What becomes of one byte."""
STEP = 13
"""Bytes from one damage to the next where each takes a whole command."""


def _journal(folder: Path) -> dict[str, Response]:
    journal = open_journal(folder)
    for number, text in enumerate(TEXTS):
        journal.append(
            Response(key=f"k{number}", text=text, failure=None, finish=Finish.EOS, prompt_tokens=number, tokens=1)
        )
    journal.close()
    return dict(journal.responses)


def _expect_no_lie(folder: Path, written: dict[str, Response], lost: int, *, mend: bool = True) -> None:
    """Fail where an answer is not the one that was written, or more than `lost` are gone; `mend`: ask for those."""
    journal = open_journal(folder)
    for key, response in journal.responses.items():
        assert response == written[key]
    assert len(journal.responses) >= len(written) - lost
    gone = [key for key in written if key not in journal.responses]
    assert bool(gone) == bool(journal.damaged or journal.torn_bytes)
    if not mend:
        return
    for key in gone:
        journal.append(written[key])
    journal.close()
    again = open_journal(folder)
    assert again.responses == written
    assert (again.damaged, again.torn_bytes) == ((), 0)


@pytest.fixture(autouse=True)
def no_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the kernel has is enough here, and thousands of journals are written."""
    monkeypatch.setattr(os, "fsync", lambda _descriptor: None)


@pytest.mark.parametrize("how", ["a bit", "a line feed"])
def test_a_journal_with_any_byte_damaged_tells_no_lie(tmp_path: Path, how: str) -> None:
    _damage_every_byte(tmp_path, how)


@pytest.mark.slow
@pytest.mark.parametrize("how", [how for how in DAMAGES if how not in ("a bit", "a line feed")])
def test_a_journal_with_any_byte_damaged_in_other_ways_tells_no_lie(tmp_path: Path, how: str) -> None:
    _damage_every_byte(tmp_path, how)


def _damage_every_byte(folder: Path, how: str) -> None:
    written = _journal(folder)
    path = folder / JOURNAL
    whole = path.read_bytes()
    for place in range(len(whole)):
        changed = DAMAGES[how](whole[place])
        if changed != whole[place : place + 1]:
            path.write_bytes(whole[:place] + changed + whole[place + 1 :])
            _expect_no_lie(folder, written, 2, mend=place % 40 == 0)


def test_a_journal_with_a_block_of_zeros_tells_no_lie(tmp_path: Path) -> None:
    """What a power cut leaves on some file systems: a file of the right length, with blocks that were never written."""
    written = _journal(tmp_path)
    path = tmp_path / JOURNAL
    whole = path.read_bytes()
    for place in range(0, len(whole), 7):
        path.write_bytes(whole[:place] + bytes(len(whole) - place))
        _expect_no_lie(tmp_path, written, len(TEXTS), mend=place % 5 == 0)


def _damage_and_resume(suite: Suite, whole: bytes, place: int, content: bytes) -> None:
    """Give `eval` a journal that is `whole` but for a loss at `place`; its results must be those of a calm run."""
    calm = suite.calm("eval")
    [journal] = suite.place.work.rglob(JOURNAL)
    journal.write_bytes(content)
    for path in [*journal.parent.glob("results*"), *journal.parent.glob("samples*")]:
        path.unlink()
    (journal.parent / DAMAGED).unlink(missing_ok=True)
    before = suite.asked()
    ended = suite.warm.run(suite.words("eval"), suite.place)
    assert ended.code == 0, f"byte {place}: {ended}"
    assert suite.results("eval") == calm.files, f"byte {place}: {ended}"
    assert suite.asked() - before <= (SAMPLES if whole.startswith(content) else 2)
    is_short = whole.startswith(content) and content[-1:] in (b"", b"\n")  # as runs leave it: nothing to tell
    assert is_short or _says_what_was_lost(ended) or suite.asked() == before


def _says_what_was_lost(ended: Ended) -> bool:
    return "torn last line" in ended.err or "damaged line" in ended.err


def _finished_journal(suite: Suite) -> bytes:
    suite.begin("eval")
    ended = suite.warm.run(suite.words("eval"), suite.place)
    assert ended.code == 0, str(ended)
    [journal] = suite.place.work.rglob(JOURNAL)
    return journal.read_bytes()


def test_eval_goes_on_with_a_journal_that_is_torn_or_damaged_anywhere(suite: Suite) -> None:
    suite.calm("eval")
    whole = _finished_journal(suite)
    draw = random.Random(7)
    for _ in range(6):
        place = draw.randrange(len(whole) - 1)
        _damage_and_resume(suite, whole, place, whole[:place])
        _damage_and_resume(suite, whole, place, whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])


@pytest.mark.slow
def test_eval_goes_on_with_a_journal_that_is_torn_or_damaged_all_over(suite: Suite) -> None:
    """Torn before, and one bit flipped in, every STEP-th byte, from the first on."""
    suite.calm("eval")
    whole = _finished_journal(suite)
    for place in range(0, len(whole), STEP):
        _damage_and_resume(suite, whole, place, whole[:place])
        _damage_and_resume(suite, whole, place, whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
