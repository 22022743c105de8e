"""Rows of several answers: the loss of transformers on the same labels, on ranks, killed and resumed; end to end."""

import json
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from xlingual.cli import run_command
from xlingual.plugin import DataSource, ModelOptions
from xlingual.records import ModelSpec
from xlingual.registry import MODELS
from xlingual.thinking import ThinkingMode
from xlingual.training.batches import build_batch, loss_normalizer
from xlingual.tune.prepare import Prepared, open_base, plan_mix
from xlingual.tune.recipe import find_recipe
from xlingual.tune.recipe_records import Norm
from xlingual.tune.records import EncodedRows

from .conftest import MakeRun, column, largest_difference, run_folder
from .test_exactness import CPU, FAMILIES, _backward, _expect_equal, _model, _ours, _rows

CHATML = (
    "{%- for m in messages %}{{- '<|im_start|>' ~ m.role ~ '\n' ~ m.content ~ '<|im_end|>\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"
)
SWITCH = CHATML.replace(
    "{%- endif %}",
    "{%- if enable_thinking is defined and not enable_thinking %}{{- '<think></think>' }}{%- endif %}{%- endif %}",
).replace("~ m.content", "~ ('<think></think>' if m.role == 'assistant' and loop.last else '') ~ m.content")
GEMMA = (
    "{%- for m in messages %}{%- if m.role == 'system' %}{{- raise_exception('no system role') }}{%- endif %}"
    "{{- '<|im_start|>' ~ m.role ~ '\n' ~ m.content | trim ~ '<|im_end|>\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"
)
RECIPE = """\
name = "tiny"
description = "a file of conversations, one of instructions and noisy bitext"
base = "hf:{base}"
template = "chat"
{more}
length = 220
seed = 5
[sources.chats]
reader = "messages"
path = "chats.jsonl"
language = "en"
[sources.alpaca]
reader = "alpaca"
path = "rows.jsonl"
language = "en"
[sources.mined]
reader = "tsv"
path = "mined.tsv"
columns = ["en:1", "zh:2"]
direction = "en-zh"
filter = {{ language = true, copies = false, min_letters = 1 }}
[schedule]
epochs = 2
rows_per_step = 8
learning_rate = 1e-3
"""


def _masked() -> EncodedRows:
    """The rows of the other exactness tests with several answers each; one has a learnt first token, one has none."""
    rows = _rows()
    learnt = np.random.default_rng(4).random(len(rows.tokens)) < 0.4
    learnt[rows.offsets[1]] = True
    learnt[rows.offsets[2] : rows.offsets[3]] = False
    return replace(rows, learnt=learnt)


@pytest.mark.parametrize("family", ["llama", "gemma3", "qwen3"])
@pytest.mark.parametrize("norm", list(Norm))
def test_loss_and_gradients_are_those_of_a_padded_batch_with_the_same_labels(family: str, norm: Norm) -> None:
    rows, config = _masked(), FAMILIES[family]()
    assert rows.learnt is not None
    longest = int(rows.lengths.max())
    ids, mask = torch.zeros(5, longest, dtype=torch.long), torch.zeros(5, longest, dtype=torch.long)
    labels = torch.full((5, longest), -100)
    for row in range(5):
        place = slice(rows.offsets[row], rows.offsets[row + 1])
        piece = torch.from_numpy(rows.tokens[place].astype(np.int64))
        ids[row, : len(piece)], mask[row, : len(piece)] = piece, 1
        labels[row, : len(piece)] = torch.where(torch.from_numpy(rows.learnt[place]), piece, -100)
    counts = (labels[:, 1:] != -100).sum(1).tolist()
    assert rows.supervised.tolist() == counts
    assert counts[2] == 0
    assert min(count for row, count in enumerate(counts) if row != 2) > 1
    oracle, model = _model(config, "eager"), _ours(config)
    given = {"input_ids": ids, "attention_mask": mask, "labels": labels}
    if norm is Norm.TOKEN:
        expected = [oracle(**given, num_items_in_batch=sum(counts), use_cache=False).loss]
    else:
        learning = [row for row in range(5) if counts[row]]
        expected = [oracle(**{name: each[row : row + 1] for name, each in given.items()}).loss / 4 for row in learning]
    found = []
    for chosen in ([3, 0, 2], [1, 4]):
        batch = build_batch(rows, chosen, loss_normalizer(counts, norm, 2), CPU)
        found.append((model(batch) * batch.loss_weights).sum())
    _expect_equal(_backward(model, found), _backward(oracle, expected))


