"""`xlingual tune run` on a small base with a tokenizer: output, resumes, signals, torchrun, tracking."""

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from xlingual.cli import run_command
from xlingual.plugin import ModelOptions
from xlingual.registry import MODELS
from xlingual.serial import from_json, to_json
from xlingual.training.steplog import NAME as STEPS
from xlingual.tune.records import TuneRecord

from .conftest import THREADS, free_port, largest_difference, run_folder, tune_run


def test_the_exported_model_can_be_evaluated(data_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(tune_run(data_folder, "full", "--checkpoint-every", "3")) == 0
    printed = capsys.readouterr()
    folder = run_folder(data_folder)
    model = folder / "mine"
    assert f"next: xlingual eval --model {model}" in printed.out
    assert "loss" in printed.err
    assert "tok/s" in printed.err
    steps = [json.loads(line) for line in (folder / STEPS).read_text(encoding="utf-8").splitlines()]
    assert [each["step"] for each in steps] == list(range(1, 9))
    assert set(steps[0]["by_source"]) <= {"english", "chinese"}
    assert steps[-1]["loss"] < steps[0]["loss"]
    spec = MODELS.get("hf")(str(model), ModelOptions(device="cpu")).spec
    parent = f"byte_base (recipe mine, plan {folder.name.rpartition('-')[2]})"
    assert (spec.name, spec.parent, spec.template) == ("mine", parent, "alpaca")
    record = from_json(TuneRecord, json.loads((model / "provenance.json").read_text(encoding="utf-8")))
    assert record.plan.id.startswith(folder.name.rpartition("-")[2])
    assert sorted(record.data) == ["rows.en.json", "rows.zh.json"]
    assert record.loss.keys() == {"english", "chinese"}
    loaded = AutoModelForCausalLM.from_pretrained(model)
    assert loaded.config._attn_implementation == "sdpa"
    assert AutoTokenizer.from_pretrained(model).eos_token == "</s>"
    assert json.loads((model / "generation_config.json").read_text(encoding="utf-8"))["eos_token_id"] == 2
    assert not (folder / "lock").exists()
    before = (model / "model.safetensors").stat().st_mtime_ns
    assert (
        run_command([*tune_run(data_folder, "full"), "--json"]) == 0
    )  # pitfall 10: a finished training is reported as such
    assert json.loads(capsys.readouterr().out)["record"]["steps"] == 8
    assert (model / "model.safetensors").stat().st_mtime_ns == before
    assert run_command(["tune", "run", str(folder), "--fresh", "--out", str(data_folder / "out"), "--offline"]) == 0
    assert [path.name for path in folder.glob("before-*/mine")] == ["mine"]
    [old] = folder.glob("before-*/mine/model.safetensors")
    assert largest_difference(load_file(old), load_file(model / "model.safetensors")) == 0.0
    _expect_report_on_the_newest_training(data_folder, record, capsys)


def _expect_report_on_the_newest_training(
    data_folder: Path, record: TuneRecord, capsys: pytest.CaptureFixture[str]
) -> None:
    """No report shows what `--fresh` moved aside, not even where a kill has left nothing else."""
    root, speeds = data_folder / "tuned", {"before-20250131T120000/a": 111_111.0, "a": 222_222.0, "sweep": 333_333.0}
    for day, (name, speed) in enumerate(speeds.items()):
        (root / name).mkdir(parents=True)
        marked = replace(record, useful_tokens_per_second=speed, finished_at=f"2025-02-0{3 - day}T00:00:00Z")
        (root / name / "provenance.json").write_text(json.dumps(to_json(marked)), encoding="utf-8")
    shown = []
    for gone in ("a", "sweep", None):
        assert (
            run_command(
                ["report", str(data_folder / "out"), "--tuned", str(root), "--write", str(data_folder / "page")]
            )
            == 0
        )
        text = (data_folder / "page").read_text(encoding="utf-8")
        shown.append([speed for speed in speeds.values() if f"{speed:,.0f}" in text])
        if gone is not None:
            (root / gone / "provenance.json").unlink()
    capsys.readouterr()
    assert shown == [[222_222.0], [333_333.0], []]


def test_an_adapter_and_then_the_merged_model(
    data_folder: Path, capsys: pytest.CaptureFixture[str], byte_base: Path
) -> None:
    assert run_command(tune_run(data_folder, "lora")) == 0
    folder = run_folder(data_folder)
    assert "--merge writes the whole model" in capsys.readouterr().out
    config = json.loads((folder / "mine-adapter" / "adapter_config.json").read_text(encoding="utf-8"))
    assert config["base_model_name_or_path"] == str(byte_base)
    # As peft keeps them, they are a set, whose order is another in every process.
    assert len(config["target_modules"]) > 1
    assert config["target_modules"] == sorted(config["target_modules"])
    assert not (folder / "mine").exists()
    assert (
        run_command(tune_run(data_folder, "lora", "--merge")) == 0
    )  # resumed from the last checkpoint: no step is run again
    assert len((folder / STEPS).read_text(encoding="utf-8").splitlines()) == 8
    merged = load_file(folder / "mine" / "model.safetensors")
    base = load_file(byte_base / "model.safetensors")
    assert torch.equal(merged["model.embed_tokens.weight"], base["model.embed_tokens.weight"])
    assert largest_difference(base, merged) > 1e-4


def _start(*words: str) -> "subprocess.Popen[str]":
    environment = {**os.environ, **THREADS, "PYTHONWARNINGS": "error"}
    return subprocess.Popen(
        [sys.executable, *words], env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


@pytest.mark.slow
def test_a_signal_writes_a_checkpoint_and_shows_how_to_resume(data_folder: Path) -> None:
    recipe = data_folder / "full" / "mine.toml"
    recipe.write_text(recipe.read_text(encoding="utf-8").replace("epochs = 2", "epochs = 900"), encoding="utf-8")
    words = tune_run(data_folder, "full", "--checkpoint-every", "100000", "--fresh", "--progress", "plain")
    process = _start("-m", "xlingual", *words)
    end = time.monotonic() + 120
    while not list(data_folder.glob(f"out/*/{STEPS}")) and process.poll() is None:
        assert time.monotonic() < end
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143, errors
    assert "error: stopped by signal 15\nhint: the same command again resumes: xlingual tune run" in errors
    assert "--fresh" not in errors
    folder = run_folder(data_folder)
    done = len((folder / STEPS).read_text(encoding="utf-8").splitlines())
    assert [path.name for path in (folder / "checkpoints").iterdir()] == [f"step-{done:08d}"]
    assert not (folder / "lock").exists()


@pytest.mark.slow
def test_torchrun_trains_to_the_same_result(data_folder: Path) -> None:
    assert run_command(tune_run(data_folder, "full", out="one")) == 0
    port = str(free_port())
    process = _start(
        "-W", "default", "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-addr", "127.0.0.1",
        "--master-port", port, "-m", "xlingual", *tune_run(data_folder, "full", out="two"),
    )  # fmt: skip
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert out.count("next: xlingual eval") == 1  # rank 0 alone prints
    models = [run_folder(data_folder, out=name) / "mine" for name in ("one", "two")]
    one, two = (load_file(model / "model.safetensors") for model in models)
    assert largest_difference(one, two) < 2e-5
    plans = [json.loads((model / "provenance.json").read_text(encoding="utf-8"))["plan"] for model in models]
    assert [plan.get("ranks") for plan in plans] == [None, 2]  # each plan has the packs of its own world size
    assert plans[1]["packs"] % 2 == 0
    assert plans[0]["id"] == plans[1]["id"]


@pytest.mark.slow
def test_a_tracked_training_writes_an_archive_without_secrets(data_folder: Path) -> None:
    pytest.importorskip("comet_ml", reason="needs the extra `tracking`")
    canary = "canary-comet-0123456789abcdef"
    finished = subprocess.run(
        [sys.executable, "-m", "xlingual", *tune_run(data_folder, "full", "--track", "comet-ml")],
        env={**os.environ, "COMET_API_KEY": canary, "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    [archive] = (data_folder / "out" / "tracking").iterdir()
    with zipfile.ZipFile(archive) as opened:
        contents = {name: opened.read(name) for name in opened.namelist()}
    messages = [json.loads(line)["payload"] for line in contents["messages.json"].decode().splitlines()]
    params = {each["param"]["paramName"]: each["param"]["paramValue"] for each in messages if each.get("param")}
    assert (params["recipe"], params["steps"], params["schedule/learning_rate"]) == ("mine", 8, 1e-3)
    metrics = [each["metric"] for each in messages if each.get("metric")]
    logged = {each["step"]: each["metricValue"] for each in metrics if each["metricName"] == "loss"}
    [folder] = (each for each in (data_folder / "out").iterdir() if each.name != "tracking")
    steps = [json.loads(line) for line in (folder / STEPS).read_text(encoding="utf-8").splitlines()]
    assert logged == pytest.approx({each["step"]: each["loss"] for each in steps})
    assert {each["metricName"] for each in metrics} >= {"loss/language/zh", "useful_tokens_per_second"}
    names = [each["additional_params"]["fileName"] for each in messages if "file_path" in each]
    assert names == ["model/provenance.json"]
    written = [path.read_bytes() for path in (data_folder / "out").rglob("*") if path.is_file()]
    for text in (*contents.values(), *written, finished.stdout.encode(), finished.stderr.encode()):
        assert canary.encode() not in text
