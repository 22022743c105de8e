"""One warm process and one stock of small runs for all tests of the fault suite."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from .commands import Stock, make_stock
from .suite import Suite
from .trials import Place, Warm, warm_process


@pytest.fixture(scope="session")
def warm() -> Iterator[Warm]:
    with warm_process() as process:
        yield process


@pytest.fixture(scope="session")
def stock(warm: Warm, tmp_path_factory: pytest.TempPathFactory) -> Stock:
    return make_stock(tmp_path_factory.mktemp("fault") / "stock", warm)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "trial")


@pytest.fixture(scope="session")
def suite(warm: Warm, stock: Stock, tmp_path_factory: pytest.TempPathFactory) -> Suite:
    return Suite(warm, stock, Place(tmp_path_factory.mktemp("fault") / "trial"))
