"""A program for a mount namespace of its own: commands on a tmpfs that fills up. Prints how many trials it has made.

unshare --mount python -m tests.fault.small_disk DISK STOCK FIRST SECOND out eval
unshare --mount python -m tests.fault.small_disk DISK STOCK FIRST SECOND cache "scale fit"
"""

import subprocess
import sys
from pathlib import Path

from .commands import COMMANDS, Stock
from .layer import CHANGING, Fault
from .suite import Suite
from .trials import Place, Warm, expect_order, warm_process

ROOM = 32 * 2**20
"""Of the disk with the results: a run asks for 16 MiB before it begins."""
STEPS = 6
"""Moments at which the disk fills up, about, spread evenly over the calls of a command that change it."""


def fill_while_it_runs(suite: Suite, name: str, disk: Path) -> int:
    """Fill the disk at one call after the other; with room again, the same command ends undisturbed."""
    ballast = disk / "ballast"
    kinds = tuple(sorted(CHANGING))
    calm = suite.calm(name, kinds)
    total = len(calm.calls)
    numbers = range(1, total + 1, max(1, total // STEPS))
    codes = set()
    for number in numbers:
        suite.begin(name)
        fault = Fault(at=number, action=f"fill:{ballast}", kinds=kinds)
        ended = suite.warm.run(suite.words(name), suite.place, fault=fault)
        ballast.unlink(missing_ok=True)
        expect_order(ended, (0, 5))
        codes.add(ended.code)
        suite.expect_resume(name, calm, ended)
    if 5 not in codes:
        raise AssertionError(f"{name}: the disk was never full")
    return len(numbers)


def full_from_the_start(suite: Suite, name: str, disk: Path, variable: str) -> int:
    """Give the command a folder without any room, by a variable of the environment; then one with room."""
    calm = suite.calm(name)
    suite.begin(name)
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
    ended = suite.warm.run(suite.words(name), suite.place, environment={variable: str(disk)})
    expect_order(ended, (0, 5))
    ballast.unlink()
    suite.expect_resume(name, calm, ended)
    return 1


def _suite(warm: Warm, words: list[str], place: Place) -> Suite:
    stock = Stock(Path(words[0]), (words[1], words[2]))
    suite = Suite(warm, stock, place)
    for name in ("eval", "score a run", "board"):
        place.fill(stock.folder, COMMANDS[name].inputs)
        warm.learn(suite.words(name), place)
    return suite


def main() -> None:
    """Mount the disk and try the commands named."""
    disk, stock, what, names = Path(sys.argv[1]), sys.argv[2:5], sys.argv[5], sys.argv[6:]
    size = ROOM if what == "out" else 2**16
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)], check=True)
    trials = 0
    with warm_process() as warm:
        place = Place((disk if what == "out" else disk.parent) / "trial", disk.parent / "said")
        suite = _suite(warm, stock, place)
        for name in names:
            if what == "out":
                trials += fill_while_it_runs(suite, name, disk)
            else:
                trials += full_from_the_start(suite, name, disk, {"cache": "XLINGUAL_CACHE", "tmp": "TMPDIR"}[what])
    sys.stdout.write(f"{trials}\n")


if __name__ == "__main__":
    main()
