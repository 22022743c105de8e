"""What a plugin's model may yield for its layers: everything else is a message that names its line."""

import re
from pathlib import Path

import pytest

from xlingual.plugin import LogitLens, ModelOptions, SupportsHiddenStates, Trainable
from xlingual.selection import open_model

from .conftest import Bench

MODEL = '''"""A model whose layers are drawn."""

import numpy as np
import xlingual as xl
from xlingual.plugin import TextStates

SPEC = xl.ModelSpec(word="layered", backend="layered", name="layered", revision=None, fingerprint="f" * 64,
                    dtype=None, template="raw", context_length=None, parent=None)


class Layered:
    spec = SPEC

    def count_tokens(self, requests):
        return None

    def answer(self, requests):
        return iter(())

    def close(self):
        pass

    def hidden_states(self, texts, lens):
        for number, text in enumerate(texts):
            states = np.random.default_rng(len(text)).normal(size=(3, 4)).astype(np.float32)
            tokens = None if lens is None else np.zeros((3, lens.positions, lens.top_k), dtype=np.int64)
            yield TextStates(ids=(1, 2), mean=states, last=states, predictions=tokens)


@xl.register_model("layered")
def layered(name, options):
    return Layered()
'''
YIELD = "yield TextStates(ids=(1, 2), mean=states, last=states, predictions=tokens)"
LENS = LogitLens(positions=2, top_k=3)


def test_states_pass(bench: Bench) -> None:
    bench.write("models/layered.py", MODEL)
    model = open_model("layered", ModelOptions())
    assert isinstance(model, SupportsHiddenStates)
    assert not isinstance(model, Trainable)
    assert [each.mean.shape for each in model.hidden_states(["a", "b"], LENS)] == [(3, 4), (3, 4)]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("yield states", "must yield TextStates for each text, got"),
        ("return", "must yield TextStates, got None"),
        (
            "if number == 0: " + YIELD,
            "text 2 of 8: hidden_states must yield TextStates for each text, got nothing more",
        ),
        ("raise KeyError(text)", "KeyError"),
        (YIELD.replace("(1, 2)", "[1, 2]"), "ids must be a tuple of whole numbers"),
        (YIELD.replace("(1, 2)", "(1, 'a')"), "ids must be a tuple of whole numbers"),
        (YIELD.replace("mean=states", "mean=states.tolist()"), "mean must be an array of numbers"),
        (YIELD.replace("mean=states", "mean=states[0]"), "mean must be an array of numbers"),
        (YIELD.replace("mean=states", "mean=states[:0]"), "mean must be an array of numbers"),
        (YIELD.replace("mean=states", "mean=states.astype(int)"), "mean must be an array of numbers"),
        (YIELD.replace("last=states", "last=states[:, :2]"), r"last must be \(3, 4\) for every text, got \(3, 2\)"),
        ("states = states[:3 - number]; " + YIELD, r"text 2 of 8: mean must be \(3, 4\)"),
        (YIELD.replace("=tokens", "=tokens[:, :1]"), "predictions must be whole numbers"),
        (YIELD.replace("=tokens", "=tokens * 1.0"), "predictions must be whole numbers"),
        (YIELD.replace("=tokens", "=tokens if number else None"), "predictions must be of one shape for every text"),
    ],
)
def test_what_is_none_is_named(bench: Bench, tmp_path: Path, line: str, message: str) -> None:
    bench.write("models/layered.py", MODEL, (YIELD, line))
    for code in ("eng", "ell"):
        (tmp_path / f"{code}.txt").write_text("".join(f"{code} {n}\n" for n in range(8)), encoding="utf-8")
    finished = bench.run(
        "analyze", "space", "layered", "--data", str(tmp_path), "-l", "en,el", "-o", str(tmp_path / "o")
    )
    assert finished.code == 3, finished.stderr
    assert re.search(message, finished.error), finished.error
    assert "models/layered.py:" in finished.error
    assert not (tmp_path / "o").exists()


def test_a_plugin_is_analysed_like_any_model(bench: Bench, tmp_path: Path) -> None:
    bench.write("models/layered.py", MODEL)
    for code in ("eng", "ell"):
        (tmp_path / f"{code}.txt").write_text("".join(f"{code} {'x' * n}\n" for n in range(9)), encoding="utf-8")
    finished = bench.run(
        "analyze", "space", "layered", "--data", str(tmp_path), "-l", "en,el", "-o", str(tmp_path / "o")
    )
    assert finished.code == 0, finished.stderr
    assert "do translations find each other?" in finished.stdout
