"""New tokens: their means, training under an adapter, export, evaluation, and what a plan says of them."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from xlingual.cli import run_command
from xlingual.plugin import ModelOptions
from xlingual.selection import open_model
from xlingual.tune.recipe_records import Tuning
from xlingual.tune.vocabulary import Vocabulary

from .conftest import (
    MakeRun,
    column,
    largest_difference,
    make_llama,
    make_plan,
    make_rows,
    run_folder,
    tune_run,
)

LIST = ("--set", "vocabulary.tokens=tokens.txt")
TOKENS = ("好", "yes 1", " en")


@pytest.fixture
def data(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of training text, with a list of tokens."""
    monkeypatch.setenv("XLINGUAL_CACHE", str(data_folder / "cache"))
    (data_folder / "tokens.txt").write_text("\n".join(TOKENS) + "\n\n", encoding="utf-8")
    return data_folder


def _plan(data: Path, *more: str, kind: str = "lora") -> list[str]:
    return ["tune", "plan", str(data / kind / "mine.toml"), "--data", str(data), "--offline", *more]


def _extended(data: Path) -> Path:
    [folder] = (data / "cache" / "vocabulary").iterdir()
    return folder


@pytest.mark.parametrize("tied", [False, True])
def test_a_new_token_is_the_mean_of_its_pieces(
    tied: bool, data: Path, byte_base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = tmp_path / "tied"
    shutil.copytree(byte_base, base)
    make_llama(base, tied=tied, vocabulary=259)  # as many rows as tokens: it grows
    assert run_command(_plan(data, *LIST, "--base", f"hf:{base}", "--json")) == 0
    plan = json.loads(capsys.readouterr().out)["plan"]
    assert plan["vocabulary"]["added"] == len(TOKENS)
    assert plan["vocabulary"]["base"] == "tied"
    fertility = plan["vocabulary"]["fertility"]
    assert fertility["zh"]["before"] > fertility["zh"]["after"]
    old, new = load_file(base / "model.safetensors"), load_file(_extended(data) / "model.safetensors")
    tokenizer = AutoTokenizer.from_pretrained(base)
    grown = AutoTokenizer.from_pretrained(_extended(data))
    assert ("lm_head.weight" in new) is not tied
    for name in ("model.embed_tokens.weight", *(() if tied else ("lm_head.weight",))):
        assert torch.equal(new[name][:259], old[name])
        for number, token in enumerate(TOKENS):
            pieces = tokenizer.encode(token, add_special_tokens=False)
            assert len(pieces) == len(token.encode())
            assert grown.encode(token, add_special_tokens=False) == [259 + number]
            assert torch.allclose(new[name][259 + number], old[name][pieces].mean(0), atol=1e-6)
    changed = {name for name in old if not torch.equal(old[name], new[name][: len(old[name])])}
    assert changed == set()
    text = "好朋友 yes 1 and yes 12 en 好"
    assert grown.decode(grown.encode(text, add_special_tokens=False)) == text


def test_rows_that_the_base_has_to_spare_are_taken(data: Path) -> None:
    assert run_command(_plan(data, *LIST)) == 0  # 300 rows, 259 tokens
    assert len(load_file(_extended(data) / "model.safetensors")["model.embed_tokens.weight"]) == 300
    before = _extended(data).stat().st_mtime_ns
    assert run_command(_plan(data, *LIST)) == 0
    assert _extended(data).stat().st_mtime_ns == before


def test_tokens_are_trained_on_the_answers(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(_plan(data, "--set", "vocabulary.train=4")) == 0
    said = capsys.readouterr().out
    assert "vocabulary: 4 new tokens for byte_base; tokens a character: en " in said
    added = AutoTokenizer.from_pretrained(_extended(data)).get_added_vocab()
    assert "好" in added
    first = json.dumps(sorted(added))
    shutil.rmtree(data / "cache")
    assert run_command(_plan(data, "--set", "vocabulary.train=4")) == 0
    assert json.dumps(sorted(AutoTokenizer.from_pretrained(_extended(data)).get_added_vocab())) == first
    assert run_command(_plan(data, "--set", "vocabulary.train=5000")) == 3
    assert "vocabulary.train: the answers of the mix give" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["lora", "full"])
def test_it_is_trained_resumed_exported_and_evaluated(kind: str, data: Path, byte_base: Path, tmp_path: Path) -> None:
    long = tmp_path / "long"
    shutil.copytree(byte_base, long)
    config = json.loads((long / "config.json").read_text(encoding="utf-8"))
    (long / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 4096}), encoding="utf-8")
    words = (*LIST, "--base", f"hf:{long}", "--merge")
    assert run_command(tune_run(data, kind, *words)) == 0
    whole = run_folder(data) / "mine"
    base, tuned = load_file(_extended(data) / "model.safetensors"), load_file(whole / "model.safetensors")
    ids = AutoTokenizer.from_pretrained(whole).convert_tokens_to_ids(list(TOKENS))
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        assert all(not torch.equal(base[name][each], tuned[name][each]) for each in ids[:2])  # that rows have
    if kind == "lora":
        adapter = load_file(run_folder(data) / "mine-adapter" / "adapter_model.safetensors")
        saved = {name.removeprefix("base_model.model."): each for name, each in adapter.items() if "lora" not in name}
        assert set(saved) == {"model.embed_tokens.weight", "lm_head.weight"}
        assert all(torch.equal(each, tuned[name]) for name, each in saved.items())
    for more in (["--max-steps", "3"], []):
        assert run_command(tune_run(data, kind, *words, *more, out="parts")) == 0
    assert largest_difference(load_file(run_folder(data, "parts") / "mine" / "model.safetensors"), tuned) == 0.0
    loaded = AutoModelForCausalLM.from_pretrained(whole)
    assert torch.equal(loaded.get_input_embeddings().weight, tuned["model.embed_tokens.weight"])
    model = open_model(str(whole), ModelOptions(device="cpu", offline=True))
    assert (model.spec.parent or "").startswith("long-plus-3-")
    asked = ["eval", "-m", str(whole), "-t", "xquad/zh", "--data", "sample", "--limit", "2", "--max-new-tokens", "4"]
    assert run_command([*asked, "--out", str(data / "runs"), "--progress", "none"]) == 0


