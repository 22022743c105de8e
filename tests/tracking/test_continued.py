"""A training that is stopped or killed, and resumed, is one run of its tracker: with a stand-in for its client."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from xlingual.identity import Json
from xlingual.tracking import backends, open_tracker, spool
from xlingual.tracking.spool import KEPT_SUFFIX, SUFFIX, Spool
from xlingual.tracking.upload import find_archives
from xlingual.tracking.writing import TrackedRun, Writer


@dataclass
class Recorder:
    """A run that keeps what it is given."""

    run: TrackedRun
    params_: dict[str, str | int | float] = field(default_factory=dict)
    losses: list[tuple[int | None, float]] = field(default_factory=list)

    def params(self, values: Mapping[str, str | int | float]) -> None:
        self.params_.update(values)

    def metrics(self, values: Mapping[str, float], step: int | None) -> None:
        self.losses += [(step, value) for key, value in values.items() if key == "loss"]

    def table(self, name: str, header: Sequence[Json], rows: Sequence[Json]) -> None:
        pass

    def text(self, name: str, content: str) -> None:
        pass

    def finish(self) -> None:
        pass


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[Recorder]:
    """What the stand-in of wandb was given, run by run, in the order of their making."""
    made: list[Recorder] = []

    def start(run: TrackedRun) -> Recorder:
        made.append(Recorder(run))
        return made[-1]

    def make_offline(folder: Path, run: TrackedRun, fill: Callable[[Writer], None]) -> Path:
        fill(start(run))
        return folder

    standing = replace(
        backends.BACKENDS["wandb"], package="json", make_offline=make_offline, start_online=start,
        is_reachable=lambda _: True,
    )  # fmt: skip
    for module in (backends, spool):
        monkeypatch.setattr(module, "BACKENDS", {**backends.BACKENDS, "wandb": standing})
    return made


def part(folder: Path, start: int, end: int, *, word: str = "wandb", close: bool = True) -> None:
    tracker = open_tracker(word, folder, "recipe.toml", _no_warning)
    tracker.continue_run("mine-ab12cd34", start)
    tracker.params({"start": start})
    for step in range(start + 1, end + 1):
        tracker.metrics({"loss": 100.0 - step}, step)
    if close:
        tracker.close()


def _no_warning(message: str) -> None:
    raise AssertionError(message)


def whole(end: int) -> list[tuple[int | None, float]]:
    return [(step, 100.0 - step) for step in range(1, end + 1)]


@pytest.mark.parametrize("close", [True, False])
def test_a_resumed_training_is_one_whole_run(close: bool, runs: list[Recorder], tmp_path: Path) -> None:
    part(tmp_path, 0, 6, close=close)
    part(tmp_path, 4, 9, close=close)
    part(tmp_path, 8, 12)
    assert runs[-1].losses == whole(12)
    assert runs[-1].params_ == {"start": 8}
    assert {each.run.id for each in runs} == {runs[0].run.id}
    assert {each.run.name for each in runs} == {"mine-ab12cd34"}
    assert [path.name for path in tmp_path.iterdir()] == [f"mine-ab12cd34.wandb{KEPT_SUFFIX}"]


def test_a_line_that_a_kill_cut_is_dropped(runs: list[Recorder], tmp_path: Path) -> None:
    part(tmp_path, 0, 6, close=False)
    [path] = tmp_path.glob(f"*{SUFFIX}")
    path.write_bytes(path.read_bytes() + b'{"metrics":{"lo')
    part(tmp_path, 6, 9)
    assert runs[-1].losses == whole(9)


@pytest.mark.parametrize("close", [True, False])
def test_a_training_that_starts_over_is_another_run(close: bool, runs: list[Recorder], tmp_path: Path) -> None:
    part(tmp_path, 0, 6, close=close)
    part(tmp_path, 0, 3)
    assert runs[-1].losses == whole(3)
    assert close == (len({each.run.id for each in runs}) == 2)


def test_online_the_same_run_is_opened_again(runs: list[Recorder], tmp_path: Path) -> None:
    part(tmp_path, 0, 6, word="wandb:online")
    part(tmp_path, 4, 9, word="wandb:online")
    assert [each.losses for each in runs] == [whole(6), whole(9)]  # a kill may have kept some of the first from it
    assert runs[0].run.id == runs[1].run.id


def test_lines_that_cannot_be_read_are_a_warning(runs: list[Recorder], tmp_path: Path) -> None:
    part(tmp_path, 0, 6)
    [path] = tmp_path.glob(f"*{KEPT_SUFFIX}")
    path.write_text("no line of ours\n", encoding="utf-8")
    warnings: list[str] = []
    tracker = open_tracker("wandb", tmp_path, "recipe.toml", warnings.append)
    tracker.continue_run("mine-ab12cd34", 4)
    tracker.metrics({"loss": 1.0}, 5)
    tracker.close()
    assert len(warnings) == 1
    assert "the run is not affected" in warnings[0]


def test_a_spool_of_another_tracker_is_made_a_run_of_its_own(runs: list[Recorder], tmp_path: Path) -> None:
    """`xlingual track upload` finds what a killed run left: of wandb it makes the run, and sends nothing to Comet."""
    part(tmp_path / "tracking", 0, 2, close=False)
    warnings: list[str] = []
    with pytest.raises(Exception, match="there is no archive"):
        find_archives(tmp_path, warnings.append)
    assert runs[-1].losses == whole(2)
    assert any("not sent from here" in each for each in warnings)


def test_comet_begins_an_experiment_for_each_part(tmp_path: Path) -> None:
    tracker = Spool(path=tmp_path / f"x{SUFFIX}", name="x", warn=_no_warning)
    tracker.continue_run("mine-ab12cd34", 4)
    tracker.metrics({"loss": 1.0}, 5)
    lines = [json.loads(line) for line in (tmp_path / f"x{SUFFIX}").read_text(encoding="utf-8").splitlines()]
    assert lines[0] == {"name": "x"}
