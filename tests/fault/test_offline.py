"""No network interface at all: every command that needs none works, and one that does says so."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from .commands import COMMANDS, Stock
from .namespaces import unshare
from .suite import Suite
from .trials import Place, Warm, expect_order, warm_process


@pytest.fixture(scope="module")
def alone() -> Iterator[Warm]:
    """A warm process without a network, not even 127.0.0.1."""
    with warm_process(*unshare("--net")) as process:
        yield process


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_of_the_table_works_without_a_network(
    suite: Suite, alone: Warm, stock: Stock, tmp_path: Path, name: str
) -> None:
    calm = suite.calm(name)
    apart = Suite(alone, stock, Place(tmp_path / "trial"))
    apart.begin(name)
    ended = alone.run(apart.words(name), apart.place)
    assert ended.code == 0, str(ended)
    assert ended.out == calm.out
    assert apart.results(name) == calm.files


UNREACHABLE = {
    "a model of the hub": ("eval", "-m", "some/model", "-t", "xquad/en", "--data", "sample"),
    "data of the hub": ("eval", "-m", "echo", "-t", "xquad/en"),
    "a server": ("eval", "-m", "openai:m@http://127.0.0.1:9/v1", "-t", "xquad/en", "--data", "sample"),
    "data to score with": ("score", "predictions.jsonl", "-t", "xquad/en"),
}


@pytest.mark.parametrize("offline", [True, False])
@pytest.mark.parametrize("what", UNREACHABLE)
def test_what_cannot_be_reached_is_said_in_one_line(
    alone: Warm, stock: Stock, tmp_path: Path, what: str, offline: bool
) -> None:
    place = Place(tmp_path / "trial")
    place.fill(stock.folder, ["predictions.jsonl"])
    words = [*UNREACHABLE[what], *(["--offline"] if offline else [])]
    ended = alone.run(words, place)
    expect_order(ended, (3, 5) if offline else (5,))
    assert list(place.work.rglob("results.json")) == []
