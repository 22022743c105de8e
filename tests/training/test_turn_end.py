"""A chat model learns the end of turn of its template, and the exported model ends its answers there."""

import json
import shutil
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from xlingual.cli import run_command
from xlingual.plugin import ModelOptions, Trainable
from xlingual.registry import MODELS

from .conftest import run_folder, tune_run

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def _chat_base(folder: Path, byte_base: Path, shipped: object) -> tuple[Path, int]:
    """Return a base with a ChatML template, whose tokenizer ends texts with </s>, and the id of its <|im_end|>."""
    shutil.copytree(byte_base, folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.chat_template = CHATML
    tokenizer.save_pretrained(folder)
    path = folder / "generation_config.json"
    if shipped is None:
        path.unlink()
    else:
        path.write_text(json.dumps({"eos_token_id": shipped, "temperature": 0.5, "do_sample": True}), encoding="utf-8")
    return folder, int(tokenizer.convert_tokens_to_ids("<|im_end|>"))


@pytest.mark.parametrize("kind", ["full", "lora"])
@pytest.mark.parametrize("shipped", [2, [2], None])
def test_the_end_of_turn_of_the_template_is_learnt_and_exported(
    kind: str, shipped: object, data_folder: Path, byte_base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base, end = _chat_base(tmp_path / "base", byte_base, shipped)
    recipe = data_folder / kind / "mine.toml"
    recipe.write_text(
        recipe.read_text(encoding="utf-8").replace('template = "alpaca"', 'template = "chat"'), encoding="utf-8"
    )
    where = ["--data", str(data_folder), "--offline", "--base", f"hf:{base}"]
    assert run_command(["tune", "preview", str(recipe), *where]) == 0
    assert "<|im_end|>⟧" in capsys.readouterr().out
    assert run_command([*tune_run(data_folder, kind, "--merge"), "--base", f"hf:{base}"]) == 0
    model = run_folder(data_folder) / "mine"
    generation = json.loads((model / "generation_config.json").read_text(encoding="utf-8"))
    assert generation["eos_token_id"] == [2, end]
    assert generation.get("temperature") == (None if shipped is None else 0.5)
    tuned = MODELS.get("hf")(str(model), ModelOptions(device="cpu"))
    assert "<|im_end|>" in (tuned.spec.details or {})["end tokens"]
    assert isinstance(tuned, Trainable)
    assert tuned.answer_ids(["Lima"])[0][-1] == end
