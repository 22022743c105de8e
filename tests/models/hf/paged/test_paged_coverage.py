"""Paged answers are those of `generate` for every architecture that the packed engine takes, and for Gemma 4."""

import random
from typing import Any

import pytest

from ..architectures import (
    BY_ITSELF,
    NEW,
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
    windowed,
)
from .machines import part, with_engine

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("architecture", [*dense(), *windowed(), *experts_and_wrappers()], ids=lambda each: each.name)
def test_paged_answers_are_those_of_generate(architecture: Architecture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of 16 tokens, so that windows of 32 tokens are two; the second time rows are driven out at random steps."""
    model = build(architecture)
    asked = [each for each in prompts() if architecture.longest is None or len(each) + NEW <= architecture.longest]
    expected = {each: generate_alone(model, each) for each in asked}
    ready = part("paged.verification").try_paged(load(model))
    assert ready.paged is not None, ready.paged_refusal
    generation: Any = part("paged.generation")
    # JetMoE counts the tokens of each expert on the host, so the engine captures no step of it.
    graphs = model._can_compile_fullgraph is not False
    driven_out: list[int] = []
    for options in ({"pages": 100, "graphs": graphs}, {"pages": 30, "max_tokens": 48}):
        if "max_tokens" in options:
            drive_out(monkeypatch, driven_out)
        loaded = with_engine(ready, page_size=16, **options)
        assert answer(generation, generation.generate_paged, loaded, asked, 6) == expected
    assert len(driven_out) > 2


def drive_out(monkeypatch: pytest.MonkeyPatch, driven_out: list[int]) -> None:
    """Let one of three steps begin with a random row giving its pages back, as if they had run out; lists the steps."""
    scheduler = part("paged.scheduler").Scheduler
    plan, generator = scheduler.plan, random.Random(3)

    def driven(self: Any, *drafts: object) -> object:  # noqa: ANN401 - of the plugin
        if self.running and generator.random() < 1 / 3:
            driven_out.append(self.step)
            self._preempt(generator.choice(self.running))
        return plan(self, *drafts)

    monkeypatch.setattr(scheduler, "plan", driven)


@pytest.mark.parametrize("architecture", [*static(), *biased()], ids=lambda each: each.name)
def test_what_it_does_not_compute_is_refused(architecture: Architecture) -> None:
    ready = part("paged.verification").try_paged(load(build(architecture)))
    assert ready.paged is None
    assert ready.paged_refusal == (architecture.reason or BY_ITSELF)