@pytest.fixture
def chat_base(byte_base: Path, tmp_path: Path) -> Path:
    return _chat_base(byte_base, tmp_path / "chat-base", CHATML)


def _chat_base(byte_base: Path, folder: Path, template: str) -> Path:
    shutil.copytree(byte_base, folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    return folder


def _write_data(folder: Path) -> None:
    chats: list[dict[str, Any]] = []
    for number in range(12):
        messages = [("user", f"Count to {number}"), ("assistant", "One, two, three."), ("user", "And on")]
        messages += [("assistant", f"{number} and more.")] * (number % 3 > 0) + [("user", "Thanks")] * (number % 2)
        chats.append({"messages": [{"role": role, "content": text} for role, text in messages]})
    chats[3]["messages"][1]["weight"] = 0
    chats[4] = {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello."}]}
    # One of them learns nothing: its only answer has weight 0.
    (folder / "chats.jsonl").write_text("".join(json.dumps(each) + "\n" for each in chats), encoding="utf-8")
    rows = [{"instruction": f"Say {number}", "output": f"It is {number}."} for number in range(8)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(each) + "\n" for each in rows), encoding="utf-8")
    pairs = [(f"This is sentence {number}.", f"这是第{number}个句子。") for number in range(8)]
    pairs += [("Same same", "Same same"), ("12", "12"), ("The children went home.", "Die Kinder gingen nach Hause.")]
    (folder / "mined.tsv").write_text("".join(f"{one}\t{other}\n" for one, other in pairs), encoding="utf-8")


def _recipe(folder: Path, base: Path, more: str = "") -> Path:
    _write_data(folder)
    path = folder / "tiny.toml"
    path.write_text(RECIPE.format(base=base, more=more), encoding="utf-8")
    return path


def _prepare(folder: Path, base: Path) -> Prepared:
    data_source = DataSource(folder=folder, sample=False, offline=True)
    return plan_mix(find_recipe(str(_recipe(folder, base))), open_base(f"hf:{base}", offline=True), data_source)


@pytest.mark.slow
def test_a_mix_of_three_kinds_is_the_same_on_two_ranks_and_after_a_kill(
    chat_base: Path, tmp_path: Path, make_run: MakeRun
) -> None:
    prepared = _prepare(tmp_path, chat_base)
    plan, rows = prepared.plan, prepared.rows
    assert rows.learnt is not None
    assert [each.available for each in plan.sources] == [11, 8, 8]
    assert plan.sources[2].audit is not None
    assert sum(plan.sources[2].audit.filtered.values()) == 3
    never = make_run("never", plan, rows, chat_base)
    killed = make_run("killed", plan, rows, chat_base)
    alone = make_run("alone", plan, rows, chat_base)
    expected = never.run(2, pack_length=256)
    assert len(expected) == plan.steps == 8
    pids = killed.start(2, pack_length=256, signal_in_step=[0, 6, signal.SIGTERM])
    assert killed.wait(pids) == [143, 143]
    assert len(killed.steps()) < 8
    assert killed.run(2, pack_length=256)[-1]["loss"] == expected[-1]["loss"]
    assert column(killed.steps(), "loss") == column(expected, "loss")
    assert largest_difference(never.weights(), killed.weights()) == 0.0
    found = alone.run(1, pack_length=256)
    for name in ("loss", "gradient_norm"):
        assert column(found, name) == pytest.approx(column(expected, name), rel=1e-5)


@pytest.mark.slow
def test_a_mix_of_three_kinds_from_plan_to_model(
    chat_base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = _recipe(tmp_path, chat_base)
    where = ["--data", str(tmp_path), "--offline"]
    assert run_command(["tune", "plan", str(recipe), *where]) == 0
    shown = capsys.readouterr().out
    assert "chats: 11 conversations, 18 answers learnt, all of a conversation in one row" in shown
    assert "chats: nothing answers the last message of 7 conversations: it is not trained on" in shown
    assert "mined: 3 rows filtered" in shown
    assert run_command(["tune", "preview", str(recipe), *where, "-n", "40", "--source", "chats"]) == 0
    shown = capsys.readouterr().out
    row = (
        "<|im_start|>user\nCount to 1<|im_end|>\n<|im_start|>assistant\n⟦One, two, three.<|im_end|>⟧\n"
        "<|im_start|>user\nAnd on<|im_end|>\n<|im_start|>assistant\n⟦1 and more.<|im_end|>⟧\n"
    )
    assert row in shown
    assert run_command(["tune", "preview", str(recipe), *where, "-n", "1", "--source", "chats", "--tokens"]) == 0
    assert "⟦O·n·e·,· ·t·w·o·,· ·t·h·r·e·e·.·<|im_end|>⟧" in capsys.readouterr().out
    assert run_command(["tune", "preview", str(recipe), *where, "-n", "1", "--source", "chats", "--json"]) == 0
    [first] = json.loads(capsys.readouterr().out)["rows"]
    assert "".join(part["text"] for part in first["parts"]) == first["prompt"] + first["answer"]
    assert sum(len(part["tokens"]) for part in first["parts"] if part["learnt"]) == first["supervised"]
    run = ["tune", "run", str(recipe), *where, "--out", str(tmp_path / "out"), "--device", "cpu"]
    assert run_command(run) == 0
    capsys.readouterr()
    model = run_folder(tmp_path) / "tiny"
    tuned: Any = MODELS.get("hf")(str(model), ModelOptions(device="cpu"))
    end = tuned.turn_end()
    assert tuned.text_of([end]) == "<|im_end|>"
    generation = json.loads((model / "generation_config.json").read_text(encoding="utf-8"))
    assert end in generation["eos_token_id"]
    assert tuned.spec.tuned_thinking is None


def test_a_conversation_that_the_template_refuses_is_named(
    byte_base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = _chat_base(byte_base, tmp_path / "gemma", GEMMA)
    recipe = _recipe(tmp_path, base)
    row = {"messages": [{"role": role, "content": "Hi"} for role in ("system", "user", "assistant")]}
    with (tmp_path / "chats.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    assert run_command(["tune", "plan", str(recipe), "--data", str(tmp_path), "--offline"]) == 3
    error = capsys.readouterr().err
    assert "chats.jsonl:13: turn 3: the model cannot learn this answer" in error
    assert "no system role" in error


@pytest.mark.slow
def test_a_thinking_mode_is_learnt_kept_and_asked_for(
    byte_base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Instructions, too, stand behind the prompt that the mode makes."""
    base = _chat_base(byte_base, tmp_path / "switch", SWITCH)
    recipe = _recipe(tmp_path, base, 'thinking = "off"')
    where = ["--data", str(tmp_path), "--offline"]
    assert run_command(["tune", "preview", str(recipe), *where, "-n", "99"]) == 0
    shown = capsys.readouterr().out
    assert "<|im_start|>user\nSay 3<|im_end|>\n<|im_start|>assistant\n<think></think>⟦It is 3.<|im_end|>⟧" in shown
    assert "assistant\n<think></think>⟦1 and more.<|im_end|>⟧" in shown
    assert "⟦<think>" not in shown
    run = ["tune", "run", str(recipe), *where, "--out", str(tmp_path / "out"), "--device", "cpu"]
    assert run_command(run) == 0
    capsys.readouterr()
    model = run_folder(tmp_path) / "tiny"
    record = json.loads((model / "provenance.json").read_text(encoding="utf-8"))
    assert record["thinking"] == record["plan"]["recipe"]["thinking"] == "off"
    spec: ModelSpec = MODELS.get("hf")(str(model), ModelOptions(device="cpu")).spec
    assert spec.tuned_thinking is ThinkingMode.OFF
    ask = ["eval", "--model", str(model), "-t", "xquad/en", "--data", "sample", "--limit", "1", "--dry-run"]
    ask += ["--out", str(tmp_path / "evaluated"), "--max-new-tokens", "4"]
    for more, closed in (([], True), (["--thinking", "off"], True), (["--thinking", "on"], False)):
        assert run_command([*ask, *more]) == 0
        assert ("assistant\n<think></think>" in capsys.readouterr().out) is closed
