"""Progress on stderr: a live bar on a terminal, a plain line every 5% or 30 seconds in a pipe."""

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from ..errors import UsageError
from ..records import Response
from ..redaction import redact_message
from ..run import RunObserver
from . import printable

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

MODES = ("auto", "plain", "none")
PLAIN_SHARE = 0.05
PLAIN_SECONDS = 30.0
ENOUGH_FOR_A_FORECAST = 17
"""Answers before the speed is worth a forecast: the first batch comes at once, after its whole time."""


class Tally:
    """What this command has answered, and how fast."""

    def __init__(self) -> None:
        """Start the clock at the first answer."""
        self.started = time.monotonic()
        self.asked = 0
        self.failed = 0
        self.tokens = 0
        self.prompt_tokens = 0

    def add(self, response: Response) -> None:
        """Count an answer."""
        self.asked += 1
        self.failed += response.failure is not None
        self.tokens += response.tokens or 0
        self.prompt_tokens += response.prompt_tokens or 0

    def speed(self) -> str:
        """Return tokens read and written per second, and failures where there are any."""
        seconds = max(time.monotonic() - self.started, 1e-9)
        words = f"{self.prompt_tokens / seconds:,.0f} tok/s in, {self.tokens / seconds:,.0f} out"
        return f"{words}, {self.failed} failed" if self.failed else words

    def remaining(self, left: int) -> str:
        """Return the time that `left` more answers will take at this speed: "3m20s"; "?" while that is not known."""
        if self.asked < ENOUGH_FOR_A_FORECAST and left > 0:
            return "?"
        seconds = int(left * (time.monotonic() - self.started) / self.asked)
        return f"{seconds // 60}m{seconds % 60:02d}s" if seconds >= 60 else f"{seconds}s"


class SilentRunObserver:
    """Shows notes only."""

    def begin(self, totals: Mapping[str, int], finished: Mapping[str, int]) -> None:
        """Show nothing."""

    def answered(self, task: str, response: Response) -> None:
        """Show nothing."""

    def note(self, message: str) -> None:
        """Print the note."""
        click.echo(f"note: {printable(redact_message(message))}", err=True)

    def end(self) -> None:
        """Leave what was printed."""


class PlainObserver:
    """One line every 5% or 30 seconds."""

    def __init__(self) -> None:
        """Nothing is shown before `begin`."""
        self.tally = Tally()
        self.total = 0
        self.done = 0
        self.shown = (0, 0.0)

    def begin(self, totals: Mapping[str, int], finished: Mapping[str, int]) -> None:
        """Say how much there is to do."""
        self.tally = Tally()
        self.total, self.done = sum(totals.values()), sum(finished.values())
        self.shown = (self.done, time.monotonic())
        stored = f", {self.done} of them answered before or skipped" if self.done else ""
        click.echo(
            f"asking {self.total - self.done} samples of {len(totals)} tasks ({self.total} in all{stored})", err=True
        )

    def answered(self, task: str, response: Response) -> None:
        """Say how far it is, now and then."""
        self.tally.add(response)
        self.done += 1
        count, moment = self.shown
        now = time.monotonic()
        if self.done - count >= self.total * PLAIN_SHARE or now - moment >= PLAIN_SECONDS or self.done == self.total:
            self.shown = (self.done, now)
            left = self.tally.remaining(self.total - self.done)
            click.echo(f"{self.done}/{self.total} {task} {self.tally.speed()}, {left} left", err=True)

    def note(self, message: str) -> None:
        """Print the note."""
        click.echo(f"note: {printable(redact_message(message))}", err=True)

    def end(self) -> None:
        """Leave what was printed."""


class LiveObserver:
    """A bar over all tasks and one for each task at work; before there are any, a spinner and the time it takes."""

    def __init__(self) -> None:
        """Nothing is shown before `load` or `begin`."""
        self.tally = Tally()
        self.bar: Progress | None = None
        self.rows: dict[str, TaskID] = {}

    def load(self, what: str) -> None:
        """Show that something moves while a model and its data are read."""
        from rich.console import Console  # noqa: PLC0415 (only a terminal needs rich)
        from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415

        self.end()
        columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
        self.bar = Progress(*columns, console=Console(stderr=True), transient=True)
        self.bar.add_task(f"loading {printable(what)}", total=None)
        self.bar.start()

    def begin(self, totals: Mapping[str, int], finished: Mapping[str, int]) -> None:
        """Draw the bars; the first step may take long, so that spinner and clock run from the start."""
        from rich import progress as parts  # noqa: PLC0415 (only a terminal needs rich)
        from rich.console import Console  # noqa: PLC0415

        self.end()
        self.tally = Tally()
        columns = (
            parts.SpinnerColumn(),
            parts.TextColumn("{task.description}", markup=False),
            # Without a width of its own it takes what the others leave of the line.
            parts.BarColumn(bar_width=None),
            parts.MofNCompleteColumn(),
            parts.TimeElapsedColumn(),
            parts.TimeRemainingColumn(),
            parts.TextColumn("{task.fields[speed]}", markup=False),
        )
        self.bar = parts.Progress(*columns, console=Console(stderr=True), expand=True)
        self.rows = {
            "": self.bar.add_task("all", total=sum(totals.values()), completed=sum(finished.values()), speed="")
        }
        if len(totals) > 1:
            for name, total in totals.items():
                self.rows[name] = self.bar.add_task(
                    name, total=total, completed=finished[name], speed="", visible=False
                )
        self.bar.start()

    def answered(self, task: str, response: Response) -> None:
        """Move the bars on."""
        if self.bar is None:
            return
        self.tally.add(response)
        self.bar.update(self.rows[""], advance=1, speed=self.tally.speed())
        if task in self.rows:
            row = self.rows[task]
            self.bar.update(row, advance=1, visible=True)
            self.bar.update(row, visible=not self.bar.tasks[row].finished)

    def note(self, message: str) -> None:
        """Print the note above the bars."""
        if self.bar is not None:
            self.bar.console.print(f"note: {printable(redact_message(message))}", markup=False, highlight=False)
        else:
            click.echo(f"note: {printable(redact_message(message))}", err=True)

    def end(self) -> None:
        """Take the bars down."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None


@contextmanager
def loading(observer: RunObserver, what: str) -> Iterator[RunObserver]:
    """Show on a terminal that `what` is loading, until the observer begins or is ended, or the context is left."""
    live = observer if isinstance(observer, LiveObserver) else None
    if live is not None:
        live.load(what)
    try:
        yield observer
    finally:
        if live is not None:
            live.end()


def progress_option(text: str = "How to show progress.") -> click.Option:
    """`--progress`, one of MODES, with the help `text`."""
    return click.Option(["--progress"], type=click.Choice(MODES), default="auto", show_default=True, help=text)


def choose_observer(mode: str) -> RunObserver:
    """Return the observer for `--progress MODE`: with "auto", live on a terminal and plain elsewhere."""
    if mode not in MODES:
        raise UsageError(f"no such mode: {mode!r}", where="--progress", hint=f"choose one of {', '.join(MODES)}")
    if mode == "none":
        return SilentRunObserver()
    return LiveObserver() if mode == "auto" and sys.stderr.isatty() else PlainObserver()
