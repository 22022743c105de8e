"""Progress lines of a training, and its step log."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from xlingual.cli.tune.progress import PlainTraining, TrainingProgress, choose_observer, describe_losses
from xlingual.errors import DataError, UsageError
from xlingual.training import steplog
from xlingual.training.observing import (
    SilentTrainingObserver,
    SourceLoss,
    StepReport,
    Throughput,
    TrainingObservers,
    TrainingSetup,
)
from xlingual.tune.packing import PackCounts

from .conftest import make_plan, make_rows


def _report(step: int, loss: float = 2.0) -> StepReport:
    losses, counts = {"a": 1.0, "b": loss, "c": 4.0}, {"a": 10, "b": 30, "c": 60}
    sources = {name: SourceLoss(loss=losses[name], supervised=counts[name]) for name in losses}
    languages = {"en": SourceLoss(loss=1.0, supervised=10), "zh": SourceLoss(loss=3.0, supervised=90)}
    return StepReport(
        step=step, epoch=0, loss=loss, gradient_norm=1.0, learning_rate=1e-3, rows=4, tokens=300, supervised=100,
        by_source=sources, by_language=languages,
    )  # fmt: skip


THROUGHPUT = Throughput(
    steps=1,
    seconds=2.0,
    useful_tokens_per_second=150.0,
    mfu=0.4567,
    packs=PackCounts(micro_batches=1, packs=2, tokens=969, idle=31),
    data_share=0.001,
)


def _setup(start: int = 0, steps: int = 40) -> TrainingSetup:
    plan = make_plan(make_rows(), steps=steps)
    return TrainingSetup(plan=plan, start=start, world_size=2, device="cuda:0", dtype="bfloat16")


def test_plain_lines_come_every_twentieth(capsys: pytest.CaptureFixture[str]) -> None:
    observer = PlainTraining()
    observer.begin(_setup(start=4))
    for step in range(5, 41):
        observer.logged([_report(step, loss=float(step))], THROUGHPUT)
    observer.saved("checkpoint", Path("there"))
    observer.saved("model", Path("there"))
    observer.end()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "training tiny (full, 40 steps, 2 processes on cuda, bfloat16), from step 4 on"
    assert lines[1].startswith("5/40 loss 5.0000 (a 1.000 b 5.000 c 4.000; en 1.000 zh 3.000) ")
    assert lines[1].endswith("150 tok/s, MFU 45.7%, waiting 3.1%, 1m10s left")
    assert lines[2].startswith("7/40 loss 6.5000 (")  # the mean of the steps since the line before
    assert lines[-2].endswith(", 0s left")
    assert lines[-1] == "wrote model: there"
    assert 18 <= len(lines) - 2 <= 22


def test_losses_are_means_over_tokens() -> None:
    light = _report(2)
    heavy = replace(light, by_source={"a": SourceLoss(loss=5.0, supervised=30)})
    assert describe_losses([light, heavy]).startswith("a 4.000 b 2.000 c 4.000")  # (1 x 10 + 5 x 30) / 40


def test_the_time_left_follows_from_the_speed_since_the_resume() -> None:
    progress = TrainingProgress(_setup(start=30))
    progress.add([_report(31), _report(32)], replace(THROUGHPUT, seconds=1000.0))
    assert progress.remaining() == "1h06m"  # 500 s a step, 8 left


def test_progress_modes() -> None:
    assert isinstance(choose_observer("auto"), PlainTraining)  # no terminal here
    with pytest.raises(UsageError, match="no such mode"):
        choose_observer("loud")


def test_several_observers_get_the_same_calls(capsys: pytest.CaptureFixture[str]) -> None:
    one, other = PlainTraining(), PlainTraining()
    both = TrainingObservers([one, SilentTrainingObserver(), other])
    both.begin(_setup())
    both.logged([_report(1)], THROUGHPUT)
    both.note("something")
    both.end()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0::2] == lines[1::2]
    assert lines[-1] == "note: something"


def test_a_resumed_step_log_is_cut_back_to_its_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / steplog.NAME
    steplog.cut_back(path, 0)
    steplog.append(path, [_report(1), _report(2), _report(3)], THROUGHPUT)
    with path.open("a", encoding="utf-8") as file:
        file.write('{"step": 4, "lo')
    steplog.cut_back(path, 2)
    steplog.append(path, [_report(3, loss=9.0)], THROUGHPUT)
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [(line["step"], line["loss"]) for line in lines] == [(1, 2.0), (2, 2.0), (3, 9.0)]
    assert lines[0]["by_language"]["zh"] == {"loss": 3.0, "supervised": 90}
    for line, what in (("what is this", "not JSON"), ('{"loss": 2.0}', "not a line of a step log")):
        path.write_text(f"{line}\n", encoding="utf-8")
        with pytest.raises(DataError, match=what):
            steplog.cut_back(path, 2)
