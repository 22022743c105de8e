"""Small random Llamas, rows without a tokenizer, trainings on ranks in real processes, and data for `tune run`."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from xlingual.records import ModelSpec
from xlingual.serial import to_json
from xlingual.tune.recipe_records import Amount, Method, Norm, OnLong, Recipe, Schedule, SourceUse, Tuning, Unit
from xlingual.tune.records import EncodedRows, MixPlan

WORKER = Path(__file__).with_name("worker.py")
VOCABULARY = 128
THREADS = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}


def make_rows(count: int = 96, seed: int = 7) -> EncodedRows:
    """Random rows of 5 to 40 tokens from two sources, some drawn twice."""
    draw = np.random.default_rng(seed)
    lengths = draw.integers(5, 40, count)
    return EncodedRows(
        tokens=draw.integers(3, VOCABULARY, lengths.sum()).astype(np.int32),
        offsets=np.concatenate([[0], np.cumsum(lengths)]),
        answer_starts=(lengths * draw.uniform(0.2, 0.8, count)).astype(np.int64),
        sources=(np.arange(count) >= count // 2).astype(np.int64),
        draws=np.where(np.arange(count) % 7 == 0, 2, 1),
    )


def make_plan(rows: EncodedRows, steps: int = 8, norm: Norm = Norm.TOKEN, kind: Tuning = Tuning.FULL) -> MixPlan:
    sources = tuple(
        SourceUse(
            name=name, reader="alpaca", path=f"{name}.json", language=language, direction=None,
            columns=(),
            amount=Amount(unit=Unit.ALL, value=None), max_epochs=1.0,
        )
        for name, language in (("first", "en"), ("second", "zh"))
    )  # fmt: skip
    schedule = Schedule(
        epochs=1.0, rows_per_step=16, tokens_per_step=None, learning_rate=2e-4, warmup=0.0, weight_decay=0.01,
        clip=1.0, norm=norm,
    )  # fmt: skip
    recipe = Recipe(
        name="tiny", description="", base="hf:tiny", template="raw", seed=3, length=64, on_long=OnLong.CUT,
        budget=None, sources=sources, schedule=schedule,
        method=Method(kind=kind, rank=4, alpha=8.0, dropout=0.1, targets=("q_proj", "down_proj")),
    )  # fmt: skip
    spec = ModelSpec(
        word="hf:tiny", backend="hf", name="tiny", revision=None, fingerprint="0" * 64, dtype="float32",
        template="raw", context_length=256, parent=None,
    )  # fmt: skip
    return MixPlan(
        schema=1, id="1" * 64, recipe=recipe, base=spec, sources=(), checks=(), rows=int(rows.draws.sum()), tokens=0,
        supervised=0, steps=steps, pack_length=64, packs=0, fill=1.0,
    )  # fmt: skip


def make_llama(folder: Path, *, tied: bool = False, vocabulary: int = VOCABULARY) -> Path:
    config = LlamaConfig(
        vocab_size=vocabulary, hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=256, tie_word_embeddings=tied, initializer_range=0.2,
        bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    torch.manual_seed(11)
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama of three layers; it has no tokenizer."""
    return make_llama(tmp_path_factory.mktemp("bases") / "tiny")


class RankLauncher:
    """Starts the ranks of trainings as processes; see worker.py."""

    def __init__(self) -> None:
        environment = {**os.environ, **THREADS}
        self.process = subprocess.Popen(
            [sys.executable, str(WORKER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def send(self, message: dict[str, object]) -> Any:  # noqa: ANN401 - what the worker answers
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(timeout=60)


@pytest.fixture(scope="session")
def launcher() -> Iterator[RankLauncher]:
    """One for all tests: torch and transformers are imported once."""
    started = RankLauncher()
    yield started
    started.close()


@dataclass(frozen=True)
class TrainingRun:
    """A run folder, which ranks in processes of their own train."""

    folder: Path
    base: Path
    launcher: RankLauncher

    def start(self, ranks: int, **settings: object) -> list[int]:
        """Start the ranks with these TrainSettings, or faults of worker.py; return their pids."""
        message = {"ranks": ranks, "folder": str(self.folder), "base": str(self.base), "settings": settings}
        return list(self.launcher.send(message))

    def wait(self, pids: Sequence[int]) -> list[int]:
        """Return the exit code of each rank, or -SIGNAL."""
        return [self.launcher.send({"wait": pid}) for pid in pids]

    def run(self, ranks: int, **settings: object) -> list[dict[str, float]]:
        """Train to the end; return the lines of the step log."""
        assert self.wait(self.start(ranks, **settings)) == [0] * ranks
        return self.steps()

    def steps(self) -> list[dict[str, float]]:
        path = self.folder / "steps.jsonl"
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []

    def checkpoints(self) -> list[str]:
        return sorted(path.name for path in (self.folder / "checkpoints").glob("step-*"))

    def weights(self) -> dict[str, torch.Tensor]:
        return load_file(self.folder / "tiny" / "model.safetensors")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


MakeRun = Callable[..., TrainingRun]


@pytest.fixture
def make_run(tmp_path: Path, tiny: Path, launcher: RankLauncher) -> MakeRun:
    """Make a run folder with a plan and rows."""

    def make(
        name: str,
        plan: MixPlan | None = None,
        rows: EncodedRows | None = None,
        base: Path = tiny,
        held_out: EncodedRows | None = None,
    ) -> TrainingRun:
        rows = rows or make_rows()
        folder = tmp_path / name
        folder.mkdir()
        plan = replace(plan or make_plan(rows), id=f"{name:0<64}")
        (folder / "plan.json").write_text(json.dumps(to_json(plan)), encoding="utf-8")
        names = ("tokens", "offsets", "answer_starts", "sources", "draws", "learnt")
        arrays = {each: getattr(rows, each) for each in names if getattr(rows, each) is not None}
        np.savez(folder / "rows.npz", **arrays)
        if held_out is not None:
            arrays = {each: getattr(held_out, each) for each in names if getattr(held_out, each) is not None}
            np.savez(folder / "held_out.npz", **arrays)
        return TrainingRun(folder=folder, base=base, launcher=launcher)

    return make


def largest_difference(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)


def column(steps: Sequence[dict[str, float]], name: str) -> list[float]:
    return [each[name] for each in steps]


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


def tune_run(data_folder: Path, kind: str, *more: str, out: str = "out") -> list[str]:
    """Return the arguments of `tune run`; `kind` is full or lora."""
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


def run_folder(data_folder: Path, out: str = "out") -> Path:
    """Return the only run folder below `out`."""
    [folder] = (data_folder / out).iterdir()
    return folder
