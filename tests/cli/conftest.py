"""What tests of the command line share: a table of points, and the law that is fitted to it."""

from pathlib import Path

import numpy as np
import pytest

from xlingual.cli import run_command
from xlingual.scaling.points import points_csv

from ..scaling.simulation import simulate


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("table") / "points.csv"
    path.write_text(points_csv(simulate(noise=0.3, generator=np.random.default_rng(1))), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def fit(table: Path) -> Path:
    path = table.with_name("fit.json")
    assert run_command(["scale", "fit", str(table), "--write", str(path), "--resamples", "100"]) == 0
    return path
