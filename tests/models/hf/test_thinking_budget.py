"""The budget of the thinking on a random model: beside any other requests, and where it is not used up."""

import importlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer, GenerationConfig, LlamaForCausalLM

from xlingual.plugin import ModelOptions
from xlingual.records import Finish, Request, Response
from xlingual.registry import MODELS
from xlingual.sampling import Sampling
from xlingual.thinking import ThinkingMarkers, split_thinking

Mixed = tuple[Path, list[Request], dict[str, Response]]


@pytest.fixture(scope="module")
def mixed(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory, text_request: Callable[..., Request]) -> Mixed:
    """A random model that says a marker now and then, questions of all kinds, and what it answers each alone."""
    folder = random_thinker(tmp_path_factory.mktemp("random") / "model", tiny_llama)
    asked = []
    for number in range(24):
        sampling = Sampling(temperature=1.0, seed=number) if number % 3 else None
        opening = "<think>" if number % 2 else ""
        plain = text_request(f"{'ab' * (number % 5)}x{opening}", max_new_tokens=150, stop=(("e",), ())[number % 2])
        budget = (None, 3, 20, 150)[number % 4]
        asked.append(replace(plain, key=str(number), sampling=sampling, max_thinking_tokens=budget))
    alone = MODELS.get("hf")(str(folder), ModelOptions(device="cpu", engine="static", batch_size=1))
    return folder, asked, {each.key: response for each in asked for response in alone.answer([each])}


@pytest.mark.parametrize("engine", ["packed", "static", "paged"])
def test_budgets_and_answers_of_all_kinds_beside_each_other(mixed: Mixed, engine: str) -> None:
    folder, asked, alone = mixed
    model = MODELS.get("hf")(str(folder), ModelOptions(device="cpu", engine=engine, batch_size=7))
    assert {each.key: each for each in model.answer(asked)} == alone


def test_deterministic_answers_do_not_depend_on_each_other_in_half_precision(mixed: Mixed) -> None:
    """Drawn or greedy, with a budget of thinking or without: as each is answered alone."""
    folder, asked, _ = mixed
    options = ModelOptions(device="cpu", dtype="bfloat16", deterministic=True)
    model = MODELS.get("hf")(str(folder), options)
    together = {each.key: each for each in model.answer(asked[7::-1])}
    assert together == {each.key: each for request in asked[:8] for each in model.answer([request])}
    assert len(together) == 8


def test_an_interrupted_run_loses_few_thoughts(mixed: Mixed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both steps of five prompts come before the first step of the next five."""
    folder, asked, alone = mixed
    budget = importlib.import_module("xlingual.plugins.models.hf.thinking_budget")
    monkeypatch.setattr(budget, "MAX_THOUGHTS", 5)
    steps: list[int] = []
    ask = budget._ask_for_thinking

    def count(*arguments: object) -> object:
        steps.append(len(answered))
        return ask(*arguments)

    monkeypatch.setattr(budget, "_ask_for_thinking", count)
    answered: dict[str, Response] = {}
    for each in MODELS.get("hf")(str(folder), ModelOptions(device="cpu")).answer(asked):
        answered[each.key] = each
    assert answered == alone
    # Six of the prompts have no budget.
    assert steps == [0] * 5 + [11] * 5 + [16] * 5 + [21] * 3


def test_a_budget_without_pressure_gives_the_answer_of_one_step(mixed: Mixed) -> None:
    folder, asked, alone = mixed
    model = MODELS.get("hf")(str(folder), ModelOptions(device="cpu"))
    one_step = [replace(each, max_thinking_tokens=None, max_new_tokens=300) for each in asked]
    whole = {each.key: each for each in model.answer(one_step)}
    kept = 0
    for each in asked:
        found, other = alone[each.key], whole[each.key]
        # An end token inside the thinking ends it, too, and is no thinking: it has to come within the budget.
        needed = (other.thinking_tokens or 0) + (not split_thinking(other.text or "").finished)
        if each.max_thinking_tokens and other.thinking_tokens and needed <= each.max_thinking_tokens:
            kept += 1
            assert found.thinking_tokens == other.thinking_tokens
            assert (other.text or "").startswith(found.text or "?")
            assert found == other or found.finish is Finish.LENGTH
    assert kept >= 4


def random_thinker(folder: Path, source: Path) -> Path:
    """Save the random model with an end marker among the tokens that it says often; return its folder."""
    tokenizer = AutoTokenizer.from_pretrained(source)
    model: Any = LlamaForCausalLM.from_pretrained(source)
    tokenizer.add_tokens(["<think>", "</think>"])
    torch.manual_seed(11)  # the new embeddings are random, whatever other tests have drawn before
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    marker = tokenizer.convert_tokens_to_ids("</think>")
    with torch.no_grad():
        # Near the mean of what the model says elsewhere: about one token in thirty.
        model.lm_head.weight[marker] = model.lm_head.weight[20:60].mean(dim=0)
        model.lm_head.weight[marker - 1] = -model.lm_head.weight[marker]
    model.generation_config = GenerationConfig(eos_token_id=tokenizer.eos_token_id)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("template", "end", "expected"),
    [
        (r"{{ '<think>\n' + t + '\n</think>\n\n' }}{% if '</think>' in c %}", "</think>", "\n</think>\n\n"),
        (r"{{ '<think>\n\n</think>\n\n' }}{{ c.split('</think>')[0] }}", "</think>", "\n</think>\n\n"),
        ("{{ '<think></think>' }}", "</think>", "\n</think>\n\n"),
        ("{{ c.split('</think>')[-1] }}", "</think>", "\n</think>\n\n"),
        ("{{ '[THINK]' + t + '[/THINK]' }}", "[/THINK]", "[/THINK]"),
        ("", "<|channel|>final<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
        (None, "</seed:think>", "\n</seed:think>\n\n"),
    ],
)
def test_the_end_of_thinking_is_written_as_the_template_writes_it(
    tiny_llama: Path, template: str | None, end: str, expected: str
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    tokenizer.chat_template = template
    markers = ThinkingMarkers(start=end.replace("/", ""), end=end)
    assert (
        importlib.import_module("xlingual.plugins.models.hf.thinking_budget").end_text(tokenizer, markers) == expected
    )
