"""What stands around the messages as a model reads them: kept with every sample, and shown in the page of a run."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from xlingual.cli import run_command
from xlingual.plugin import ModelOptions, SupportsPromptProof
from xlingual.records import Message, Role
from xlingual.registry import MODELS
from xlingual.rendered_prompts import surround

from ....view.runs import read_page

SYSTEM, USER, MODEL = Role.SYSTEM, Role.USER, Role.ASSISTANT


def messages(*texts: str) -> list[Message]:
    return [Message(role=USER, text=text) for text in texts]


@pytest.mark.parametrize(
    ("text", "texts", "parts"),
    [
        ("<s>[INST] Why? [/INST]", ["Why?"], ("<s>[INST] ", " [/INST]")),
        ("Why?", ["Why?"], ("", "")),
        ("<a>one<b>two<c>one", ["one", "two", "one"], ("<a>", "<b>", "<c>", "")),
        ("<a>one<b>", ["One"], ("<a>one<b>",)),
        ("<a>two<b>one", ["one", "two"], ("<a>two<b>one",)),
        ("<a><b>", [""], ("", "<a><b>")),
        ("", ["one"], ("",)),
        ("a a", ["a", "a"], ("", " ", "")),
    ],
)
def test_what_stands_around_messages(text: str, texts: Sequence[str], parts: tuple[str, ...]) -> None:
    assert surround(text, messages(*texts)) == parts
    if len(parts) == len(texts) + 1:
        assert "".join(part + each for part, each in zip(parts, [*texts, ""], strict=True)) == text


def read(line: dict[str, Any]) -> str:
    """Return what the model read, from a line of samples."""
    parts, texts = line["rendered"], [each["text"] for each in line["messages"]]
    if len(parts) == 1:
        return str(parts[0])
    return "".join(part + each for part, each in zip(parts, [*texts, ""], strict=True))


@pytest.mark.parametrize(
    "words",
    [
        ["-t", "xquad/en"],
        ["-t", "xquad/zh", "--template", "raw"],
        ["-t", "flores101/en-zh", "--shots", "2", "--system", "Be brief."],
    ],
    ids=["chat", "raw", "turns"],
)
def test_every_sample_says_what_the_model_read(
    words: list[str],
    tiny_llama: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ask = ["eval", "-m", f"hf:{tiny_llama}", *words, "--data", "sample", "--limit", "3", "--max-new-tokens", "2"]
    assert run_command([*ask, "--device", "cpu", "-o", str(tmp_path / "out"), "--on-overflow", "skip"]) in (0, 1)
    [path] = (tmp_path / "out").rglob("samples-limit-1-3.jsonl")
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    model = MODELS.get("hf")(str(tiny_llama), ModelOptions(device="cpu"))
    assert isinstance(model, SupportsPromptProof)
    asked = [line for line in lines if "rendered" in line]
    assert asked or all(line["failure"]["kind"] == "overflow" for line in lines)
    for line in asked:
        texts = [each["text"] for each in line["messages"]]
        shown = read(line)
        assert len(line["rendered"]) in (1, len(texts) + 1)
        assert "raw" in words or "<|user|>" in shown
        assert all(text in shown for text in texts)
    capsys.readouterr()
    assert run_command(["verify", str(path.parent), "--data", "sample"]) == 0
    assert run_command(["view", str(tmp_path / "out"), "--out", str(tmp_path / "view.html")]) == 0
    page = read_page(tmp_path / "view.html")
    kept = page.chunk("o0-0").get("rendered", [])
    assert sorted(map(str, kept)) == sorted(str(line.get("rendered")) for line in lines if asked)


def test_a_model_that_does_not_show_it_has_no_such_field(tmp_path: Path) -> None:
    words = ["eval", "-m", "echo", "-t", "xquad/en", "--data", "sample", "--limit", "2", "-o", str(tmp_path)]
    assert run_command(words) == 0
    [path] = tmp_path.rglob("samples-limit-1-2.jsonl")
    assert all("rendered" not in json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
