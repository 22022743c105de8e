"""Paged answers are those of `generate` for every architecture that the packed engine takes, and for Gemma 4."""

from typing import Any

import pytest

from ..architectures import (
    NEW,
    Architecture,
    answer,
    build,
    dense,
    experts_and_wrappers,
    generate_alone,
    load,
    prompts,
    static,
    windowed,
)
from .machines import part, with_engine


@pytest.mark.parametrize("architecture", [*dense(), *windowed(), *experts_and_wrappers()], ids=lambda each: each.name)
def test_paged_answers_are_those_of_generate(architecture: Architecture) -> None:
    """Pages of 16 tokens; 30 of them, so that rows are driven out, and windows of 32 tokens are two pages."""
    model = build(architecture)
    asked = [each for each in prompts() if architecture.longest is None or len(each) + NEW <= architecture.longest]
    expected = {each: generate_alone(model, each) for each in asked}
    ready = part("paged.verification").try_paged(load(model))
    assert ready.paged is not None, ready.paged_refusal
    generation: Any = part("paged.generation")
    # JetMoE counts the tokens of each expert on the host, so the engine captures no step of it.
    graphs = model._can_compile_fullgraph is not False
    for options in ({"pages": 100, "graphs": graphs}, {"pages": 30, "max_tokens": 48}):
        loaded = with_engine(ready, page_size=16, **options)
        assert answer(generation, generation.generate_paged, loaded, asked, 6) == expected


@pytest.mark.parametrize("architecture", static(), ids=lambda each: each.name)
def test_what_it_does_not_compute_is_refused(architecture: Architecture) -> None:
    ready = part("paged.verification").try_paged(load(build(architecture)))
    assert ready.paged is None
    assert ready.paged_refusal == architecture.reason
