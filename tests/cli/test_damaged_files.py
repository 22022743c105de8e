"""R12: every kind of file that a user can give, damaged in every way: 2, 3 or 5, the file's name, and no traceback.

A kind is a file in a folder that works, and the command that reads it. Some damages do no harm to some kinds, such as a
journal whose damaged lines are set aside; these are listed, and must then not fail.
"""

import json
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from xlingual import lease
from xlingual.cli import run_command

from ..board.test_spec import GOOD as BOARD
from ..declared.conftest import ROWS as RIVERS
from ..declared.conftest import TEXT as FAMILY
from ..small_base import make_small_base
from ..tune.test_recipe import GOOD as RECIPE
from .test_config_files import SWEEP

SAMPLE = Path(__file__).resolve().parents[2] / "tasks" / "sample"
SECONDS = 20.0
"""For a command in this process, which takes less than one; a machine may be busy."""
EVAL = ("--progress", "none", "--limit", "2", "--max-new-tokens", "2")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of file, and the command that reads it; both are relative to the folder of everything."""

    file: str
    command: tuple[str, ...]
    ends: tuple[int, ...] = (2, 3, 5)
    named: str = ""
    """What of the file's name is in the error, where not all of it."""


RUN = "runs/oracle"
ASK = ("-t", "xquad/zh", "--data", "sample", *EVAL, "-o", "out")
SCORE = ("score", RUN, "--data", "sample")
MODEL = ("eval", "-m", "model", *ASK)
CHECK = ("tasks", "--check", "tasks/rivers.toml", "--data", "data")
KINDS: Mapping[str, Kind] = {
    "results": Kind(file=f"{RUN}/results.json", command=SCORE),
    "results compared": Kind(file=f"{RUN}/results.json", command=("compare", RUN, "runs/echo"), named=RUN),
    "samples": Kind(file=f"{RUN}/samples.jsonl", command=SCORE),
    "samples compared": Kind(file=f"{RUN}/samples.jsonl", command=("compare", RUN, "runs/echo")),
    "a lock": Kind(file=f"{RUN}/lock", command=SCORE),
    "predictions": Kind(
        file="predictions.jsonl", command=("score", "predictions.jsonl", "-t", "xquad/zh", "--data", "sample"),
    ),
    "passages": Kind(
        file="data/xquad/xquad.zh.json", command=("eval", "-m", "echo", "-t", "xquad/zh", "--data", "data", *EVAL),
    ),
    "lines": Kind(
        file="data/flores101/devtest/zho_simpl.devtest",
        command=("eval", "-m", "echo", "-t", "flores101/en-zh", "--data", "data", *EVAL),
    ),
    "rows of a declared task": Kind(file="data/rivers/en.test.jsonl", command=CHECK),
    "a declared task": Kind(file="tasks/rivers.toml", command=CHECK),
    "a recipe": Kind(file="mine.toml", command=("tune", "plan", "mine.toml", "--data", "sample")),
    "a sweep": Kind(file="sweep.toml", command=("scale", "sweep", "sweep.toml", "--data", "sample", "--dry-run")),
    "a leaderboard": Kind(file="boards/mine.toml", command=("board", "runs", "--board", "boards/mine.toml")),
    "prices": Kind(file="prices.toml", command=("eval", "-m", "echo", *ASK, "--dry-run", "--price", "prices.toml")),
    "training text": Kind(
        file="data/tune/alpaca.zh.jsonl",
        command=("tune", "plan", "x-llama-zh-mini", "--data", "data", "--base", "model"),
    ),
    "config": Kind(file="model/config.json", command=MODEL),
    "generation config": Kind(file="model/generation_config.json", command=MODEL),
    "tokenizer": Kind(file="model/tokenizer.json", command=MODEL),
    "tokenizer config": Kind(file="model/tokenizer_config.json", command=MODEL),
    "weights": Kind(file="model/model.safetensors", command=MODEL),
    "index of weights": Kind(
        file="sharded/model.safetensors.index.json", command=("eval", "-m", "sharded", *ASK),
    ),
}  # fmt: skip


def sparse(path: Path) -> None:
    with path.open("wb") as stream:
        stream.truncate(2**33)


