"""The paged engine gives the answers of `generate`, token for token, whatever runs beside a prompt and before it."""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .machines import (
    ARCHITECTURES,
    LateQueue,
    Reference,
    answer,
    check,
    make_loaded,
    make_model,
    part,
    prompt_of,
    random_prompts,
    with_engine,
)

few = settings(max_examples=25, deadline=None, derandomize=True)


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference(make_loaded(make_model("Llama")))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture(architecture: str) -> None:
    """Pages of 8 tokens, windows of 7 and 9: prompts of up to 90 tokens are beyond both."""
    reference = Reference(make_loaded(make_model(architecture)))
    prompts = random_prompts(1, 12)
    verified = part("paged.verification").try_paged(reference.loaded)
    assert verified.paged is not None, verified.paged_refusal
    for options in ({"graphs": True}, {"max_tokens": 24}):
        loaded = with_engine(reference.loaded, page_size=8, pages=150, **options)
        check(reference, prompts, answer(loaded, prompts, 5))
    tiny = with_engine(reference.loaded, page_size=8, pages=16, max_tokens=32)
    check(reference, prompts, answer(tiny, prompts, 8, speculate=False))


@pytest.mark.slow
@few
@given(
    seed=st.integers(0, 10**6),
    count=st.integers(1, 14),
    rows=st.integers(1, 9),
    page_size=st.sampled_from([4, 8, 16]),
    max_tokens=st.sampled_from([5, 40, 512]),
    pages=st.integers(0, 30),
    graphs=st.booleans(),
    speculate=st.booleans(),
    late=st.booleans(),
)
def test_any_mix_in_any_number_of_pages(reference: Reference, **chosen: Any) -> None:  # noqa: ANN401 - by name above
    """From pages for one text alone, where rows drive each other out, to pages enough for all."""
    prompts = random_prompts(chosen["seed"], chosen["count"])
    size = chosen["page_size"]
    longest = max(len(each.ids) + each.max_new_tokens for each in prompts)
    loaded = with_engine(
        reference.loaded,
        page_size=size,
        pages=-(-longest // size) + chosen["pages"],
        graphs=chosen["graphs"],
        max_tokens=chosen["max_tokens"],
        queue=LateQueue() if chosen["late"] else None,
    )
    with watched(loaded.paged):
        check(reference, prompts, answer(loaded, prompts, chosen["rows"], speculate=chosen["speculate"]))
        # Again, with the pages that the first time has left; in another order.
        random.Random(chosen["seed"]).shuffle(prompts)
        check(reference, prompts, answer(loaded, prompts, chosen["rows"], speculate=not chosen["speculate"]))


class watched:  # noqa: N801 - reads as a word
    """Hold in every step: no page that two rows use is written, no live page is a dummy, the budget is kept."""

    def __init__(self, engine: Any) -> None:  # noqa: ANN401 - of the plugin
        self.engine = engine
        self.patch = pytest.MonkeyPatch()
        self.launch = type(engine).launch

    def __enter__(self) -> None:
        self.patch.setattr(type(self.engine), "launch", self.see)

    def __exit__(self, *_error: object) -> None:
        self.patch.undo()

    @staticmethod
    def pages_written(plan: Any, size: int) -> list[int]:  # noqa: ANN401 - of the plugin
        slots = part("paged.step_inputs").slots_of
        return [slot // size for entry in plan.entries for slot in slots(entry, size)]

    def see(self, plan: Any) -> Any:  # noqa: ANN401 - of the plugin
        engine = self.engine
        size, allocator = engine.pool.page_size, engine.cache.allocator
        written = self.pages_written(plan, size)
        assert all(allocator.rows[page] == 1 for page in written)
        assert allocator.dummy not in written
        slots = [slot for entry in plan.entries for slot in part("paged.step_inputs").slots_of(entry, size)]
        assert len(slots) == len(set(slots)) <= engine.max_tokens
        targets = [target for _, target in plan.copies]
        assert all(allocator.rows[page] == 1 for page in targets)
        held = [0] * allocator.total
        for sequence in plan.sequences:
            for page in sequence.pages:
                held[page] += 1
        assert all(count <= known for count, known in zip(held, allocator.rows, strict=True))
        return self.launch(engine, plan)


@pytest.mark.parametrize("size", [4, 16])
def test_prompts_that_fill_their_pages_just_so(reference: Reference, size: int) -> None:
    """Twice each, beside and after each other: a whole prompt in the cache leaves one token to compute."""
    lengths = [count * size + more for count in (1, 2, 3) for more in (-1, 0, 1)]
    text = [6 + (7 * index) % 110 for index in range(100)]
    prompts = [
        prompt_of(text[:length], f"{length} {time}", limit=limit)
        for length in lengths
        for time, limit in enumerate((1, 7, 7))
    ]
    loaded = with_engine(reference.loaded, page_size=size, pages=64)
    for rows in (1, 4, 32):
        check(reference, prompts, answer(loaded, prompts, rows))


def test_a_row_is_driven_out_and_goes_on_where_it_was(reference: Reference) -> None:
    """Five pages of 8 tokens, and four rows that grow to three pages each."""
    loaded = with_engine(make_loaded(reference.loaded.model, ()), page_size=8, pages=5)
    prompts = [prompt_of(range(10 + number, 20), str(number), limit=10) for number in range(4)]
    module = part("paged.scheduler")
    driven: list[int] = []
    preempt = module.Scheduler._preempt

    def see(self: Any, sequence: Any) -> None:  # noqa: ANN401 - of the plugin
        driven.append(len(sequence.output_ids))
        preempt(self, sequence)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module.Scheduler, "_preempt", see)
        found = answer(loaded, prompts, 4, speculate=False)
    check(Reference(loaded), prompts, found)
    assert driven


def test_what_all_pages_cannot_hold_fails_by_name(reference: Reference) -> None:
    loaded = with_engine(make_loaded(reference.loaded.model, ()), page_size=8, pages=3)
    prompts = [
        prompt_of(range(10, 40), "too long", limit=2),
        prompt_of(range(10, 30), "grows too long", limit=12),
        prompt_of(range(10, 30), "fits", limit=4),
    ]
    found = answer(loaded, prompts, 3)
    check(Reference(loaded), prompts[2:], found)
    for key, tokens in (("too long", 30), ("grows too long", 25)):
        failure = found[key].failure
        assert failure is not None
        assert failure.kind == "OutOfMemoryError"
        assert failure.message == (f"prompt and answer have {tokens} tokens, and the 3 pages of 8 tokens hold no more")
