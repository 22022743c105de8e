"""Progress of a training on stderr: a live bar on a terminal, plain lines in a pipe."""

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ...errors import UsageError
from ...training.observing import (
    SilentTrainingObserver,
    SourceLoss,
    StepReport,
    Throughput,
    TrainingObserver,
    TrainingSetup,
)
from .. import printable
from ..progress import MODES, PLAIN_SECONDS, PLAIN_SHARE

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

SMOOTHING = 0.9
"""Of the loss that is shown, an exponential moving average: the weight of the earlier mean at a log line."""


class TrainingProgress:
    """Steps done, and the speed since the training was started or resumed."""

    def __init__(self, setup: TrainingSetup) -> None:
        """Start at the first step, or at the checkpoint."""
        self.total, self.start, self.done = setup.last or setup.plan.steps, setup.start, setup.start
        self.seconds = 0.0
        self.loss: float | None = None

    def add(self, reports: Sequence[StepReport], throughput: Throughput) -> None:
        """Add the steps of a log line."""
        self.done = reports[-1].step
        self.seconds += throughput.seconds
        mean = sum(each.loss for each in reports) / len(reports)
        self.loss = mean if self.loss is None else SMOOTHING * self.loss + (1 - SMOOTHING) * mean

    def remaining(self) -> str:
        """Return the estimated time to the last step: "1h06m"."""
        seconds_left = self.seconds / max(self.done - self.start, 1) * (self.total - self.done)
        minutes, seconds = divmod(int(seconds_left), 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{seconds:02d}s" if minutes else f"{seconds}s"


def describe_setup(setup: TrainingSetup) -> str:
    """Return a line on what is trained, on what, and from which step on."""
    plan = setup.plan
    ranks = "1 process" if setup.world_size == 1 else f"{setup.world_size} processes"
    resumed = f", from step {setup.start:,} on" if setup.start else ""
    method = plan.recipe.method.kind.value
    steps = f"{plan.steps:,} steps" if setup.last in (None, plan.steps) else f"{setup.last:,} of {plan.steps:,} steps"
    return (
        f"training {plan.recipe.name} ({method}, {steps}, {ranks} on {setup.device.partition(':')[0]}, "
        f"{setup.dtype}){resumed}"
    )


def describe_throughput(throughput: Throughput) -> str:
    """Return tokens per second and MFU, and what padding, waiting and the data loader cost where it is over 1%."""
    words = [f"{throughput.useful_tokens_per_second:,.0f} tok/s"]
    if throughput.mfu is not None:
        words.append(f"MFU {100 * throughput.mfu:.1f}%")
    packs = throughput.packs
    lost = {"pads": packs.pad_share, "waiting": packs.wait_share, "data": throughput.data_share}
    words += [f"{name} {100 * share:.1f}%" for name, share in lost.items() if share >= 0.01]
    return ", ".join(words)


def describe_losses(reports: Sequence[StepReport]) -> str:
    """Return the loss by source, and by language where that is not the same."""
    sources = _means([each.by_source for each in reports])
    languages = _means([each.by_language for each in reports])
    words = [" ".join(f"{name} {loss:.3f}" for name, loss in sources.items())]
    if len(languages) not in (1, len(sources)):
        words.append(" ".join(f"{name} {loss:.3f}" for name, loss in languages.items()))
    return "; ".join(words)


def describe_held_out(report: StepReport) -> str:
    """Return a line on the held-out loss after a step; "" where it was not evaluated."""
    found = report.held_out
    if found is None:
        return ""
    languages = found.by_language if len(found.by_language) not in (1, len(found.by_source)) else {}
    parts = (found.by_source if len(found.by_source) > 1 else {}, languages)
    words = "; ".join(" ".join(f"{name} {each.loss:.3f}" for name, each in part.items()) for part in parts if part)
    return f"step {report.step:,}: held-out loss {found.loss:.4f}" + (f" ({words})" if words else "")


def _means(parts: Sequence[Mapping[str, SourceLoss]]) -> dict[str, float]:
    loss: dict[str, float] = {}
    count: dict[str, int] = {}
    for each in parts:
        for name, part in each.items():
            loss[name] = loss.get(name, 0.0) + part.loss * part.supervised
            count[name] = count.get(name, 0) + part.supervised
    return {name: loss[name] / count[name] for name in loss}


class NotesOnly(SilentTrainingObserver):
    """Shows notes, and nothing else."""

    def note(self, message: str) -> None:
        """Print the note."""
        click.echo(f"note: {printable(message)}", err=True)


class PlainTraining(NotesOnly):
    """One line every 5% or 30 seconds, and for the first and the last step."""

    def __init__(self) -> None:
        """Show nothing before `begin`."""
        self.progress: TrainingProgress | None = None
        self.shown = (-1, 0.0)
        """Step and time of the newest line."""
        self.not_shown: list[StepReport] = []

    def begin(self, setup: TrainingSetup) -> None:
        """Print what is trained."""
        self.progress = TrainingProgress(setup)
        self.shown = (-1, time.monotonic())
        click.echo(printable(describe_setup(setup)), err=True)

    def logged(self, reports: Sequence[StepReport], throughput: Throughput) -> None:
        """Print a line where one is due: its loss is the mean over all steps since the line before."""
        progress = self.progress
        if progress is None:
            return
        progress.add(reports, throughput)
        self.not_shown += reports
        step, moment = self.shown
        now = time.monotonic()
        is_due = progress.done - step >= progress.total * PLAIN_SHARE or now - moment >= PLAIN_SECONDS
        if step < 0 or is_due or progress.done == progress.total:
            loss = sum(each.loss for each in self.not_shown) / len(self.not_shown)
            line = f"{progress.done:,}/{progress.total:,} loss {loss:.4f} ({describe_losses(self.not_shown)}) "
            click.echo(printable(f"{line}{describe_throughput(throughput)}, {progress.remaining()} left"), err=True)
            self.shown, self.not_shown = (progress.done, now), []
        if words := describe_held_out(reports[-1]):
            click.echo(printable(words), err=True)

    def saved(self, kind: str, folder: Path) -> None:
        """Print what was exported; checkpoints are not shown."""
        if kind != "checkpoint":
            click.echo(printable(f"wrote {kind}: {folder}"), err=True)


class LiveTraining(NotesOnly):
    """A progress bar with the losses of the newest log line."""

    def __init__(self) -> None:
        """Show nothing before `begin`."""
        self.progress: TrainingProgress | None = None
        self.bar: Progress | None = None
        self.task: TaskID | None = None

    def begin(self, setup: TrainingSetup) -> None:
        """Draw the bar."""
        from rich.console import Console  # noqa: PLC0415 (only a terminal needs rich)
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn  # noqa: PLC0415

        self.progress = TrainingProgress(setup)
        columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[words]}", markup=False))
        self.bar = Progress(*columns, console=Console(stderr=True))
        self.bar.console.print(printable(describe_setup(setup)), markup=False, highlight=False)
        self.task = self.bar.add_task("", total=self.progress.total, completed=self.progress.done, words="")
        self.bar.start()

    def logged(self, reports: Sequence[StepReport], throughput: Throughput) -> None:
        """Advance the bar."""
        if self.bar is None or self.task is None or self.progress is None:
            return
        self.progress.add(reports, throughput)
        words = f"loss {self.progress.loss:.4f} ({describe_losses(reports)}) {describe_throughput(throughput)}, "
        self.bar.update(self.task, completed=self.progress.done, words=printable(words + self.progress.remaining()))
        if line := describe_held_out(reports[-1]):
            self.note(line)

    def saved(self, kind: str, folder: Path) -> None:
        """Print what was exported; checkpoints are not shown."""
        if kind != "checkpoint":
            self.note(f"wrote {kind}: {folder}")

    def note(self, message: str) -> None:
        """Print the note above the bar."""
        if self.bar is not None:
            self.bar.console.print(printable(message), markup=False, highlight=False)
        else:
            super().note(message)

    def end(self) -> None:
        """Stop the bar."""
        if self.bar is not None:
            self.bar.stop()
            self.bar = None


def choose_observer(mode: str) -> TrainingObserver:
    """Return the observer for `--progress MODE`: with "auto", live on a terminal and plain elsewhere."""
    if mode not in MODES:
        raise UsageError(f"no such mode: {mode!r}", where="--progress", hint=f"choose one of {', '.join(MODES)}")
    if mode == "none":
        return NotesOnly()
    return LiveTraining() if mode == "auto" and sys.stderr.isatty() else PlainTraining()
