"""`xlingual tune run` on a small base with a tokenizer: output, refusals, signals, torchrun, tracking."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, PreTrainedTokenizerFast

from xlingual.cli import run_command
from xlingual.errors import Interrupted
from xlingual.plugin import ModelOptions
from xlingual.registry import MODELS
from xlingual.serial import from_json, to_json
from xlingual.store import lock_folder
from xlingual.tracking import Tracker, open_tracker
from xlingual.tracking.spool import Spool
from xlingual.training.steplog import NAME as STEPS
from xlingual.tune.records import TuneRecord

from .conftest import THREADS, free_port, largest_difference, make_llama

RECIPE = """\
name = "mine"
description = "a recipe of the tests"
base = "hf:{base}"
template = "alpaca"
length = 220
on_long = "cut"
seed = 5
[sources.english]
reader = "alpaca"
path = "rows.en.json"
language = "en"
use = "all"
[sources.chinese]
reader = "alpaca"
path = "rows.zh.json"
language = "zh"
use = "all"
[method]
{method}
[schedule]
epochs = {epochs}
rows_per_step = 8
learning_rate = 1e-3
warmup = 0.1
"""


@pytest.fixture(scope="session")
def byte_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small base whose tokens are bytes, with sampling defaults of its own."""
    folder = make_llama(tmp_path_factory.mktemp("bases") / "byte_base", vocabulary=300)
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trained.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=259, special_tokens=["<pad>", "<s>", "</s>"], initial_alphabet=alphabet, show_progress=False
    )
    trained.train_from_iterator(["a"], trainer)
    PreTrainedTokenizerFast(tokenizer_object=trained, bos_token="<s>", eos_token="</s>").save_pretrained(folder)
    GenerationConfig(eos_token_id=2, bos_token_id=1).save_pretrained(folder)
    return folder


@pytest.fixture
def data_folder(tmp_path: Path, byte_base: Path) -> Path:
    """A folder of training text and recipes."""
    for code, count in (("en", 20), ("zh", 12)):
        word = {"en": "yes", "zh": "好"}[code]
        rows = [{"instruction": f"{code} {n}", "input": "", "output": f"{word} {n}"} for n in range(count)]
        (tmp_path / f"rows.{code}.json").write_text(json.dumps(rows), encoding="utf-8")
    methods = {"full": 'kind = "full"', "lora": 'kind = "lora"\nrank = 4\nalpha = 8.0'}
    for kind, method in methods.items():
        (tmp_path / kind).mkdir()
        text = RECIPE.format(base=byte_base, method=method, epochs=2)
        (tmp_path / kind / "mine.toml").write_text(text, encoding="utf-8")
    return tmp_path


def _arguments(data_folder: Path, kind: str, *more: str, out: str = "out") -> list[str]:
    recipe = str(data_folder / kind / "mine.toml")
    words = [
        "tune",
        "run",
        recipe,
        "--data",
        str(data_folder),
        "--out",
        str(data_folder / out),
        "--offline",
        "--log-every",
        "1",
    ]
    return [*words, "--device", "cpu", *more]


def _run_folder(data_folder: Path, out: str = "out") -> Path:
    [folder] = (data_folder / out).iterdir()
    return folder


