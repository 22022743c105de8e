"""`xlingual tune run` on a small base with a tokenizer: what it writes, says, refuses, and how it ends."""

import json
import os
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
def lettered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small base whose tokens are bytes, with sampling defaults of its own."""
    folder = make_llama(tmp_path_factory.mktemp("bases") / "lettered", vocabulary=300)
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
def place(tmp_path: Path, lettered: Path) -> Path:
    """A data folder with recipes beside it."""
    for code, count in (("en", 20), ("zh", 12)):
        word = {"en": "yes", "zh": "好"}[code]
        rows = [{"instruction": f"{code} {n}", "input": "", "output": f"{word} {n}"} for n in range(count)]
        (tmp_path / f"rows.{code}.json").write_text(json.dumps(rows), encoding="utf-8")
    methods = {"full": 'kind = "full"', "lora": 'kind = "lora"\nrank = 4\nalpha = 8.0'}
    for kind, method in methods.items():
        (tmp_path / kind).mkdir()
        text = RECIPE.format(base=lettered, method=method, epochs=2)
        (tmp_path / kind / "mine.toml").write_text(text, encoding="utf-8")
    return tmp_path


def _words(place: Path, kind: str, *more: str, out: str = "out") -> list[str]:
    recipe = str(place / kind / "mine.toml")
    words = ["tune", "run", recipe, "--data", str(place), "--out", str(place / out), "--offline", "--log-every", "1"]
    return [*words, "--device", "cpu", *more]


def _run_folder(place: Path, out: str = "out") -> Path:
    [folder] = (place / out).iterdir()
    return folder


def test_a_model_comes_out_that_eval_takes(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(_words(place, "full", "--checkpoint-every", "3")) == 0
    said = capsys.readouterr()
    folder = _run_folder(place)
    model = folder / "mine"
    assert f"next: xlingual eval --model {model}" in said.out
    assert "loss" in said.err
    assert "tok/s" in said.err
    steps = [json.loads(line) for line in (folder / STEPS).read_text(encoding="utf-8").splitlines()]
    assert [each["step"] for each in steps] == list(range(1, 9))
    assert set(steps[0]["by_source"]) <= {"english", "chinese"}
    assert steps[-1]["loss"] < steps[0]["loss"]
    spec = MODELS.get("hf")(str(model), ModelOptions(device="cpu")).spec
    parent = f"lettered (recipe mine, plan {folder.name.rpartition('-')[2]})"
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
    assert run_command([*_words(place, "full"), "--json"]) == 0  # pitfall 10: what is finished is said to be
    assert json.loads(capsys.readouterr().out)["record"]["steps"] == 8
    assert (model / "model.safetensors").stat().st_mtime_ns == before
    assert run_command(["tune", "run", str(folder), "--fresh", "--out", str(place / "out"), "--offline"]) == 0
    assert [path.name for path in folder.glob("before-*/mine")] == ["mine"]
    [old] = folder.glob("before-*/mine/model.safetensors")
    assert largest_difference(load_file(old), load_file(model / "model.safetensors")) == 0.0
    _report_tells_of_the_newest_training(place, record, capsys)


def _report_tells_of_the_newest_training(place: Path, record: TuneRecord, capsys: pytest.CaptureFixture[str]) -> None:
    """What `--fresh` moved aside is told of by no page, not even where a kill has left nothing else."""
    root, paces = place / "tuned", {"before-20250131T120000/a": 111_111.0, "a": 222_222.0, "sweep": 333_333.0}
    for day, (name, pace) in enumerate(paces.items()):
        (root / name).mkdir(parents=True)
        marked = replace(record, useful_tokens_per_second=pace, finished_at=f"2025-02-0{3 - day}T00:00:00Z")
        (root / name / "provenance.json").write_text(json.dumps(to_json(marked)), encoding="utf-8")
    told = []
    for gone in ("a", "sweep", None):
        assert run_command(["report", str(place / "out"), "--tuned", str(root), "--write", str(place / "page")]) == 0
        text = (place / "page").read_text(encoding="utf-8")
        told.append([pace for pace in paces.values() if f"{pace:,.0f}" in text])
        if gone is not None:
            (root / gone / "provenance.json").unlink()
    capsys.readouterr()
    assert told == [[222_222.0], [333_333.0], []]


def test_an_adapter_and_then_the_whole_model(place: Path, capsys: pytest.CaptureFixture[str], lettered: Path) -> None:
    assert run_command(_words(place, "lora")) == 0
    folder = _run_folder(place)
    assert "--merge writes the whole model" in capsys.readouterr().out
    config = json.loads((folder / "mine-adapter" / "adapter_config.json").read_text(encoding="utf-8"))
    assert config["base_model_name_or_path"] == str(lettered)
    assert not (folder / "mine").exists()
    assert run_command(_words(place, "lora", "--merge")) == 0  # from the last checkpoint: nothing is trained again
    assert len((folder / STEPS).read_text(encoding="utf-8").splitlines()) == 8
    merged = load_file(folder / "mine" / "model.safetensors")
    base = load_file(lettered / "model.safetensors")
    assert torch.equal(merged["model.embed_tokens.weight"], base["model.embed_tokens.weight"])
    assert largest_difference(base, merged) > 1e-4


def test_unknown_targets_are_refused(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = place / "lora" / "mine.toml"
    text = recipe.read_text(encoding="utf-8").replace('kind = "lora"', 'kind = "lora"\ntargets = ["q_proj", "k_prj"]')
    recipe.write_text(text, encoding="utf-8")
    assert run_command(_words(place, "lora")) == 3
    assert "no linear layer is named 'k_prj'" in capsys.readouterr().err


def test_a_live_run_is_not_disturbed(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(_words(place, "full")) == 0
    folder = _run_folder(place)
    with lock_folder(folder):
        assert run_command(_words(place, "full", "--fresh")) == 5
    assert "in use by pid" in capsys.readouterr().err
    assert (folder / "mine").is_dir()


def _start(*words: str) -> "subprocess.Popen[str]":
    environment = {**os.environ, **THREADS, "PYTHONWARNINGS": "error"}
    return subprocess.Popen(
        [sys.executable, *words], env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def test_a_signal_stores_and_says_how_to_go_on(place: Path) -> None:
    recipe = place / "full" / "mine.toml"
    recipe.write_text(recipe.read_text(encoding="utf-8").replace("epochs = 2", "epochs = 900"), encoding="utf-8")
    words = _words(place, "full", "--checkpoint-every", "100000", "--fresh", "--progress", "plain")
    process = _start("-m", "xlingual", *words)
    end = time.monotonic() + 120
    while not list(place.glob(f"out/*/{STEPS}")) and process.poll() is None:
        assert time.monotonic() < end
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143, errors
    assert "error: stopped by signal 15\nhint: the same command again resumes: xlingual tune run" in errors
    assert "--fresh" not in errors
    folder = _run_folder(place)
    done = len((folder / STEPS).read_text(encoding="utf-8").splitlines())
    assert [path.name for path in (folder / "checkpoints").iterdir()] == [f"step-{done:08d}"]
    assert not (folder / "lock").exists()


def test_torchrun_trains_to_the_same_result(place: Path) -> None:
    assert run_command(_words(place, "full", out="one")) == 0
    port = str(free_port())
    process = _start(
        "-W", "default", "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-addr", "127.0.0.1",
        "--master-port", port, "-m", "xlingual", *_words(place, "full", out="two"),
    )  # fmt: skip
    out, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert out.count("next: xlingual eval") == 1  # one rank speaks
    one, two = (load_file(_run_folder(place, out=name) / "mine" / "model.safetensors") for name in ("one", "two"))
    assert largest_difference(one, two) < 2e-5


def test_a_tracked_training_leaves_an_archive_and_no_secret(place: Path) -> None:
    pytest.importorskip("comet_ml", reason="needs the extra `tracking`")
    canary = "canary-comet-0123456789abcdef"
    finished = subprocess.run(
        [sys.executable, "-m", "xlingual", *_words(place, "full", "--track", "comet-ml")],
        env={**os.environ, "COMET_API_KEY": canary, "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    [archive] = (place / "out" / "tracking").iterdir()
    with zipfile.ZipFile(archive) as opened:
        contents = {name: opened.read(name) for name in opened.namelist()}
    messages = [json.loads(line)["payload"] for line in contents["messages.json"].decode().splitlines()]
    params = {each["param"]["paramName"]: each["param"]["paramValue"] for each in messages if each.get("param")}
    assert (params["recipe"], params["steps"], params["schedule/learning_rate"]) == ("mine", 8, 1e-3)
    metrics = [each["metric"] for each in messages if each.get("metric")]
    logged = {each["step"]: each["metricValue"] for each in metrics if each["metricName"] == "loss"}
    [folder] = (each for each in (place / "out").iterdir() if each.name != "tracking")
    steps = [json.loads(line) for line in (folder / STEPS).read_text(encoding="utf-8").splitlines()]
    assert logged == pytest.approx({each["step"]: each["loss"] for each in steps})
    assert {each["metricName"] for each in metrics} >= {"loss/language/zh", "useful_tokens_per_second"}
    names = [each["additional_params"]["fileName"] for each in messages if "file_path" in each]
    assert names == ["model/provenance.json"]
    written = [path.read_bytes() for path in (place / "out").rglob("*") if path.is_file()]
    for held in (*contents.values(), *written, finished.stdout.encode(), finished.stderr.encode()):
        assert canary.encode() not in held


@pytest.mark.parametrize(
    ("ending", "code"),
    [("trained", 0), ("finished before", 0), ("no data", 3), ("unknown targets", 3), ("signal", 143)],
)
def test_the_tracker_of_a_training_is_closed_in_every_ending(
    ending: str, code: int, place: Path, monkeypatch: pytest.MonkeyPatch
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
        assert run_command(_words(place, kind)) == 0
    elif ending == "no data":
        (place / "rows.zh.json").unlink()
    elif ending == "unknown targets":
        recipe = place / kind / "mine.toml"
        text = recipe.read_text(encoding="utf-8").replace('kind = "lora"', 'kind = "lora"\ntargets = ["no_such"]')
        recipe.write_text(text, encoding="utf-8")
    elif ending == "signal":
        monkeypatch.setattr("xlingual.cli.tune_run.plan_words", interrupt)
    assert run_command(_words(place, kind, "--track", "comet-ml")) == code
    [tracker] = opened
    assert isinstance(tracker, Spool)
    assert tracker.closed
