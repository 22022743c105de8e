"""`losses.csv`: the loss of every step, and of held-out rows at each checkpoint, by source and by language.

step,rows,kind,name,loss,tokens
40,training,all,,1.52,812
40,held-out,source,news,1.731,2204
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import DataError
from ..files import disk_fault, parse_object, write_atomically
from ..serial import from_json
from .observing import HeldOutLoss, SourceLoss, StepReport

NAME = "losses.csv"
PICTURE = "losses.svg"
HEADER = ("step", "rows", "kind", "name", "loss", "tokens")
TRAINING, HELD_OUT = "training", "held-out"
NOT_OF_A_REPORT = ("useful_tokens_per_second", "mfu")
"""What a line of the step log holds besides its StepReport."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvePoint:
    """A mean loss at a step: of all rows, of a source or of a language."""

    step: int
    rows: str
    """TRAINING or HELD_OUT."""
    kind: str
    """all, source or language."""
    name: str
    """Of the source or language; "" for all."""
    loss: float
    """Nats per supervised token; of all training rows, as it was minimised."""
    tokens: int
    """Supervised."""


def points_of(report: StepReport) -> list[CurvePoint]:
    """Return the losses of a step, and those of held-out rows where it was evaluated."""
    points = _points(report.step, TRAINING, report)
    return points if report.held_out is None else [*points, *_points(report.step, HELD_OUT, report.held_out)]


def read_curve(log: Path) -> list[CurvePoint]:
    """Return the points of a step log; DataError for a line that is none of it, EnvironmentFault where it is gone."""
    try:
        lines = log.read_bytes().split(b"\n")[:-1]
    except OSError as error:
        raise disk_fault(error, log) from error
    points = []
    for number, line in enumerate(lines, start=1):
        values = parse_object(line, str(log), number, hint="move the file away")
        own = {name: value for name, value in values.items() if name not in NOT_OF_A_REPORT}
        try:
            points += points_of(from_json(StepReport, own, where=f"{log}:{number}"))
        except DataError as error:
            raise DataError(error.what, where=error.where, hint="move the file away") from error
    return points


def _points(step: int, rows: str, losses: "StepReport | HeldOutLoss") -> list[CurvePoint]:
    found = [("all", "", losses.loss, losses.supervised)]
    parts: Sequence[tuple[str, Mapping[str, SourceLoss]]] = (
        ("source", losses.by_source),
        ("language", losses.by_language),
    )
    for kind, part in parts:
        found += [(kind, name, each.loss, each.supervised) for name, each in part.items()]
    return [
        CurvePoint(step=step, rows=rows, kind=kind, name=name, loss=loss, tokens=tokens)
        for kind, name, loss, tokens in found
    ]


def write_curve(points: Sequence[CurvePoint], path: Path) -> None:
    """Write `points` as CSV, whole or not at all."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    writer.writerows((each.step, each.rows, each.kind, each.name, repr(each.loss), each.tokens) for each in points)
    write_atomically(path, text.getvalue())
