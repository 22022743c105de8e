"""Conversations, held-out rows, new tokens, an adapter, wsd and activation checkpointing in one training."""

import json
import os
import re
import signal
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from xlingual.cli import run_command
from xlingual.cli.tune.options import MixOptions, make_or_load_plan
from xlingual.plugin import ModelOptions
from xlingual.selection import open_model
from xlingual.tune.prepare import Prepared, trainable

from .conftest import MakeRun, largest_difference, run_folder
from .test_chat_rows import CHATML, SWITCH, _chat_base, _write_data

KEEPS = SWITCH.replace(" and loop.last", "")
"""A template that leaves earlier turns as they are: a conversation is one row of several answers."""

RECIPE = """\
name = "tiny"
description = "all of it"
base = "hf:{base}"
template = "chat"
thinking = "off"
length = 220
seed = 5
license = "mit"
[sources.chats]
reader = "messages"
path = "chats.jsonl"
language = "en"
hold_out = "25%"
[sources.alpaca]
reader = "alpaca"
path = "rows.jsonl"
language = "en"
hold_out = "1 rows"
[sources.mined]
reader = "tsv"
path = "mined.tsv"
columns = ["en:1", "zh:2"]
direction = "en-zh"
hold_out = "2 rows"
filter = {{ language = true, copies = false, min_letters = 1 }}
[vocabulary]
train = 4
[method]
kind = "lora"
rank = 4
alpha = 8.0
dropout = 0.1
[schedule]
epochs = 3
rows_per_step = 8
learning_rate = {rate}
warmup = 0.1
lr_scheduler = "wsd"
decay_ratio = 0.3
"""
LOADS_BASE = re.compile(r"^(MODEL|BASE|ADAPTER) = .*$", re.MULTILINE)


