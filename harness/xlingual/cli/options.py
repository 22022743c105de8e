"""Options that several commands share, and the way from click's words to a record."""

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from ..errors import UsageError
from ..plugin import DataSource

Record = TypeVar("Record")
MOST = 2**31 - 1
"""Of counts and seeds: what servers, files and tokenizers can hold."""
SECONDS_BETWEEN_LINES = 10.0
MOST_REPEATS = 10_000
"""Answers to one question; all of a run's requests are held at once."""


def takes(record: Callable[..., Record], act: Callable[[Record], int]) -> Callable[..., int]:
    """Return a click callback that gathers all of a command's parameters into one record and acts on it."""

    def callback(**parameters: object) -> int:
        return act(record(**parameters))

    return callback


class FiniteRange(click.FloatRange):
    """A range of numbers without NaN, which no comparison refuses, and infinity, which no JSON file can hold."""

    def convert(self, value: float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number; click's BadParameter for a text that is none in the range."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


class FolderName(click.ParamType[str]):
    """The name of a folder that results go to: never blank, which would be the folder one stands in."""

    name = "DIR"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name; click's BadParameter for a blank one."""
        if not value.strip():
            self.fail("the name of the folder is blank; . is the folder you are in.", param, ctx)
        return value


_DATA_HELP = (
    "Folder of original benchmark files, or 'sample' for the packaged sample. Without it: the cache, then the official "
    "sources."
)


def data_option(text: str = _DATA_HELP) -> click.Option:
    """`--data DIR`, with the help `text`."""
    return click.Option(["--data"], metavar="DIR|sample", help=text)


def out_option(text: str = "Folder of all runs.") -> click.Option:
    """`--out DIR`, "runs" unless given, with the help `text`."""
    return click.Option(["--out", "-o"], type=FolderName(), default="runs", show_default=True, metavar="DIR", help=text)


def metrics_option() -> click.Option:
    """`--metrics`."""
    return click.Option(
        ["--metrics"],
        default="",
        metavar="NAME,...",
        help="Score by these too: comet22, cometkiwi22, or any other of 'xlingual metrics'.",
    )


class ScoringLines:
    """Lines on stderr while a model scores answers: a large one on a CPU takes minutes."""

    def __init__(self) -> None:
        """Start the clock."""
        self._said = time.monotonic()

    def __call__(self, metric: str, done: int, total: int) -> None:
        """Say how far it is, every ten seconds."""
        if time.monotonic() - self._said >= SECONDS_BETWEEN_LINES:
            self._said = time.monotonic()
            click.echo(f"{metric}: {done:,} of {total:,} texts", err=True)


def offline_option() -> click.Option:
    """`--offline`."""
    return click.Option(["--offline"], is_flag=True, help="Use no network: local files and the cache only.")


def json_option() -> click.Option:
    """`--json`."""
    return click.Option(["--json", "as_json"], is_flag=True, help="Print one JSON document on stdout, nothing else.")


def read_data_source(word: str | None, *, offline: bool) -> DataSource:
    """Return where data may come from, for the value of `--data`; UsageError where the folder does not exist."""
    if word is None or word == "sample":
        return DataSource(folder=None, sample=word == "sample", offline=offline)
    folder = Path(word).expanduser()
    if not folder.is_dir():
        raise UsageError("no such folder", where=f"--data {word}", hint="name a folder of original files, or 'sample'")
    return DataSource(folder=folder, sample=False, offline=offline)
