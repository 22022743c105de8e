"""Which engine answers and why, as the doctor, the record of a run and its notes say it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from xlingual.cli import run_command
from xlingual.plugin import ModelOptions
from xlingual.records import Request
from xlingual.registry import MODELS

from .architectures import BY_ITSELF, WINDOW, Architecture, biased, build, dense, static, windowed

DEPENDS = "its scores depend on the other rows of a batch"
ALONE = f"one prompt at a time: {DEPENDS}"
NOTE = f"static batches answer, not the packed engine: {BY_ITSELF}"
SLIDING = f"a sliding window of {WINDOW} tokens in"
LONG = "packed; static batches for texts over 64 tokens"
SIZES = "static batches: its layers have heads of different numbers or sizes"
CONV = "static batches: it has layers of the type conv"
ENGINES: list[tuple[str, str, str, str]] = [
    # architecture, engine by its configuration, engine by its weights, part of what is said of its attention
    ("Llama", "packed", "packed", "4 layers, 4 heads over 2 of size 16"),
    ("Mistral", "packed", "packed", f"{SLIDING} 4 layers"),
    ("Gemma 2", "packed", "packed", f"{SLIDING} 2 layers; scores capped at 2"),
    ("gpt-oss", "packed", "packed", f"{SLIDING} 2 layers; attention sinks"),
    ("MiniCPM 3", "packed", "packed", "4 layers, 4 heads of size 24, of values 12"),
    ("Phi-3 (longrope)", LONG, LONG, "4 layers"),
    ("Gemma 4", SIZES, SIZES, ""),
    ("BLOOM", "packed", "packed", "4 layers, 4 heads of size 17, of values 16; linear biases (ALiBi)"),
    ("GPT-J", f"static batches: {BY_ITSELF}", f"static batches: {BY_ITSELF}", ""),
    ("RWKV", f"static batches: {BY_ITSELF}", f"static batches: {BY_ITSELF}; {ALONE}", ""),
    ("LFM2", CONV, CONV, ""),
]


def architecture(name: str) -> Architecture:
    return next(each for each in (*dense(), *biased(), *windowed(), *static()) if each.name == name)


@pytest.fixture
def saved(tiny_llama: Path, tmp_path: Path) -> Callable[[str], Path]:
    def save(name: str) -> Path:
        folder = tmp_path / "model"
        build(architecture(name)).save_pretrained(folder)
        AutoTokenizer.from_pretrained(tiny_llama).save_pretrained(folder)
        return folder

    return save


def doctor(capsys: pytest.CaptureFixture[str], folder: Path, *words: str) -> dict[str, dict[str, str]]:
    capsys.readouterr()
    assert run_command(["doctor", "-m", str(folder), "--json", *words]) == 0
    return {each["check"]: each for each in json.loads(capsys.readouterr().out)["findings"]}


@pytest.mark.parametrize(("name", "planned", "found", "attention"), ENGINES, ids=[each[0] for each in ENGINES])
def test_the_doctor_says_which_engine_answers_and_why(
    saved: Callable[[str], Path],
    capsys: pytest.CaptureFixture[str],
    name: str,
    planned: str,
    found: str,
    attention: str,
) -> None:
    folder = saved(name)
    by_files, by_weights = doctor(capsys, folder), doctor(capsys, folder, "--weights")
    assert (by_files["engine"]["detail"], by_weights["engine"]["detail"]) == (planned, found)
    assert by_weights["engine"]["state"] == ("pass" if found.startswith("packed") else "warn")
    assert attention in by_weights.get("attention", {}).get("detail", "")
    fused = "fused" if name in ("Llama", "Mistral") else "by transformers' modules"
    assert by_weights.get("forward pass", {}).get("detail") == (fused if found.startswith("packed") else None)
    assert by_weights["batches"]["detail"] == (
        DEPENDS if ALONE in found else "rows of a batch have the scores that each has alone"
    )
    # Experts are not computed without weights.
    told = by_files.get("attention", {}).get("detail", "")
    assert attention in told or told.startswith("not known before the weights are loaded")


ITSELF = f"static batches: {BY_ITSELF}"
ASKED = "paged: --engine paged"
KERNEL = f"{ASKED}, attention kernel"
PAGED: list[tuple[str, str, str, str]] = [
    # architecture, engine by its configuration, engine by its weights, what is said of its attention
    ("Llama", ASKED, KERNEL, "4 layers, 4 heads over 2 of size 16"),
    ("DiffLlama", ASKED, KERNEL, "4 layers, 4 heads over 2"),
    ("Gemma 4", ASKED, KERNEL,
     "2 layers, 4 heads over 2 of size 16; 2 layers, 4 heads over 2 of size 32"),
    ("GPT-J", ITSELF, ITSELF, ""),
    ("LFM2", CONV, CONV, ""),
]  # fmt: skip


@pytest.mark.parametrize(("name", "planned", "found", "attention"), PAGED, ids=[each[0] for each in PAGED])
def test_the_doctor_tries_the_paged_engine_where_that_is_to_answer(
    saved: Callable[[str], Path],
    capsys: pytest.CaptureFixture[str],
    name: str,
    planned: str,
    found: str,
    attention: str,
) -> None:
    folder = saved(name)
    by_files = doctor(capsys, folder, "--engine", "paged")
    by_weights = doctor(capsys, folder, "--engine", "paged", "--weights")
    assert by_files["engine"]["detail"] == planned
    assert by_weights["engine"]["detail"].startswith(found)
    for told in (by_files, by_weights):
        assert told["engine"]["state"] == ("pass" if found.startswith("paged") else "warn")
        assert told.get("attention", {}).get("detail", "").startswith(attention)
    assert ("forward pass" in by_weights) == found.startswith("paged")


def test_the_doctor_is_told_of_options_and_of_models_that_are_not_local(
    saved: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = saved("Llama")
    assert doctor(capsys, folder, "--engine", "static")["engine"]["detail"] == "static batches: --engine static"
    assert run_command(["doctor", "-m", "echo"]) == 3
    assert "there is nothing to say of its engine" in capsys.readouterr().err
    assert run_command(["doctor", "--weights"]) == 2


@pytest.mark.parametrize(
    ("name", "planned", "found", "notes"),
    [
        ("Mistral", "packed", "packed", []),
        ("GPT-J", "packed", f"static batches: {BY_ITSELF}", [NOTE]),
        ("RWKV", "packed", f"static batches: {BY_ITSELF}; {ALONE}",
         [NOTE, f"prompts are answered one by one: {DEPENDS}"]),
    ],
)  # fmt: skip
def test_a_run_records_and_notes_which_engine_answered(
    saved: Callable[[str], Path],
    text_request: Callable[..., Request],
    name: str,
    planned: str,
    found: str,
    notes: list[str],
) -> None:
    model: Any = MODELS.get("hf")(str(saved(name)), ModelOptions(device="cpu"))
    before = model.spec
    said: list[str] = []
    model.on_note(said.append)
    texts = [f"the quick brown fox {'over ' * number}" for number in range(4)]
    assert len([*model.answer([text_request(each, max_new_tokens=4) for each in texts])]) == len(texts)
    assert (before.details["engine"], model.spec.details["engine"], said) == (planned, found, notes)
    assert before.fingerprint == model.spec.fingerprint
    model.close()
    assert model.spec.details["engine"] == found, "the record is written after the weights are freed"
