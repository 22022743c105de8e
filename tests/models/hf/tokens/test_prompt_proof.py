"""What the model reads: refused where it lacks the question, hashed into the results, shown by a dry run."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from xlingual.cli import run_command
from xlingual.errors import ModelError
from xlingual.plugin import ModelOptions, SupportsPromptProof
from xlingual.records import Choice, Form, Request
from xlingual.registry import MODELS

MakeRequest = Callable[..., Request]
SMOLVLM = (
    "<|user|>{% for message in messages %}{{message['role'] | capitalize}}{% if message['content'][0]['type'] == "
    "'image' %}{{':'}}{% else %}{{': '}}{% endif %}{% for line in message['content'] %}{% if line['type'] == 'text' %}"
    "{{line['text']}}{% elif line['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}<end_of_utterance>\n"
    "{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
IDEFICS3 = SMOLVLM.replace("<|user|>", "{{ bos_token }}")
ASK = ["-t", "xquad/en", "--data", "sample", "--limit", "2", "--max-new-tokens", "2", "--device", "cpu"]


def model_with(folder: Path, tiny_llama: Path, template: str) -> Path:
    shutil.copytree(tiny_llama, folder)
    for path in (folder / "tokenizer_config.json", folder / "config.json"):
        config = json.loads(path.read_text(encoding="utf-8"))
        config.pop("chat_template", None)
        config.update({"max_position_embeddings": 4096} if path.name == "config.json" else {"chat_template": template})
        path.write_text(json.dumps(config), encoding="utf-8")
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    return folder


def opened(folder: Path) -> SupportsPromptProof:
    model = MODELS.get("hf")(str(folder), ModelOptions(device="cpu"))
    assert isinstance(model, SupportsPromptProof)
    return model


def results_of(out: Path) -> dict[str, Any]:
    [path] = out.rglob("results-limit-1-2.json")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("template", [SMOLVLM, IDEFICS3])
def test_a_template_of_parts_is_asked_with_its_question(template: str, tiny_llama: Path, tmp_path: Path) -> None:
    """R4."""
    folder = model_with(tmp_path / "vlm", tiny_llama, template)
    assert run_command(["eval", "-m", f"hf:{folder}", *ASK, "-o", str(tmp_path / "out")]) == 0
    assert len(results_of(tmp_path / "out")["hashes"]["rendered_prompts"]) == 64


@pytest.mark.parametrize(
    "template", ["hello", "{{ messages[0].role }}", "{% for m in messages %}{{ m.text }}{% endfor %}"]
)
def test_a_template_without_the_question_is_refused_before_the_first_answer(
    template: str, tiny_llama: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """R4."""
    folder = model_with(tmp_path / "deaf", tiny_llama, template)
    for words in ([], ["--dry-run"]):
        assert run_command(["eval", "-m", f"hf:{folder}", *ASK, "-o", str(tmp_path / "out"), *words]) == 3
        error, hint = capsys.readouterr().err.strip().splitlines()[-2:]
        assert "the chat template leaves the question out" in error
        assert hint == "hint: use --template raw"
    assert not [*(tmp_path / "out").rglob("journal.jsonl"), *(tmp_path / "out").rglob("results*")]


def broken_tokenizer(folder: Path) -> None:
    """Replace the tokenizer with one that knows a single word."""
    words = Tokenizer(models.WordLevel({"<unk>": 0, "<s>": 1, "</s>": 2, "Hello": 3}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=words, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder)


@pytest.mark.parametrize("words", [[], ["--dry-run"]])
def test_a_tokenizer_that_loses_the_question_is_refused(
    words: list[str], tiny_llama: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = model_with(tmp_path / "lost", tiny_llama, "x")
    broken_tokenizer(folder)
    assert run_command(
        ["eval", "-m", f"hf:{folder}", *ASK, "--template", "raw", "-o", str(tmp_path / "out"), *words]
    ) == 3  # fmt: skip
    error, hint = capsys.readouterr().err.strip().splitlines()[-2:]
    assert "the prompt's tokens do not hold its question: they are '<unk>" in error
    assert hint == "hint: are the tokenizer's files those of this model?"
    assert not list((tmp_path / "out").rglob("journal.jsonl"))


@pytest.mark.parametrize("text", ["Where does the Fox run?", "他跑到哪里去了？", "¿Dónde está?", "??", "日本"])
def test_a_tokenizer_that_folds_letters_holds_the_question(
    text: str, tmp_path: Path, tiny_llama: Path, text_request: MakeRequest
) -> None:
    folder = model_with(tmp_path / "folds", tiny_llama, "x")
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    folds = Tokenizer(models.BPE({each: place for place, each in enumerate(["<s>", "</s>", *sorted(alphabet)])}, []))
    folds.normalizer = normalizers.Sequence([normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase()])
    folds.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    folds.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=folds, bos_token="<s>", eos_token="</s>").save_pretrained(folder)
    assert len(opened(folder).prove_prompts([text_request(text)]) or "") == 64


def test_the_hash_is_of_the_tokens_in_order(tiny_llama: Path, text_request: MakeRequest) -> None:
    model = opened(tiny_llama)
    one, two = (text_request(text) for text in ("Where does the fox run?", "Where does the dog sleep?"))
    known = model.prove_prompts([one, two])
    assert known == model.prove_prompts([replace(one, key="another"), two])
    chat = replace(one, form=Form.CHAT)
    choice = replace(one, choices=(Choice(before=" ", text="here"),))
    others = [model.prove_prompts(each) for each in ([two, one], [one], [chat, two], [choice, two])]
    assert len({known, *others}) == 5


def test_a_dry_run_shows_what_the_model_reads(
    tiny_llama: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = model_with(
        tmp_path / "chat", tiny_llama, "{{ bos_token }}<|user|>{{ messages[0].content }}</s><|assistant|>"
    )
    words = ["eval", "-m", f"hf:{folder}", *ASK, "-o", str(tmp_path / "out"), "--dry-run"]
    assert run_command(words) == 0
    shown = capsys.readouterr().out.partition("[what the model reads, special tokens shown]\n")[2]
    assert shown.startswith("<s><|user|>")
    assert "</s><|assistant|>" in shown
    assert run_command([*words, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert '"rendered_prompt": "<s><|user|>' in json.dumps(document)
    assert run_command([*words[:-1]]) == 0
    assert results_of(tmp_path / "out")["hashes"]["rendered_prompts"] in json.dumps(document)


def test_no_prompt_at_all_holds_its_question(tiny_llama: Path, tmp_path: Path, text_request: MakeRequest) -> None:
    folder = model_with(tmp_path / "lost", tiny_llama, "x")
    broken_tokenizer(folder)
    with pytest.raises(ModelError, match="do not hold its question") as caught:
        opened(folder).prove_prompts([text_request("Where does the fox run?"), text_request("Who sleeps there?")])
    assert caught.value.exit_code == 3
    assert len(opened(folder).prove_prompts([text_request("Hello"), text_request("Who sleeps there?")]) or "") == 64