@pytest.fixture
def recipe(byte_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe with all of it beside its data; its base says its licence."""
    monkeypatch.setenv("XLINGUAL_CACHE", str(tmp_path / "cache"))
    base = _chat_base(byte_base, tmp_path / "switch", KEEPS)
    (base / "README.md").write_text("---\nlicense: apache-2.0\n---\n", encoding="utf-8")
    _write_data(tmp_path)
    path = tmp_path / "tiny.toml"
    path.write_text(RECIPE.format(base=base, rate=1e-2), encoding="utf-8")
    return path


def _prepare(recipe: Path) -> tuple[Prepared, Path]:
    """Return the plan with its rows, and the folder of the base with new tokens."""
    options = MixOptions(recipe=str(recipe), base=None, data=str(recipe.parent), offline=True)
    prepared, model = make_or_load_plan(options)
    return prepared, trainable(model).weights()


def _run(recipe: Path, *more: str) -> list[str]:
    where = ["--data", str(recipe.parent), "--out", str(recipe.parent / "out"), "--offline", "--device", "cpu"]
    return ["tune", "run", str(recipe), *where, "--checkpoint-every", "2", *more]


@pytest.mark.parametrize("template", ["switch", "plain"])
def test_new_tokens_of_conversations_are_of_their_answers(template: str, recipe: Path, byte_base: Path) -> None:
    """Neither of what the user says between two answers, nor of what the chat template writes there."""
    if template == "plain":
        _chat_base(byte_base, recipe.parent / "chat", CHATML)
        text = recipe.read_text(encoding="utf-8").replace('thinking = "off"\n', "")
        recipe.write_text(text.replace(str(recipe.parent / "switch"), str(recipe.parent / "chat")), encoding="utf-8")
    chats = [
        {"messages": [{"role": role, "content": text} for role, text in (
            ("user", f"Zzzz {number}?"), ("assistant", f"Abab {number}."),
            ("user", f"Zzzz again {number}!"), ("assistant", f"Abab ab {number}."))]}
        for number in range(20)
    ]  # fmt: skip
    (recipe.parent / "chats.jsonl").write_text("".join(json.dumps(each) + "\n" for each in chats), encoding="utf-8")
    prepared, folder = _prepare(recipe)
    added = set(AutoTokenizer.from_pretrained(folder).get_added_vocab()) - {"<|im_start|>", "<|im_end|>"}
    added -= {"<pad>", "<s>", "</s>"}
    assert any("ab" in each for each in added)
    assert len(added) == 4
    answers = " ".join(f"Abab {number}. Abab ab {number}." for number in range(20)) + " It is 1."
    others = "这是第1个句子。"
    assert all(each in answers or each in others for each in added), added
    assert prepared.plan.vocabulary is not None
    assert prepared.plan.vocabulary.fertility["en"].before == 1.0  # the tokens of the base are bytes


def test_the_held_out_loss_is_that_of_transformers(recipe: Path) -> None:
    """Of the exported model, as a padded batch with the labels of the answers alone; new tokens and all."""
    assert run_command(_run(recipe, "--merge")) == 0
    folder = run_folder(recipe.parent)
    arrays = {path.stem: np.load(path) for path in (folder / "held_out").glob("*.npy")}
    tokens, offsets, learnt = arrays["tokens"].astype(np.int64), arrays["offsets"], arrays["learnt"]
    rows = [slice(*each) for each in pairwise(offsets)]
    longest = max(row.stop - row.start for row in rows)
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    mask, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
    for place, row in enumerate(rows):
        own = torch.from_numpy(tokens[row])
        ids[place, : len(own)], mask[place, : len(own)] = own, 1
        labels[place, : len(own)] = torch.where(torch.from_numpy(learnt[row]), own, -100)
    model = AutoModelForCausalLM.from_pretrained(folder / "tiny").eval()
    with torch.no_grad():
        expected = float(model(input_ids=ids, attention_mask=mask, labels=labels, use_cache=False).loss)
    record = json.loads((folder / "tiny" / "provenance.json").read_text(encoding="utf-8"))
    assert record["exported"]["checkpoint"]["loss"] == pytest.approx(expected, abs=1e-5)
    vocabulary = AutoTokenizer.from_pretrained(folder / "tiny")
    assert {len(vocabulary) - 1 - place for place in range(4)} & set(tokens.tolist()), "no new token is in them"


@pytest.mark.parametrize("ranks", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_killed_and_stopped_it_is_the_undisturbed_training_to_the_bit(
    ranks: int, recipe: Path, make_run: MakeRun
) -> None:
    prepared, base = _prepare(recipe)
    assert prepared.held_out is not None
    assert prepared.held_out.learnt is not None
    settings: dict[str, object] = {
        "checkpoint_every": 2, "keep": 1, "pack_length": 256, "activation_checkpointing": True, "samples": 1,
        "merge": True,
    }  # fmt: skip
    never, killed = (
        make_run(name, prepared.plan, prepared.rows, base, prepared.held_out) for name in ("never", "killed")
    )
    expected = never.run(ranks, **settings)
    assert len(expected) == prepared.plan.steps > 8
    pids = killed.start(ranks, **settings, die_in_evaluation=2)
    assert killed.wait(pids[:1]) == [-signal.SIGKILL]
    for pid in pids[1:]:
        os.kill(pid, signal.SIGKILL)
    killed.wait(pids[1:])
    assert killed.wait(killed.start(ranks, **settings, signal_in_step=[0, 3, signal.SIGTERM])) == [143] * ranks
    found = killed.run(ranks, **settings)
    timed = ("useful_tokens_per_second", "mfu")
    plain = [[{name: each[name] for name in each if name not in timed} for each in run] for run in (found, expected)]
    assert plain[0] == plain[1]
    samples = [(run.folder / "samples.jsonl").read_bytes() for run in (never, killed)]
    assert samples[0] == samples[1] != b""
    assert largest_difference(never.weights(), killed.weights()) == 0.0
    adapters = [load_file(run.folder / "tiny-adapter" / "adapter_model.safetensors") for run in (never, killed)]
    assert largest_difference(*adapters) == 0.0
    assert any("embed_tokens" in name for name in adapters[0])


@pytest.mark.slow
def test_a_part_says_which_step_it_is_of_and_the_whole_chooses_among_all(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = recipe.parent / "switch"
    recipe.write_text(RECIPE.format(base=base, rate=0.5), encoding="utf-8")  # its held-out loss rises from step 2 on
    assert run_command(_run(recipe, "--merge", "--max-steps", "5")) == 0
    said = capsys.readouterr()
    folder = run_folder(recipe.parent)
    assert sorted(each.name for each in folder.glob("tiny*")) == ["tiny-best-to-step-5", "tiny-best-to-step-5-adapter"]
    steps = [json.loads(line) for line in (folder / "steps.jsonl").read_text(encoding="utf-8").splitlines()]
    losses = {each["step"]: each["held_out"]["loss"] for each in steps if "held_out" in each}
    best = min(losses, key=lambda step: losses[step])
    assert list(losses) == [2, 4, 5]
    assert best < 5
    assert (
        f"that of step {best}: held-out loss {losses[best]:.4f}, the lowest so far; the last step so far, 5" in said.err
    )
    assert f"exported: step {best} (best so far)" in said.out
    part = folder / "tiny-best-to-step-5"
    record = json.loads((part / "provenance.json").read_text(encoding="utf-8"))
    assert (record["steps"], record["max_steps"], record["exported"]["checkpoint"]["step"]) == (5, 5, best)
    parent = open_model(str(part), ModelOptions(device="cpu", offline=True)).spec.parent or ""
    assert parent.endswith(f", 5 of {record['plan']['steps']} steps, weights of step {best})")
    card = (part / "README.md").read_text(encoding="utf-8")
    assert f"5 of {record['plan']['steps']} steps" in card
    assert f"Its weights are those of step {best}, which has the lowest loss on held-out rows" in card
    assert run_command(_run(recipe, "--merge", "--max-steps", "5")) == 0  # done already
    assert "training" not in capsys.readouterr().err
    assert run_command(_run(recipe, "--merge")) == 0
    whole = json.loads((folder / "tiny" / "provenance.json").read_text(encoding="utf-8"))
    steps = [json.loads(line) for line in (folder / "steps.jsonl").read_text(encoding="utf-8").splitlines()]
    losses = {each["step"]: each["held_out"]["loss"] for each in steps if "held_out" in each}
    assert set(losses) >= {2, 4, 5, 6}
    assert whole["exported"]["checkpoint"]["step"] == min(losses, key=lambda step: losses[step])
    assert whole.get("max_steps") is None


def test_the_last_step_of_a_part_is_named_after_it(recipe: Path) -> None:
    assert run_command(_run(recipe, "--max-steps", "3", "--set", "export=last")) == 0
    assert [each.name for each in run_folder(recipe.parent).glob("tiny*")] == ["tiny-step-3-adapter"]


def test_the_card_of_all_of_it(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(_run(recipe, "--merge")) == 0
    folder = run_folder(recipe.parent)
    record = json.loads((folder / "tiny" / "provenance.json").read_text(encoding="utf-8"))
    exported = record["exported"]["checkpoint"]
    for name in ("tiny", "tiny-adapter"):
        card = (folder / name / "README.md").read_text(encoding="utf-8")
        data = ModelCard(card).data
        assert (data["license"], data["language"]) == ("mit", ["en", "zh"])
        assert data.get("base_model") is None  # a folder of this machine
        assert f"| exported step | {exported['step']} |" in card
        assert f"| its loss on held-out rows | {exported['loss']:.4f}: chats " in card
        assert "| vocabulary train | 4 |" in card
        assert "Its base is switch with 4 new tokens." in card
        assert "apache-2.0, by its model card" in card
        for source in record["plan"]["sources"]:
            found = next(line for line in card.splitlines() if line.startswith(f"| {source['name']} |"))
            assert found.endswith(f"| {source['supervised']} | {source['held_out']['rows']} |")
        assert str(recipe.parent) not in card
        assert str(Path.home()) not in card
    # The snippet asks the chat template for no thinking, as the training did.
    snippet = re.search(r"```python\n(.*?)```", (folder / "tiny" / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert snippet is not None
    names: dict[str, object] = {}
    exec(LOADS_BASE.sub(f'MODEL = "{folder / "tiny"}"', snippet[1]), names)
    assert str(names["prompt"]).endswith("<|im_start|>assistant\n<think></think>")


def test_an_amount_that_held_out_rows_make_too_large_says_so(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(_run(recipe, "--set", "sources.mined.use=8 rows")) == 3
    error = capsys.readouterr().err
    assert "8 rows are asked for, and it has 6 (usable rows: 6 without 2 held out, at most 1 epochs)" in error


def test_what_the_plan_says_of_all_of_it(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["tune", "plan", str(recipe), "--data", str(recipe.parent), "--offline"]) == 0
    said = capsys.readouterr().out
    assert "chats: 11 conversations, 18 answers that can be learnt, all of a conversation in one row" in said
    assert "no own script: the answer has no letter of its language's script; far ratio: " in said
    assert "  xquad: NOT compared in en, zh beyond the packaged sample: " in said
    assert "  mgsm: NOT compared in en, zh: " in said
