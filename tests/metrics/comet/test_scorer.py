"""The formula of COMET against unbabel-comet 2.2.7 on tiny checkpoints: see make_goldens.py."""

import json
from pathlib import Path

import pytest
import torch

from xlingual.files import read_json
from xlingual.metrics.comet.model_record import RECORD, CometRecord
from xlingual.metrics.comet.scorer import CometScorer, Segment
from xlingual.serial import from_json

from .tiny_checkpoint import SEGMENTS, VARIANTS

GOLDENS: dict[str, list[float]] = json.loads((Path(__file__).parent / "goldens.json").read_text(encoding="utf-8"))[
    "scores"
]
ROWS = [Segment(source=row[0], hypothesis=row[1], reference=row[2]) for row in SEGMENTS]


def open_scorer(folder: Path, dtype: torch.dtype = torch.float32) -> CometScorer:
    record = from_json(CometRecord, read_json(folder / RECORD))
    return CometScorer(folder, record, device="cpu", dtype=dtype)


@pytest.mark.parametrize("batch_size", [1, 8, 32, None])
@pytest.mark.parametrize("variant", [each.name for each in VARIANTS])
def test_scores_are_those_of_unbabel_comet(converted: Path, variant: str, batch_size: int | None) -> None:
    found = open_scorer(converted / variant).score(ROWS, batch_size=batch_size)
    assert found == pytest.approx(GOLDENS[variant], abs=1e-6)
