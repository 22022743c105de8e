"""Where the packed engine does not answer, the reason is said, and static batches answer as one-by-one `generate`."""

import importlib
from typing import Any

import pytest

from ..architectures import Architecture, answer, build, generate_alone, load, prompts, static

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