@pytest.mark.slow
@pytest.mark.parametrize("tied", [False, True])
def test_embeddings_beside_an_adapter_on_two_ranks(tied: bool, make_run: MakeRun, tmp_path: Path) -> None:
    base, plan = make_llama(tmp_path / "base", tied=tied), make_plan(make_rows(), steps=4, kind=Tuning.LORA)
    method = replace(plan.recipe.method, dropout=0.0)
    recipe = replace(plan.recipe, method=method, vocabulary=Vocabulary(tokens="tokens.txt", train=None))
    runs = [make_run(f"on{ranks}", replace(plan, recipe=recipe), base=base) for ranks in (1, 2)]
    for ranks, run in enumerate(runs, start=1):
        run.run(ranks, merge=True)
    assert column(runs[0].steps(), "loss") == pytest.approx(column(runs[1].steps(), "loss"), rel=1e-5)
    one, two = (run.weights() for run in runs)
    assert largest_difference(one, two) < 5e-6
    old = load_file(base / "model.safetensors")
    assert set(one) == set(old)
    assert all(not torch.equal(one[name], old[name]) for name in old if "embed" in name or "lm_head" in name)
    assert all(torch.equal(one[name], old[name]) for name in old if "norm" in name)


@pytest.mark.parametrize(
    ("overrides", "text", "code", "what"),
    [
        (("vocabulary.tokens=none.txt",), "", 3, "none.txt: there is no such list"),
        (("vocabulary.tokens=../none.txt",), "", 3, "'../none.txt': the path leads out of its folder"),
        ((f"vocabulary.tokens={'a' * 300}",), "", 3, "the path is too long for a file"),
        (LIST[1:], "好\n\n好\n", 3, "tokens.txt:3: '好' is in line 1 already"),
        (LIST[1:], "\n", 3, "tokens.txt: 0 tokens in the list"),
        (LIST[1:], "a\n好\n", 3, "tokens.txt: 'a' is one token already"),
        (LIST[1:], "</s>\n", 3, "tokens.txt: '</s>' is one token already"),
        (LIST[1:], "é\n", 3, "tokens.txt: 'é' is how this tokenizer writes another token"),  # the byte E9
        (LIST[1:], "là\nđã\nné\n", 3, "tokens.txt: 'là' does not come back from its token, and 2 more"),
        (("vocabulary.train=0",), "", 2, "--set vocabulary.train: 'train' must be at least 1"),
        (("vocabulary.size=5",), "", 2, "--set vocabulary.size: unknown key 'size'"),
        (("vocabulary.tokens=tokens.txt", "vocabulary.train=5"), "", 2, "new tokens come from a list or are trained"),
    ],
)
def test_mistakes(
    overrides: tuple[str, ...], text: str, code: int, what: str, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (data / "tokens.txt").write_text(text, encoding="utf-8")
    assert run_command(_plan(data, *(word for each in overrides for word in ("--set", each)))) == code
    assert what in capsys.readouterr().err
    assert not (data / "cache" / "vocabulary").exists()
