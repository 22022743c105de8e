"""What only a GPU shows; skipped without one. The reference is transformers' own `generate` and forward pass there."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, LlamaForCausalLM

from xlingual import open_model
from xlingual.cli import run_command
from xlingual.plugin import ModelOptions
from xlingual.records import Choice, Form, Request, Response
from xlingual.sampling import Sampling
from xlingual.tune.recipe import shipped_recipe

from ...small_base import make_small_base

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
ENGINES = ("packed", "static", "paged")
NEW_TOKENS = 24
SHARED = (
    "The quick brown fox jumps over the lazy dog. Warszawa is the capital of Poland, and the Vistula runs through it. "
)


def make_requests(text_request: Callable[..., Request]) -> list[Request]:
    """Prompts that share prefixes of many lengths, and some that share none."""
    texts = [SHARED[:cut] + f"Question {number}: where?" for number, cut in enumerate(range(0, len(SHARED), 9))]
    return [text_request(text, max_new_tokens=NEW_TOKENS) for text in texts]


def ask(folder: Path, requests: Sequence[Request], options: ModelOptions) -> dict[str, Response]:
    model = open_model(f"hf:{folder}", options)
    try:
        found = {each.key: each for each in model.answer(requests)}
    finally:
        model.close()
    assert set(found) == {each.key for each in requests}
    assert [each.failure for each in found.values() if each.failure] == []
    return found


def plain_model(folder: Path, dtype: torch.dtype) -> LlamaForCausalLM:
    model: LlamaForCausalLM = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
    return model.to("cuda").eval()


def generated(folder: Path, requests: Sequence[Request], dtype: torch.dtype) -> dict[str, str]:
    """Return each answer of `generate`, one prompt at a time."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), plain_model(folder, dtype)
    model.generation_config = GenerationConfig()
    limit = GenerationConfig(max_new_tokens=NEW_TOKENS, do_sample=False, eos_token_id=2, pad_token_id=0)
    found = {}
    for each in requests:
        ids = tokenizer(each.messages[0].text, return_tensors="pt").input_ids.to("cuda")
        with torch.inference_mode():
            out = model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=limit)
        found[each.key] = tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)
    return found


@pytest.mark.parametrize("engine", ENGINES)
def test_float32_answers_are_those_of_generate(
    engine: str, tiny_llama: Path, text_request: Callable[..., Request]
) -> None:
    requests = make_requests(text_request)
    found = ask(tiny_llama, requests, ModelOptions(device="cuda", dtype="float32", engine=engine))
    assert {key: each.text for key, each in found.items()} == generated(tiny_llama, requests, torch.float32)


@pytest.mark.parametrize("engine", ENGINES)
def test_half_precision_answers_every_request(
    engine: str, tiny_llama: Path, text_request: Callable[..., Request]
) -> None:
    found = ask(tiny_llama, make_requests(text_request), ModelOptions(device="cuda", engine=engine))
    assert all(each.tokens for each in found.values())


def test_deterministic_answers_do_not_depend_on_each_other(
    tiny_llama: Path, text_request: Callable[..., Request]
) -> None:
    requests = make_requests(text_request)
    options = ModelOptions(device="cuda", deterministic=True)
    together = ask(tiny_llama, requests, options)
    [alone] = ask(tiny_llama, requests[5:6], options).values()
    assert together[alone.key].text == alone.text
    assert together[alone.key].text == generated(tiny_llama, requests[5:6], torch.bfloat16)[alone.key]


@pytest.mark.parametrize("deterministic", [False, True])
def test_samples_are_those_of_a_cpu(
    deterministic: bool, tiny_llama: Path, text_request: Callable[..., Request]
) -> None:
    """Float32, by every engine; `--deterministic` refuses kernels that do not always add up in one order."""
    sampling = Sampling(temperature=0.9, top_k=200, top_p=0.97, min_p=0.001)
    requests = [
        replace(each, sampling=replace(sampling, seed=seed)) for seed, each in enumerate(make_requests(text_request))
    ]
    expected = ask(tiny_llama, requests, ModelOptions(device="cpu", engine="static"))
    for engine in [None] if deterministic else ["packed", "static", "paged"]:
        options = ModelOptions(device="cuda", dtype="float32", engine=engine, deterministic=deterministic)
        assert ask(tiny_llama, requests, options) == expected


@pytest.mark.parametrize("engine", ENGINES)
def test_likelihoods_are_those_of_a_plain_forward_pass(
    engine: str, tiny_llama: Path, text_request: Callable[..., Request]
) -> None:
    choices = tuple(Choice(before=" ", text=text) for text in ("the river", "Poland", "a dog that runs"))
    requests = [
        Request(key=f"{each.key} {form}", form=form, messages=each.messages, stop=(), max_new_tokens=0, choices=choices)
        for each in make_requests(text_request)
        for form in (Form.TEXT,)
    ]
    found = ask(tiny_llama, requests, ModelOptions(device="cuda", dtype="float32", engine=engine))
    tokenizer, model = AutoTokenizer.from_pretrained(tiny_llama), plain_model(tiny_llama, torch.float32)
    for request in requests:
        likelihoods = found[request.key].likelihoods
        assert likelihoods is not None
        for choice, likelihood in zip(choices, likelihoods, strict=True):
            text = request.messages[0].text
            head = tokenizer((text + choice.before).rstrip()).input_ids
            whole = tokenizer(text + choice.before + choice.text).input_ids
            with torch.inference_mode():
                logits = model(torch.tensor([whole], device="cuda")).logits[0].log_softmax(-1)
            places = range(len(head), len(whole))
            expected = sum(float(logits[place - 1, whole[place]]) for place in places)
            assert likelihood.logarithm == pytest.approx(expected, abs=1e-3)


def losses(folder: Path) -> list[float]:
    [log] = folder.glob("*/steps.jsonl")
    rows = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    return [float(row["loss"]) for row in rows]


@pytest.mark.parametrize("method", ["lora", "full"])
def test_training_on_a_gpu_learns_what_a_cpu_does(method: str, tmp_path: Path) -> None:
    base = make_small_base(tmp_path / "base")
    shipped = shipped_recipe("alpaca-en-mini")
    assert shipped is not None
    text = shipped.read_text(encoding="utf-8")
    if method == "full":
        text = text.replace('kind = "lora"\nrank = 8\nalpha = 16.0\n', 'kind = "full"\n')
    recipe = tmp_path / "alpaca-en-mini.toml"
    recipe.write_text(text, encoding="utf-8")
    found = {}
    for device, dtype in (("cpu", "float32"), ("cuda", "float32"), ("cuda", "bfloat16")):
        out = tmp_path / f"{device}-{dtype}"
        words = ["tune", "run", str(recipe), "--base", str(base), "--data", "sample", "--out", str(out)]
        words += [
            "--device",
            device,
            "--dtype",
            dtype,
            "--log-every",
            "1",
            "--progress",
            "none",
            "--pack-length",
            "512",
        ]
        assert run_command(words) == 0
        found[device, dtype] = losses(out)
    exact = found["cpu", "float32"]
    assert found["cuda", "float32"] == pytest.approx(exact, rel=1e-4)
    assert found["cuda", "bfloat16"] == pytest.approx(exact, rel=0.02)
