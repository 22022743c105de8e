"""Where the packed engine does not answer, the reason is said, and static batches answer as one-by-one `generate`."""

import importlib
from typing import Any

import pytest
import torch

from ..architectures import (
    Architecture,
    answer,
    biased,
    build,
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
