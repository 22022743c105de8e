"""The curve of a training with held-out rows, written beside its step log: `losses.csv` and `losses.svg`."""

import time
from collections.abc import Sequence
from pathlib import Path

from ...errors import XlingualError
from ...files import disk_fault, replace_whole
from ...report.loss_curve import draw_losses
from ...training.curve import NAME, PICTURE, CurvePoint, points_of, read_curve, write_curve
from ...training.observing import SilentTrainingObserver, StepReport, Throughput, TrainingObserver, TrainingSetup
from ...training.steplog import NAME as STEP_LOG

SECONDS = 60.0
"""Between two writings of the files, at least: a plot takes half a second."""


class CurveWriter(SilentTrainingObserver):
    """Writes both files at checkpoints, once a minute at most, and when the run ends, after a signal too."""

    def __init__(self, folder: Path, shown: TrainingObserver) -> None:
        """`folder` is that of the run; `shown` takes a note where a file cannot be written."""
        self.folder = folder
        self.shown = shown
        self.points: list[CurvePoint] = []
        self.written = float("-inf")
        """When, on the monotonic clock."""

    def begin(self, setup: TrainingSetup) -> None:
        """Read the points of the steps before a resume."""
        if not setup.start:
            return
        try:
            self.points = read_curve(self.folder / STEP_LOG)
        except XlingualError as error:
            self.shown.note(f"the curve begins at step {setup.start + 1:,}: {error}")

    def logged(self, reports: Sequence[StepReport], throughput: Throughput) -> None:  # noqa: ARG002 - of the protocol
        """Add the points of the newest steps."""
        for each in reports:
            self.points += points_of(each)

    def saved(self, kind: str, folder: Path) -> None:  # noqa: ARG002 - of the protocol
        """Write the files after a checkpoint."""
        if kind == "checkpoint" and time.monotonic() - self.written > SECONDS:
            self._write()

    def end(self) -> None:
        """Write the files."""
        if self.points:
            self._write()

    def _write(self) -> None:
        """Write both files; what goes wrong is a note, for the training is worth more than its picture."""
        try:
            write_curve(self.points, self.folder / NAME)
            picture = draw_losses(self.points)
            with replace_whole(self.folder / PICTURE) as stream:
                stream.write(picture.svg)
        except OSError as error:
            self.shown.note(f"no {PICTURE}: {disk_fault(error, self.folder / PICTURE).what}")
        except XlingualError as error:
            self.shown.note(f"no {PICTURE}: {error.what}" + (f"; {error.hint}" if error.hint else ""))
        self.written = time.monotonic()
