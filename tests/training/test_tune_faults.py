"""`xlingual tune run` that fails: refusals, locks, memory, broken models; the tracker is closed in every ending."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from xlingual.cli import run_command
from xlingual.errors import Interrupted
from xlingual.lease import lock_folder
from xlingual.tracking import Tracker, open_tracker
from xlingual.tracking.spool import Spool

from .conftest import run_folder, tune_run


def test_unknown_target_modules_are_refused(data_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = data_folder / "lora" / "mine.toml"
    text = recipe.read_text(encoding="utf-8").replace('kind = "lora"', 'kind = "lora"\ntargets = ["q_proj", "k_prj"]')
    recipe.write_text(text, encoding="utf-8")
    assert run_command(tune_run(data_folder, "lora")) == 3
    assert "no linear layer is named 'k_prj'" in capsys.readouterr().err


@pytest.mark.parametrize("rank", [33, 1_000_000_000, 2**63 - 1])
@pytest.mark.parametrize("command", ["plan", "run"])
def test_a_rank_above_all_weights_is_refused(
    rank: int, command: str, data_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = str(data_folder / "lora" / "mine.toml")
    words = ["tune", command, recipe, "--data", str(data_folder), "--offline", "--set", f"method.rank={rank}"]
    assert run_command(words) == 3
    error = capsys.readouterr().err
    assert f"method.rank: the rank {rank:,} is above that of the weights of every linear layer" in error
    assert "hint: at most 32" in error


def test_a_running_training_is_locked(data_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(tune_run(data_folder, "full")) == 0
    folder = run_folder(data_folder)
    with lock_folder(folder):
        assert run_command(tune_run(data_folder, "full", "--fresh")) == 5
    assert "in use by pid" in capsys.readouterr().err
    assert (folder / "mine").is_dir()


@pytest.mark.parametrize(
    ("ending", "code"),
    [("trained", 0), ("finished before", 0), ("no data", 3), ("unknown targets", 3), ("signal", 143)],
)
def test_the_tracker_of_a_training_is_closed_in_every_ending(
    ending: str, code: int, data_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("comet_ml", reason="needs the extra `tracking`")
    opened = []

    def remember(word: str, folder: Path, name: str, warn: Callable[[str], None]) -> Tracker:
        opened.append(open_tracker(word, folder, name, warn))
        return opened[-1]

    def interrupt(*_: object) -> None:
        raise Interrupted(15)

    monkeypatch.setattr("xlingual.tracking.open_tracker", remember)
    kind = "lora" if ending == "unknown targets" else "full"
    if ending == "finished before":
        assert run_command(tune_run(data_folder, kind)) == 0
    elif ending == "no data":
        (data_folder / "rows.zh.json").unlink()
    elif ending == "unknown targets":
        recipe = data_folder / kind / "mine.toml"
        text = recipe.read_text(encoding="utf-8").replace('kind = "lora"', 'kind = "lora"\ntargets = ["no_such"]')
        recipe.write_text(text, encoding="utf-8")
    elif ending == "signal":
        monkeypatch.setattr("xlingual.cli.tune.run.make_or_load_plan", interrupt)
    assert run_command(tune_run(data_folder, kind, "--track", "comet-ml")) == code
    [tracker] = opened
    assert isinstance(tracker, Spool)
    assert tracker.closed


OUT_OF_MEMORY = {
    "GPU": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    "Python": MemoryError(),
    "CPU": RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried"),
}


@pytest.mark.parametrize("kind", OUT_OF_MEMORY)
def test_out_of_memory_in_a_resume_does_not_blame_the_checkpoint(
    kind: str, data_folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_command(tune_run(data_folder, "full")) == 0
    shutil.rmtree(run_folder(data_folder) / "mine")

    def run_out(*_: object, **__: object) -> None:
        raise OUT_OF_MEMORY[kind]

    monkeypatch.setattr("xlingual.training.checkpoints.load", run_out)
    assert run_command(tune_run(data_folder, "full")) == 5
    error = capsys.readouterr().err
    assert "the memory does not hold the training" in error
    assert "delete it" not in error


@pytest.mark.parametrize("kind", OUT_OF_MEMORY)
@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("transformers.AutoModelForCausalLM.from_pretrained", "choose a smaller dtype"),
        ("xlingual.training.loop.shard_model", "lower --pack-length"),
        ("xlingual.training.loop.build_batch", "lower --pack-length"),
    ],
)
def test_out_of_memory_is_a_fault_of_the_machine(
    kind: str,
    name: str,
    hint: str,
    data_folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def run_out(*_: object, **__: object) -> None:
        raise OUT_OF_MEMORY[kind]

    monkeypatch.setattr(name, run_out)
    assert run_command(tune_run(data_folder, "full")) == 5
    error = capsys.readouterr().err
    assert "the memory does not hold the" in error
    assert f"hint: {hint}" in error


def test_weights_of_another_shape_are_a_fault_of_the_model(
    data_folder: Path, byte_base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(byte_base, broken)
    config = json.loads((broken / "config.json").read_text(encoding="utf-8"))
    config["intermediate_size"] += 1
    (broken / "config.json").write_text(json.dumps(config), encoding="utf-8")
    assert run_command([*tune_run(data_folder, "full"), "--base", f"hf:{broken}"]) == 3
    assert "the model cannot be loaded: RuntimeError" in capsys.readouterr().err
