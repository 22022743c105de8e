"""Closed and full streams, command by command: files are as ever, and what was only printed, and is lost, is exit 5."""

from pathlib import Path

import pytest

from xlingual.cli.streams import WRITE_FOLDERS

from .commands import COMMANDS
from .suite import Suite
from .trials import expect_order

STREAMS = ("closed", "pipe", "/dev/full")
PAIRS = (("closed", "closed"), ("pipe", "pipe"), ("/dev/full", "closed"), ("closed", "/dev/full"))
"""Of standard output and error."""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is not here")
@pytest.mark.parametrize("name", COMMANDS)
def test_closed_and_full_streams_change_no_result(suite: Suite, name: str) -> None:
    calm = suite.calm(name)
    writes_folder = " ".join(suite.words(name)).startswith(WRITE_FOLDERS)
    for output, error in PAIRS:
        suite.begin(name)
        ended = suite.warm.run(suite.words(name), suite.place, output=output, error=error)
        lost = output == "/dev/full" and not writes_folder and calm.out != ""
        assert ended.code == (5 if lost else 0), f"{output} {error} {ended}"
        assert suite.results(name) == calm.files


@pytest.mark.parametrize("name", COMMANDS)
def test_an_error_has_its_exit_code_though_nobody_reads_it(suite: Suite, name: str) -> None:
    suite.begin(name)
    words = [*suite.words(name), "--no-such-option"]
    for stream in STREAMS:
        ended = suite.warm.run(words, suite.place, output=stream, error=stream)
        assert ended.code == 2
    expect_order(suite.warm.run(words, suite.place), (2,))
