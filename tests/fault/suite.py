"""What every fault is followed by: the same command again, which must end as if there had been none."""

import errno
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .commands import COMMANDS, Command, Stock
from .layer import ERRORS, KINDS, Fault
from .trials import Ended, Place, Warm, expect_order, read, snapshot, stored_keys

ORDERLY = (0, 5)
"""Exit codes of a command that could not read or write: it did not matter, or the machine is at fault."""


@dataclass(frozen=True, slots=True)
class Calm:
    """What a command leaves and says undisturbed."""

    files: dict[str, str]
    out: str
    keys: frozenset[str]
    """Of all answers below the results."""
    calls: tuple[str, ...]


@dataclass(slots=True)
class Suite:
    """Puts faults through commands."""

    warm: Warm
    stock: Stock
    place: Place
    known: dict[str, Calm] = field(default_factory=dict)

    def command(self, name: str) -> Command:
        return COMMANDS[name]

    def words(self, name: str) -> list[str]:
        return self.stock.words(COMMANDS[name])

    def begin(self, name: str) -> None:
        """Put the inputs of a command into an empty working folder."""
        self.place.fill(self.stock.folder, self.command(name).inputs)

    def results(self, name: str) -> dict[str, str]:
        """Return what the command has written so far."""
        found: dict[str, str] = {}
        for each in self.command(name).results:
            path = self.place.work / each
            inside = snapshot(path) if path.is_dir() else snapshot(path.parent)
            kept = inside if path.is_dir() else {key: text for key, text in inside.items() if key == path.name}
            found |= {f"{each}: {key}": text for key, text in kept.items()}
        return found

    def calm(self, name: str, kinds: Sequence[str] = KINDS) -> Calm:
        """Return how the command ends undisturbed, and the calls of these kinds that it makes."""
        key = f"{name} {','.join(kinds)}"
        if key not in self.known:
            self.begin(name)
            counted = Fault(kinds=tuple(kinds))
            ended = self.warm.run(self.words(name), self.place, fault=counted, watched=[self.place.work])
            assert ended.code == 0, str(ended)
            keys = frozenset(stored_keys(self.place.work))
            self.known[key] = Calm(self.results(name), ended.out, keys, ended.calls)
        return self.known[key]

    def try_fault(self, name: str, fault: Fault, codes: Sequence[int] = ORDERLY) -> Ended:
        """Run a command with a fault, and again without; return how the first ended.

        Fails unless it ended in order, and unless the second left what is left undisturbed and asked for no answer that
        had been stored.
        """
        calm = self.calm(name, fault.kinds)
        self.begin(name)
        ended = self.warm.run(self.words(name), self.place, fault=fault)
        if -9 not in codes:
            expect_order(ended, codes)
        assert ended.code in codes, str(ended)
        if ended.code == 0:
            self._expect_the_same(name, calm, ended)
        if ended.code in ORDERLY and "unlink" not in (ended.hit or "unlink"):
            assert leftovers(self.place.work) == [], str(ended)
        self.expect_resume(name, calm, ended)
        return ended

    def try_signal(self, name: str, fault: Fault, codes: Sequence[int]) -> Ended:
        """As `try_fault` with a signal, which leaves no lock and no temporary file where the command ends in order."""
        calm = self.calm(name)
        self.begin(name)
        ended = self.warm.run(self.words(name), self.place, fault=fault)
        assert ended.code in codes, str(ended)
        if ended.code is not None and ended.code > 128:
            assert leftovers(self.place.work) == [], str(ended)
        self.expect_resume(name, calm, ended)
        return ended

    def expect_resume(self, name: str, calm: Calm, before: Ended) -> None:
        """Run the command without a fault, after one that ended as `before`, and expect the undisturbed results."""
        stored = stored_keys(self.place.work)
        asked = self.asked()
        again = self.warm.run(self.words(name), self.place)
        assert again.code == 0, f"{before}\n--- again:\n{again}"
        self._expect_the_same(name, calm, again, before)
        assert again.out == calm.out, f"{before}\n--- again:\n{again}"
        if self.command(name).answers:
            assert self.asked() - asked == len(calm.keys - stored), f"asked again\n{before}"
            assert stored_keys(self.place.work) == calm.keys

    def _expect_the_same(self, name: str, calm: Calm, ended: Ended, before: Ended | None = None) -> None:
        found = self.results(name)
        if self.command(name).left_out and _says_what_is_missing(ended, found):
            return
        if not self.command(name).results:
            assert ended.out == calm.out, f"{before}\n{ended}"
        assert found.keys() == calm.files.keys(), f"{before}\n{ended}"
        differing = [key for key, text in found.items() if text != calm.files[key]]
        assert not differing, f"{differing}\n{before}\n{ended}"

    def asked(self) -> int:
        """Return how many questions were put to the scripted model in this trial."""
        return len(read(self.place.said / "asked").split())


def leftovers(folder: Path) -> list[str]:
    """Return the names of temporary files and locks below a folder."""
    names = [path.name for path in folder.rglob("*") if path.name != ".metadata"]  # of torch's checkpoints
    return [name for name in names if name == "lock" or name.startswith(".") or name.endswith((".tmp", ".stale"))]


def _says_what_is_missing(ended: Ended, files: Mapping[str, str]) -> bool:
    """Return whether the command or the page that it has written names something that it could not read."""
    said = "\n".join([ended.out, ended.err, *files.values()])
    reasons = [os.strerror(getattr(errno, name)) for name in ERRORS["open"] + ERRORS["read"]]
    return any(words in said for words in ("cannot be read", "cannot be searched", "cannot be checked", *reasons))