def written(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def half(path: Path) -> None:
    content = path.read_bytes() if path.exists() else b""
    path.write_bytes(content[: len(content) // 2])


DAMAGES: Mapping[str, Callable[[Path], object]] = {
    "empty": written(b""),
    "noise": written(bytes(range(256)) * 64),
    "zeros": written(b"\0" * 4096),
    "deep": written(b'["' * 100_000),
    "deep lists": written(b"[" * 100_000),
    "deep objects": written(b'{"a":' * 100_000),
    "half": half,
    "not UTF-8": written(b'{"a": "\xe9"}\n'),
    "UTF-16": written('{"a": 1}\n'.encode("utf-16")),
    "a number": written(b"7\n"),
    "a text": written(b'"x"\n'),
    "null": written(b"null\n"),
    "a list": written(b"[]\n"),
    "a list of numbers": written(b"[1, 2]\n"),
    "an object": written(b"{}\n"),
    "another object": written(b'{"a": {"b": [1]}}\n'),
    "NaN": written(b'{"a": NaN}\n'),
    "a key twice": written(b'{"a": 1, "a": 2}\n'),
    "a huge number": written(b'{"a": ' + b"9" * 5000 + b"}\n"),
    "eight gigabytes": sparse,
    "a folder": lambda path: path.mkdir(),
    "a pipe": os.mkfifo,
    "a link to nothing": lambda path: path.symlink_to("nowhere"),
    "a link to itself": lambda path: path.symlink_to(path.name),
}
"""What a file is replaced by; all but the cut and the empty one are no such file any more."""
NAMED_BY_USER = ("predictions", "prices", "a recipe", "a sweep", "a leaderboard", "a declared task")
"""A pipe that a user names is read: who writes to it is the user's affair."""


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    """A folder with one of every kind."""
    root = tmp_path_factory.mktemp("ground")
    for model in ("oracle", "echo"):
        words = [
            "eval",
            "-m",
            model,
            "-t",
            "xquad/zh",
            "--data",
            "sample",
            "-o",
            str(root / "out"),
            "--progress",
            "none",
        ]
        assert run_command(words) == 0
        [results] = (root / "out").rglob("results.json")
        (root / "runs").mkdir(exist_ok=True)
        shutil.move(results.parent, root / "runs" / model)
        shutil.rmtree(root / "out")
    shutil.copytree(SAMPLE, root / "data")
    (root / "data" / "rivers").mkdir()
    for name, text in RIVERS.items():
        (root / "data" / "rivers" / f"{name}.jsonl").write_text(text, encoding="utf-8")
    samples = [json.loads(line) for line in (root / "runs/oracle/samples.jsonl").read_text("utf-8").splitlines()]
    lines = [json.dumps({"id": each["id"], "prediction": each["answer"]}) + "\n" for each in samples]
    (root / "predictions.jsonl").write_text("".join(lines), encoding="utf-8")
    (root / "tasks").mkdir()
    (root / "boards").mkdir()
    for name, text in {
        "tasks/rivers.toml": FAMILY, "mine.toml": RECIPE, "sweep.toml": SWEEP, "boards/mine.toml": BOARD.lstrip(),
        "prices.toml": "[echo]\nin = 1.0\nout = 2.0\n",
    }.items():  # fmt: skip
        (root / name).write_text(text, encoding="utf-8")
    shutil.copytree(tiny_model, root / "model")
    shutil.copytree(tiny_model, root / "sharded")
    shards = dict.fromkeys(("a", "b"), "model.safetensors")
    (root / "sharded" / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}), "utf-8")
    return root


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_small_base(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def place(ground: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of links to everything, in which one file can be replaced."""
    root = tmp_path / "place"
    shutil.copytree(ground, root, copy_function=os.link)
    monkeypatch.chdir(root)
    monkeypatch.setenv("XLINGUAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(lease, "STALE_SECONDS", 0.2)
    return root


def damage(path: Path, how: str) -> None:
    """Replace a file, without a change to the one that it is a link to."""
    content = path.read_bytes() if path.is_file() else b""
    path.unlink(missing_ok=True)
    if how == "half":
        path.write_bytes(content)
    DAMAGES[how](path)


ANY_OBJECT = ("an object", "another object", "NaN", "a key twice")
HARMLESS: Mapping[str, Sequence[str]] = {
    # No run can have written it, or it does not beat: it is taken over, and that is said.
    "a lock": [how for how in DAMAGES if how not in ("a folder", "a pipe", "a link to nothing", "a link to itself")],
    # What they do not say has a default, and is read as Python reads it.
    "generation config": ANY_OBJECT,
    "tokenizer config": ANY_OBJECT,
    # It names no shards, so that the weights are those in the folder.
    "index of weights": ANY_OBJECT,
}


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_file_is_named(kind: str, how: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if how == "a pipe" and kind in NAMED_BY_USER:
        pytest.skip("read as a file")
    known = KINDS[kind]
    damage(place / known.file, how)
    before = time.process_time()
    code = run_command(list(known.command))
    assert time.process_time() - before < SECONDS
    error = capsys.readouterr().err
    assert "Traceback" not in error
    assert "this is a bug" not in error
    if how in HARMLESS.get(kind, ()):
        assert code == 0, error
        return
    assert code in known.ends, error
    assert (known.named or Path(known.file).name) in error.partition("\nhint: ")[0]
    assert len([line for line in error.splitlines() if line.startswith("error: ")]) == 1


@pytest.mark.slow
def test_what_is_not_damaged_is_read(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """But for the recipe, whose data are not here, and the index, whose shards are not those of the model."""
    found = {}
    for kind, known in KINDS.items():
        code = run_command(list(known.command))
        error = capsys.readouterr().err
        found[kind] = 0 if code == 0 or Path(known.file).name not in error.partition("\nhint: ")[0] else error
    assert {kind: error for kind, error in found.items() if error} == {}
