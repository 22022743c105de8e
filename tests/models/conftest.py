"""A tiny Llama with a tokenizer of its own, made here: real files, no download."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from xlingual.records import Form, Message, Request, Role

CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
CORPUS = [
    "The quick brown fox jumps over the lazy dog.",
    "Warszawa is the capital of Poland, and the Vistula runs through it.\n\nQuestion: where?",
    "中国的首都是北京。 Αθήνα είναι η πρωτεύουσα. القاهرة عاصمة مصر.",
]


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama of two layers, its byte-level tokenizer and a chat template; it ships sampling defaults."""
    folder = tmp_path_factory.mktemp("models") / "tiny-llama"
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trained.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<pad>", "<s>", "</s>", "<|user|>", "<|assistant|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    trained.train_from_iterator(CORPUS, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=trained, bos_token="<s>", eos_token="</s>", pad_token="<pad>", chat_template=CHAT_TEMPLATE
    )
    tokenizer.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        initializer_range=0.6,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(7)
    model = LlamaForCausalLM(config).eval()
    model.save_pretrained(folder)
    GenerationConfig(
        do_sample=True, temperature=0.3, top_k=3, repetition_penalty=1.9, no_repeat_ngram_size=2,
        eos_token_id=tokenizer.eos_token_id,
    ).save_pretrained(folder)  # fmt: skip
    return folder


@pytest.fixture(scope="session")
def greedy_llama(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same without the sampling defaults, some of which lm-eval lets into its greedy answers."""
    folder = tmp_path_factory.mktemp("greedy") / "llama"
    shutil.copytree(tiny_llama, folder)
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": 2}), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def text_request() -> Callable[..., Request]:
    """Make a request whose key is its text, so that tests read well."""

    def make(text: str, *, stop: tuple[str, ...] = (), max_new_tokens: int = 12, form: Form = Form.TEXT) -> Request:
        message = Message(role=Role.USER, text=text)
        return Request(key=text, form=form, messages=(message,), stop=stop, max_new_tokens=max_new_tokens)

    return make