def test_the_exported_model_can_be_evaluated(data_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(_arguments(data_folder, "full", "--checkpoint-every", "3")) == 0
    printed = capsys.readouterr()
    folder = _run_folder(data_folder)
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
        run_command([*_arguments(data_folder, "full"), "--json"]) == 0
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
    assert run_command(_arguments(data_folder, "lora")) == 0
    folder = _run_folder(data_folder)
    assert "--merge writes the whole model" in capsys.readouterr().out
    config = json.loads((folder / "mine-adapter" / "adapter_config.json").read_text(encoding="utf-8"))
    assert config["base_model_name_or_path"] == str(byte_base)
    assert not (folder / "mine").exists()
    assert (
        run_command(_arguments(data_folder, "lora", "--merge")) == 0
    )  # resumed from the last checkpoint: no step is run again
    assert len((folder / STEPS).read_text(encoding="utf-8").splitlines()) == 8
    merged = load_file(folder / "mine" / "model.safetensors")
    base = load_file(byte_base / "model.safetensors")
    assert torch.equal(merged["model.embed_tokens.weight"], base["model.embed_tokens.weight"])
    assert largest_difference(base, merged) > 1e-4


def test_unknown_target_modules_are_refused(data_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = data_folder / "lora" / "mine.toml"
    text = recipe.read_text(encoding="utf-8").replace('kind = "lora"', 'kind = "lora"\ntargets = ["q_proj", "k_prj"]')
    recipe.write_text(text, encoding="utf-8")
    assert run_command(_arguments(data_folder, "lora")) == 3
    assert "no linear layer is named 'k_prj'" in capsys.readouterr().err


def test_a_running_training_is_locked(data_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(_arguments(data_folder, "full")) == 0
    folder = _run_folder(data_folder)
    with lock_folder(folder):
        assert run_command(_arguments(data_folder, "full", "--fresh")) == 5
    assert "in use by pid" in capsys.readouterr().err
    assert (folder / "mine").is_dir()


def _start(*words: str) -> "subprocess.Popen[str]":
    environment = {**os.environ, **THREADS, "PYTHONWARNINGS": "error"}
    return subprocess.Popen(
        [sys.executable, *words], env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def test_a_signal_writes_a_checkpoint_and_shows_how_to_resume(data_folder: Path) -> None:
    recipe = data_folder / "full" / "mine.toml"
    recipe.write_text(recipe.read_text(encoding="utf-8").replace("epochs = 2", "epochs = 900"), encoding="utf-8")
    words = _arguments(data_folder, "full", "--checkpoint-every", "100000", "--fresh", "--progress", "plain")
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
    folder = _run_folder(data_folder)
    done = len((folder / STEPS).read_text(encoding="utf-8").splitlines())
    assert [path.name for path in (folder / "checkpoints").iterdir()] == [f"step-{done:08d}"]
    assert not (folder / "lock").exists()


def test_torchrun_trains_to_the_same_result(data_folder: Path) -> None:
    assert run_command(_arguments(data_folder, "full", out="one")) == 0
    port = str(free_port())
    process = _start(
        "-W", "default", "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-addr", "127.0.0.1",
        "--master-port", port, "-m", "xlingual", *_arguments(data_folder, "full", out="two"),
    )  # fmt: skip
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert out.count("next: xlingual eval") == 1  # rank 0 alone prints
    models = [_run_folder(data_folder, out=name) / "mine" for name in ("one", "two")]
    one, two = (load_file(model / "model.safetensors") for model in models)
    assert largest_difference(one, two) < 2e-5
    plans = [json.loads((model / "provenance.json").read_text(encoding="utf-8"))["plan"] for model in models]
    assert [plan.get("ranks") for plan in plans] == [None, 2]  # each plan has the packs of its own world size
    assert plans[1]["packs"] % 2 == 0
    assert plans[0]["id"] == plans[1]["id"]


def test_a_tracked_training_writes_an_archive_without_secrets(data_folder: Path) -> None:
    pytest.importorskip("comet_ml", reason="needs the extra `tracking`")
    canary = "canary-comet-0123456789abcdef"
    finished = subprocess.run(
        [sys.executable, "-m", "xlingual", *_arguments(data_folder, "full", "--track", "comet-ml")],
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
        assert run_command(_arguments(data_folder, kind)) == 0
    elif ending == "no data":
        (data_folder / "rows.zh.json").unlink()
    elif ending == "unknown targets":
        recipe = data_folder / kind / "mine.toml"
        text = recipe.read_text(encoding="utf-8").replace('kind = "lora"', 'kind = "lora"\ntargets = ["no_such"]')
        recipe.write_text(text, encoding="utf-8")
    elif ending == "signal":
        monkeypatch.setattr("xlingual.cli.tune.run.make_or_load_plan", interrupt)
    assert run_command(_arguments(data_folder, kind, "--track", "comet-ml")) == code
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
    assert run_command(_arguments(data_folder, "full")) == 0
    shutil.rmtree(_run_folder(data_folder) / "mine")

    def run_out(*_: object, **__: object) -> None:
        raise OUT_OF_MEMORY[kind]

    monkeypatch.setattr("xlingual.training.checkpoints.load", run_out)
    assert run_command(_arguments(data_folder, "full")) == 5
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
    assert run_command(_arguments(data_folder, "full")) == 5
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
    assert run_command([*_arguments(data_folder, "full"), "--base", f"hf:{broken}"]) == 3
    assert "the model cannot be loaded: RuntimeError" in capsys.readouterr().err
