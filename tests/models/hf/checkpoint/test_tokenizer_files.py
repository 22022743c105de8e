"""A tokenizer class that overrules its tokenizer.json is named; the one that transformers loads is used."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from xlingual.plugin import ModelOptions
from xlingual.records import Request
from xlingual.registry import MODELS

MakeRequest = Callable[..., Request]


def write_tokenizer(folder: Path) -> None:
    """Write a tokenizer.json whose tokens reach over spaces, for it splits nothing before it merges."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    trained.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=["<pad>", "<s>", "</s>", "<|user|>", "<|assistant|>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    trained.train_from_iterator(["The quick brown fox jumps over the lazy dog."] * 9, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=trained, bos_token="<s>", eos_token="</s>", pad_token="<pad>", chat_template="{{ messages }}"
    )
    tokenizer.save_pretrained(folder)


@pytest.mark.parametrize(
    ("name", "used", "differs"),
    [
        ("PreTrainedTokenizerFast", "TokenizersBackend", False),
        ("LlamaTokenizerFast", "TokenizersBackend", False),
        ("NoSuchTokenizerFast", "TokenizersBackend", False),
        ("Qwen2TokenizerFast", "Qwen2Tokenizer", True),
        ("GPT2TokenizerFast", "GPT2Tokenizer", True),
    ],
)
def test_a_class_that_overrules_the_file_is_said(
    tiny_llama: Path, tmp_path: Path, text_request: MakeRequest, name: str, used: str, differs: bool
) -> None:
    folder = Path(shutil.copytree(tiny_llama, tmp_path / "copy"))
    write_tokenizer(folder)
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "tokenizer_class": name}))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert type(tokenizer).__name__ == used
    model: Any = MODELS.get("hf")(str(folder), ModelOptions(device="cpu"))
    notes: list[str] = []
    model.on_note(notes.append)
    request = text_request("The quick brown fox jumps over the lazy dog.", max_new_tokens=1)
    assert model.prompt_ids([request]) == [tuple(tokenizer.encode(request.key))], "transformers' tokenizer is used"
    bare = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(request.key).ids
    assert (tokenizer.encode(request.key) != bare) == differs
    for _ in range(2):
        list(model.answer([request]))
    found = [each for each in notes if "tokenizer.json" in each]
    assert found == ([model.spec.details["tokenizer"]] if differs else [])
    assert all(used in each for each in found)
