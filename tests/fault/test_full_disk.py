"""A real disk that is full: a tmpfs in a mount namespace, for the results, the cache and the temporary folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .commands import COMMANDS, Stock
from .namespaces import unshare
from .trials import ROOT


def _on_small_disk(stock: Stock, folder: Path, what: str, names: list[str]) -> int:
    """Run `small_disk` in a namespace of its own; return how many trials it has made."""
    disk = folder / "disk"
    disk.mkdir()
    words = [*unshare("--mount"), sys.executable, "-m", "tests.fault.small_disk", str(disk), str(stock.folder)]
    paths = [str(ROOT / "harness"), *filter(None, [os.environ.get("PYTHONPATH")])]
    finished = subprocess.run(
        [*words, *stock.runs, what, *names],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert finished.returncode == 0, finished.stderr
    return int(finished.stdout.splitlines()[-1])


@pytest.mark.slow
def test_the_disk_of_the_results_fills_up_during_eval(stock: Stock, tmp_path: Path) -> None:
    assert _on_small_disk(stock, tmp_path, "out", ["eval"]) > 5


@pytest.mark.slow
def test_the_disk_of_the_results_fills_up_during_any_command(stock: Stock, tmp_path: Path) -> None:
    names = [name for name in COMMANDS if COMMANDS[name].results and name != "eval"]
    assert _on_small_disk(stock, tmp_path, "out", names) > 20


@pytest.mark.slow
@pytest.mark.parametrize("what", ["cache", "tmp"])
def test_no_command_needs_room_in_the_cache_or_the_temporary_folder(stock: Stock, tmp_path: Path, what: str) -> None:
    """Nothing is downloaded here: what cannot be kept for later is made again, or its lack is said."""
    names = ["eval", "scale fit", "view"]
    assert _on_small_disk(stock, tmp_path, what, names) == len(names)
