"""The card of a real export: its snippet is run, and `tune card` writes checked scores into it."""

import contextlib
import io
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from transformers import AutoTokenizer

from xlingual.cli import run_command
from xlingual.plugin import Model, ModelOptions, Trainable
from xlingual.prompt import Rendering, render
from xlingual.records import Failure, Prompt
from xlingual.registry import MODELS
from xlingual.report.card_scores import NOT_SHOWN
from xlingual.training.adapters import quiet_peft
from xlingual.training.model_card import base_license
from xlingual.tune.card.usage import QUESTION

from .conftest import run_folder, tune_run

CHATML = (
    "{% for m in messages %}[{{ m.role }}] {{ m.content }}</s>{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)


@contextlib.contextmanager
def _inside(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _run_snippet(folder: Path, base: Path | None) -> tuple[str, dict[str, Any]]:
    """Run the Python lines of the card as they stand, but for the folder of a base that only its reader knows."""
    text = (folder / "README.md").read_text(encoding="utf-8")
    [snippet] = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    if base is not None:
        assert 'BASE = "byte_base"  # the folder of the base' in snippet
        snippet = snippet.replace('BASE = "byte_base"', f"BASE = {str(base)!r}")
    names: dict[str, Any] = {}
    shown = io.StringIO()
    with _inside(folder), contextlib.redirect_stdout(shown), quiet_peft():
        exec(compile(snippet, "README.md", "exec"), names)
    return shown.getvalue(), names


def _expected(model: Model, template: str) -> tuple[tuple[int, ...], str]:
    """Return the prompt and the answer of `xlingual eval`, which asks as the training did."""
    rendering = Rendering(model=model.spec, template=template, stop=(), max_new_tokens=128, on_overflow="error")
    request = render(Prompt(instruction=QUESTION, before="", passage="", after=""), (), rendering)
    assert isinstance(model, Trainable)
    [ids] = model.prompt_ids([request])
    assert not isinstance(ids, Failure)
    [response] = model.answer([request])
    assert response.text is not None
    return ids, response.text


@pytest.mark.slow
@pytest.mark.parametrize("template", ["alpaca", "chat", "raw"])
@pytest.mark.parametrize("kind", ["full", "lora"])
def test_the_snippet_asks_as_training_and_evaluation_do(
    kind: str, template: str, data_folder: Path, byte_base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = byte_base
    recipe = data_folder / kind / "mine.toml"
    text = recipe.read_text(encoding="utf-8").replace('template = "alpaca"', f'template = "{template}"')
    if template == "chat":
        base = data_folder / "byte_base"
        shutil.copytree(byte_base, base)
        tokenizer = AutoTokenizer.from_pretrained(base)
        tokenizer.chat_template = CHATML
        tokenizer.save_pretrained(base)
        text = text.replace(str(byte_base), str(base))
    recipe.write_text(text, encoding="utf-8")
    assert run_command(tune_run(data_folder, kind, "--merge")) == 0
    capsys.readouterr()
    folder = run_folder(data_folder)
    for exported in [folder / "mine", *([folder / "mine-adapter"] if kind == "lora" else [])]:
        is_adapter = exported.name.endswith("-adapter")
        word = f"{base}+{exported}" if is_adapter else str(exported)
        ids, answer = _expected(MODELS.get("hf")(word, ModelOptions(device="cpu")), template)
        shown, names = _run_snippet(exported, base if is_adapter else None)
        assert tuple(names["inputs"]["input_ids"][0].tolist()) == ids
        assert shown.strip() == answer.strip()
        card = (exported / "README.md").read_text(encoding="utf-8")
        data = ModelCard(card).data
        assert (data["library_name"], data["license"]) == ("peft" if is_adapter else "transformers", "unknown")
        assert str(data_folder) not in card
        assert str(byte_base.parent) not in card
        assert "| english | alpaca | English | unknown | 20 | 20 |" in card


@pytest.fixture
def wide_base(data_folder: Path, byte_base: Path) -> Path:
    """The base of the recipes with room for questions in bytes."""
    folder = data_folder / "wide_base"
    shutil.copytree(byte_base, folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 4096}), encoding="utf-8")
    for recipe in data_folder.glob("*/mine.toml"):
        text = recipe.read_text(encoding="utf-8").replace(str(byte_base), str(folder))
        recipe.write_text(text, encoding="utf-8")
    return folder


def _shown(path: Path) -> int:
    """Return how many scores of a run a card shows."""
    estimates = json.loads(path.read_text(encoding="utf-8"))["estimates"]
    count = len([each for each in estimates if each["value"] is not None and each["metric"] not in NOT_SHOWN])
    assert count > 3
    return count


def _evaluate(model: Path, out: Path, *more: str) -> None:
    words = ["eval", "-m", str(model), "-t", "xquad/zh", "--data", "sample", "--max-new-tokens", "4", "-o", str(out)]
    assert run_command([*words, *more]) == 0


@pytest.mark.slow
def test_scores_of_finished_runs_are_written_into_the_card(
    data_folder: Path, wide_base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(tune_run(data_folder, "full")) == 0
    model, out = run_folder(data_folder) / "mine", data_folder / "scores"
    _evaluate(model, out)
    _evaluate(wide_base, out)  # another model: none of its business
    _evaluate(model, out, "--limit", "5", "--shots", "1")
    capsys.readouterr()
    words = ["tune", "card", str(model), "--runs", str(out), "--data", "sample"]
    assert run_command(words) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    card = (model / "README.md").read_text(encoding="utf-8")
    found = {json.loads(path.read_text(encoding="utf-8"))["model"]["name"]: path for path in out.rglob("results.json")}
    results, limited = found["mine"], next(out.rglob("results-limit-*.json"))
    whole, few = _shown(results), _shown(limited)
    assert card.count("| xquad/zh |") == whole + few
    assert card.count("the packaged sample, not the benchmark") == whole + few
    assert card.count("only examples 1-5") == few
    assert "None yet." not in card
    assert "not verified" not in card
    assert ModelCard(card).data["eval_results"] is None
    assert str(data_folder) not in card

    (model / "README.md").unlink()  # it is written anew, but for what only the base's folder says
    assert run_command(words) == 0
    assert (model / "README.md").read_text(encoding="utf-8") == card
    capsys.readouterr()

    edited = results.read_text(encoding="utf-8")
    record = json.loads(edited)
    record["estimates"][0]["value"] = 99.0
    results.write_text(json.dumps(record), encoding="utf-8")
    assert run_command(words) == 0
    assert "left out: " in capsys.readouterr().err
    card = (model / "README.md").read_text(encoding="utf-8")
    assert "99.0" not in card
    assert "edited" in card
    assert card.count("| xquad/zh |") == few

    results.write_text(edited, encoding="utf-8")
    (results.parent / "journal.jsonl").unlink()
    assert run_command(words) == 0
    card = (model / "README.md").read_text(encoding="utf-8")
    assert card.count("not verified: journal.jsonl is not here") == whole

    config = model / "generation_config.json"  # other weights or files: no score of this model
    config.write_text(config.read_text(encoding="utf-8").replace("2", "3"), encoding="utf-8")
    assert run_command(words) == 0
    assert "its model has other weights or options than this folder" in capsys.readouterr().err
    assert "None yet." in (model / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_scores_of_an_adapter(data_folder: Path, wide_base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(tune_run(data_folder, "lora")) == 0
    adapter, out = run_folder(data_folder) / "mine-adapter", data_folder / "scores"
    words = ["eval", "-m", f"{wide_base}+{adapter}", "-t", "xquad/zh", "--data", "sample", "--limit", "2"]
    assert run_command([*words, "--max-new-tokens", "4", "-o", str(out)]) == 0
    capsys.readouterr()
    assert run_command(["tune", "card", str(adapter), "--runs", str(out), "--data", "sample"]) == 0
    assert capsys.readouterr().err == ""
    shown = _shown(next(out.rglob("results-limit-*.json")))
    assert (adapter / "README.md").read_text(encoding="utf-8").count("| xquad/zh |") == shown


@pytest.mark.parametrize(
    ("make", "code", "words"),
    [
        (lambda folder: None, 2, "there is no provenance.json"),
        (lambda folder: (folder / "provenance.json").write_text("{}", encoding="utf-8"), 3, "provenance.json"),
    ],
)
def test_folders_that_are_no_export(make: Any, code: int, words: str, tmp_path: Path, capsys: Any) -> None:  # noqa: ANN401
    make(tmp_path)
    assert run_command(["tune", "card", str(tmp_path), "--runs", str(tmp_path)]) == code
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("card", "found"),
    [
        (None, None),
        ("# no front matter", None),
        ("---\nlicense: Apache-2.0\n---\n", "apache-2.0"),
        ("---\nlicense: other\nlicense_name: my-own\n---\n", "my-own"),
        ("---\nlicense:\n- mit\n- gemma\n---\n", "mit, gemma"),
        ("---\nlicense: unknown\n---\n", None),
        ("---\nlicense: 3\n---\n", None),
        ("---\nlicense: 'a\n\n  b'\n---\n", None),
        ("---\nlicense: [\n---\n", None),
        ("---\n- license\n---\n", None),
        (b"---\nlicense: \xff\n---\n", None),
    ],
)
def test_the_licence_of_the_base_is_what_its_own_card_says(
    card: str | bytes | None, found: str | None, tmp_path: Path
) -> None:
    if card is not None:
        (tmp_path / "README.md").write_bytes(card if isinstance(card, bytes) else card.encode())
    assert base_license(tmp_path) == found
