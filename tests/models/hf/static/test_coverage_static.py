"""Where the packed engine does not answer, the reason is said, and static batches answer as one-by-one `generate`."""

import importlib
from typing import Any

import pytest
import torch

from xlingual.records import Form, Request

from ..architectures import (
    Architecture,
    answer,
    biased,
    build,
    dense,
    experts_and_wrappers,
    generate_alone,
    load,
    prompts,
    static,
)

generation: Any = importlib.import_module("xlingual.plugins.models.hf.static.generation")
trial: Any = importlib.import_module("xlingual.plugins.models.hf.static.verification")
verification: Any = importlib.import_module("xlingual.plugins.models.hf.packed.verification")
DEPENDS = {"RWKV": "its scores depend on the other rows of a batch"}
"""Architectures whose rows of a batch are not answered as each is by itself."""


@pytest.mark.parametrize("architecture", static(), ids=lambda each: each.name)
def test_static_answers_are_those_of_generate(architecture: Architecture) -> None:
    model = build(architecture)
    asked = prompts()[::2]
    expected = {each: generate_alone(model, each) for each in asked}
    tried = verification.try_packed(load(model))
    assert (tried.verified, tried.refusal) == (False, architecture.reason)
    problem = trial.batch_problem(tried)
    assert problem == DEPENDS.get(architecture.name)
    assert answer(generation, generation.generate, tried, asked, 1 if problem else 5) == expected
    if problem:
        assert answer(generation, generation.generate, tried, asked, 5) != expected, "the trial had a reason"


@pytest.mark.parametrize("name", ["Qwen3 MoE", "RWKV", "Mamba", "BLOOM"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_in_half_precision_a_token_on_its_way_to_another_expert_is_no_dependence(name: str, dtype: torch.dtype) -> None:
    architecture = next(each for each in (*experts_and_wrappers(), *biased(), *static()) if each.name == name)
    assert trial.batch_problem(load(build(architecture).to(dtype))) == DEPENDS.get(name)


def test_texts_in_which_keys_are_selected_stand_alone_and_shorter_ones_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """GLM-5 with 90 keys: answers are those of `generate`, and prompts of up to 74 tokens share batches."""
    architecture = next(each for each in static() if each.name == "GLM-5 (selected keys)")
    model = build(architecture)
    asked = prompts()
    rows: list[tuple[int, int]] = []
    take = generation._answer_batch

    def watched(loaded: Any, batch: list[Any]) -> Any:  # noqa: ANN401 - of the plugin
        rows.append((len(batch), max(len(each.ids) for each in batch)))
        return take(loaded, batch)

    monkeypatch.setattr(generation, "_answer_batch", watched)
    found = answer(generation, generation.generate, load(model), asked, 10)
    assert found == {each: generate_alone(model, each) for each in asked}
    assert [count for count, longest in rows if longest + 16 > 90] == [1] * sum(len(each) > 74 for each in asked)
    assert [count for count, longest in rows if longest + 16 <= 90] == [sum(len(each) <= 74 for each in asked)]


@pytest.mark.parametrize("name", ["Llama", "Mamba", "DeepSeek V3.2"])
def test_a_padding_token_within_an_answer_is_read_as_any_other(name: str) -> None:
    """The head likes the padding token best at every other step; it is no end token, so answers go on behind it."""
    model = build(next(each for each in (*dense(), *static()) if each.name == name))
    model.lm_head.bias = torch.nn.Parameter(torch.zeros(320))
    with torch.no_grad():
        model.lm_head.bias[0] = model(torch.tensor([prompts()[0]])).logits.amax(-1).quantile(0.5)
    asked = prompts()[::2]
    expected = {each: generate_alone(model, each) for each in asked}
    assert any(0 in each[:-1] and set(each) != {0} for each in expected.values())
    assert answer(generation, generation.generate, load(model), asked, 5) == expected


def test_choices_in_which_keys_are_selected_are_scored_alone() -> None:
    """Each log-likelihood is that of a forward pass over what its text reads, alone."""
    model = build(next(each for each in static() if each.name == "DeepSeek V3.2"))
    choices: Any = importlib.import_module("xlingual.plugins.models.hf.tokens.choices")
    likelihood: Any = importlib.import_module("xlingual.plugins.models.hf.static.likelihood")
    limits: Any = importlib.import_module("xlingual.plugins.models.hf.limits")
    asked = [
        choices.TokenizedChoices(
            request=Request(key=str(number), form=Form.TEXT, messages=(), stop=(), max_new_tokens=0),
            windows=((choices.ScoringWindow(ids, len(ids) - 5),),),
            tokens=len(ids),
        )
        for number, ids in enumerate([*prompts(), (5, 6, 7, 8, 9, 10, 11), (5, 6, 7, 8, 9, 10, 12)])
    ]
    found = {each.key: each for each in likelihood.score_padded(load(model), asked, limits.RowLimit(rows=8))}
    for each in asked:
        ids = each.windows[0][0].ids
        with torch.no_grad():
            scores = model(torch.tensor([ids[:-1]])).logits[0].log_softmax(-1)
        alone = sum(float(scores[place - 1, ids[place]]) for place in range(len(ids) - 5, len(ids)))
        assert found[each.request.key].likelihoods[0].logarithm == pytest.approx(alone, abs=1e-3)
