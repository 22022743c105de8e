"""`tune run --track`: a training that is interrupted and resumed is one run of its tracker, with every step once."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from xlingual.cli import run_command
from xlingual.errors import Interrupted
from xlingual.tracking import backends, spool
from xlingual.tracking.writing import TrackedRun
from xlingual.training import loop
from xlingual.training.steplog import NAME as STEPS

from .conftest import tune_run


class _Lines:
    """A run of a tracker that keeps its losses and texts."""

    def __init__(self) -> None:
        self.losses: dict[int | None, list[float]] = {}
        self.texts: dict[str, str] = {}

    def params(self, values: object) -> None:
        pass

    def metrics(self, values: dict[str, float], step: int | None) -> None:
        if "loss" in values:
            self.losses.setdefault(step, []).append(values["loss"])

    def table(self, name: str, header: object, rows: object) -> None:
        pass

    def text(self, name: str, content: str) -> None:
        self.texts[name] = content

    def finish(self) -> None:
        pass


@pytest.mark.parametrize("checkpoint", [4, 100])
def test_an_interrupted_training_is_one_run(
    checkpoint: int, data_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted in step 7: with a checkpoint of step 4, or with none, so that it starts over."""
    made: list[tuple[TrackedRun, _Lines]] = []

    def make_offline(folder: Path, run: TrackedRun, fill: object) -> Path:
        made.append((run, _Lines()))
        fill(made[-1][1])  # type: ignore[operator]  # of the stand-in
        return folder

    standing = replace(backends.BACKENDS["wandb"], package="json", make_offline=make_offline)
    for module in (backends, spool):
        monkeypatch.setattr(module, "BACKENDS", {**backends.BACKENDS, "wandb": standing})
    take_step = loop.take_step

    def stop_at_6(training: loop.Training, step: object) -> None:
        if training.done == 6:
            raise Interrupted(15)
        take_step(training, step)  # type: ignore[arg-type]  # a Step

    words = [*tune_run(data_folder, "full"), "--track", "wandb", "--checkpoint-every", str(checkpoint)]
    with monkeypatch.context() as patched:
        patched.setattr(loop, "take_step", stop_at_6)
        assert run_command(words) == 143
    assert run_command(words) == 0
    (first, _), (second, lines) = made
    if checkpoint == 4:
        assert first.id == second.id
    [log] = (data_folder / "out").glob(f"*/{STEPS}")
    steps = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    assert lines.losses == {each["step"]: [pytest.approx(each["loss"])] for each in steps}
    assert sorted(lines.losses, key=str) == list(range(1, 9))
    assert second.name == log.parent.name
    assert json.loads(lines.texts["model/provenance.json"])["steps"] == 8
