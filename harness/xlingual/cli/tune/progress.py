"""The progress of a training on stderr: a live bar on a terminal, plain lines in a pipe."""

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ...errors import UsageError
from ...training.observing import SourceLoss, StepReport, Throughput, TrainingObserver, TrainingSetup
from .. import printable
from ..progress import MODES, PLAIN_SECONDS, PLAIN_SHARE

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

SMOOTHING = 0.9
"""Of the loss that is shown: what one log leaves of the mean before it."""


class TrainingProgress:
    """How far a training is, and how fast it goes in this sitting."""

    def __init__(self, setting: TrainingSetup) -> None:
        """Start at the first step of the sitting."""
        self.total, self.start, self.done = setting.plan.steps, setting.start, setting.start
        self.seconds = 0.0
        self.loss: float | None = None

    def add(self, reports: Sequence[StepReport], pace: Throughput) -> None:
        """Take in a log."""
        self.done = reports[-1].step
        self.seconds += pace.seconds
        mean = sum(each.loss for each in reports) / len(reports)
        self.loss = mean if self.loss is None else SMOOTHING * self.loss + (1 - SMOOTHING) * mean

    def remaining(self) -> str:
        """Return the time that the rest will take at this speed."""
        left = self.seconds / max(self.done - self.start, 1) * (self.total - self.done)
        minutes, seconds = divmod(int(left), 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{seconds:02d}s" if minutes else f"{seconds}s"


def describe_start(setting: TrainingSetup) -> str:
    """Say what is trained, on what, and from where on."""
    plan = setting.plan
    ranks = "1 process" if setting.world_size == 1 else f"{setting.world_size} processes"
    begun = f", from step {setting.start:,} on" if setting.start else ""
    method = plan.recipe.method.kind.value
    return (
        f"training {plan.recipe.name} ({method}, {plan.steps:,} steps, {ranks} on {setting.device.partition(':')[0]}, "
        f"{setting.dtype}){begun}"
    )


def describe_pace(pace: Throughput) -> str:
    """Say how fast it goes, and what of the machine's time is lost."""
    words = [f"{pace.useful_tokens_per_second:,.0f} tok/s"]
    if pace.mfu is not None:
        words.append(f"MFU {100 * pace.mfu:.1f}%")
    lost = {"pads": pace.pad_share, "waiting": pace.wait_share, "data": pace.stall_share}
    words += [f"{name} {100 * share:.1f}%" for name, share in lost.items() if share >= 0.01]
    return ", ".join(words)


def describe_parts(reports: Sequence[StepReport]) -> str:
    """Say the loss by source, and by language where that is not the same."""
    sources = _means([each.by_source for each in reports])
    languages = _means([each.by_language for each in reports])
    words = [" ".join(f"{name} {loss:.3f}" for name, loss in sources.items())]
    if len(languages) not in (1, len(sources)):
        words.append(" ".join(f"{name} {loss:.3f}" for name, loss in languages.items()))
    return "; ".join(words)


def _means(parts: Sequence[Mapping[str, SourceLoss]]) -> dict[str, float]:
    loss: dict[str, float] = {}
    count: dict[str, int] = {}
    for each in parts:
        for name, part in each.items():
            loss[name] = loss.get(name, 0.0) + part.loss * part.supervised
            count[name] = count.get(name, 0) + part.supervised
    return {name: loss[name] / count[name] for name in loss}


class QuietTraining:
    """Shows notes only."""

    def begin(self, setting: TrainingSetup) -> None:
        """Show nothing."""

    def logged(self, reports: Sequence[StepReport], pace: Throughput) -> None:
        """Show nothing."""

    def saved(self, kind: str, folder: Path) -> None:
        """Show nothing."""

    def note(self, message: str) -> None:
        """Print the note."""
        click.echo(f"note: {printable(message)}", err=True)

    def end(self) -> None:
        """Leave what was printed."""


class PlainTraining(QuietTraining):
    """One line every 5% or 30 seconds, and for the first and the last step."""

    def __init__(self) -> None:
        """Nothing is shown before `begin`."""
        self.course: TrainingProgress | None = None
        self.shown = (-1, 0.0)
        self.waiting: list[StepReport] = []

    def begin(self, setting: TrainingSetup) -> None:
        """Say what is trained."""
        self.course = TrainingProgress(setting)
        self.shown = (-1, time.monotonic())
        click.echo(printable(describe_start(setting)), err=True)

    def logged(self, reports: Sequence[StepReport], pace: Throughput) -> None:
        """Say how far it is, now and then."""
        course = self.course
        if course is None:
            return
        course.add(reports, pace)
        self.waiting += reports
        step, moment = self.shown
        now = time.monotonic()
        is_news = course.done - step >= course.total * PLAIN_SHARE or now - moment >= PLAIN_SECONDS
        if step < 0 or is_news or course.done == course.total:
            loss = sum(each.loss for each in self.waiting) / len(self.waiting)
            line = f"{course.done:,}/{course.total:,} loss {loss:.4f} ({describe_parts(self.waiting)}) "
            click.echo(printable(f"{line}{describe_pace(pace)}, {course.remaining()} left"), err=True)
            self.shown, self.waiting = (course.done, now), []

    def saved(self, kind: str, folder: Path) -> None:
        """Say what was written, but for checkpoints."""
        if kind != "checkpoint":
            click.echo(printable(f"wrote {kind}: {folder}"), err=True)


class LiveTraining(QuietTraining):
    """A bar, and the losses of the newest log below it."""

    def __init__(self) -> None:
        """Nothing is shown before `begin`."""
        self.course: TrainingProgress | None = None
        self.bar: Progress | None = None
        self.row: TaskID | None = None

    def begin(self, setting: TrainingSetup) -> None:
        """Draw the bar."""
        from rich.console import Console  # noqa: PLC0415 (only a terminal needs rich)
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn  # noqa: PLC0415

        self.course = TrainingProgress(setting)
        columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[words]}", markup=False))
        self.bar = Progress(*columns, console=Console(stderr=True))
        self.bar.console.print(printable(describe_start(setting)), markup=False, highlight=False)
        self.row = self.bar.add_task("", total=self.course.total, completed=self.course.done, words="")
        self.bar.start()

    def logged(self, reports: Sequence[StepReport], pace: Throughput) -> None:
        """Move the bar on."""
        if self.bar is None or self.row is None or self.course is None:
            return
        self.course.add(reports, pace)
        words = f"loss {self.course.loss:.4f} ({describe_parts(reports)}) {describe_pace(pace)}, "
        self.bar.update(self.row, completed=self.course.done, words=printable(words + self.course.remaining()))

    def saved(self, kind: str, folder: Path) -> None:
        """Say what was written, but for checkpoints."""
        if kind != "checkpoint":
            self.note(f"wrote {kind}: {folder}")

    def note(self, message: str) -> None:
        """Print the note above the bar."""
        if self.bar is not None:
            self.bar.console.print(printable(message), markup=False, highlight=False)
        else:
            super().note(message)

    def end(self) -> None:
        """Take the bar down."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None


def choose_watcher(mode: str) -> TrainingObserver:
    """Return the observer for `--progress MODE`: with "auto", live on a terminal and plain elsewhere."""
    if mode not in MODES:
        raise UsageError(f"no such mode: {mode!r}", where="--progress", hint=f"choose one of {', '.join(MODES)}")
    if mode == "none":
        return QuietTraining()
    return LiveTraining() if mode == "auto" and sys.stderr.isatty() else PlainTraining()
