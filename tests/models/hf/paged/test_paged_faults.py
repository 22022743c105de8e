"""What goes wrong in a step is the failure of as few prompts as can be, and the others have their answers."""

import importlib
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from xlingual.errors import Interrupted
from xlingual.records import Response

from .machines import Reference, answer, check, make_loaded, make_model, part, prompt_of, random_prompts, with_engine


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference(make_loaded(make_model("Llama")))


class faults:  # noqa: N801 - reads as a word
    """Raise from the steps whose tokens meet a condition; lists how many they had."""

    def __init__(self, condition: Callable[[Sequence[int]], bool], error: BaseException) -> None:
        self.condition, self.error = condition, error
        self.hits: list[int] = []
        self.patch = pytest.MonkeyPatch()
        self.run = part("paged.engine").run_model

    def __enter__(self) -> list[int]:
        self.patch.setattr(part("paged.engine"), "run_model", self.see)
        return self.hits

    def __exit__(self, *_error: object) -> None:
        self.patch.undo()

    def see(self, model: object, ids: torch.Tensor, *rest: object) -> object:
        if self.condition(ids.tolist()):
            self.hits.append(len(ids))
            raise self.error
        return self.run(model, ids, *rest)


@pytest.mark.parametrize("seed", range(6))
def test_running_out_of_memory_at_any_step_loses_and_changes_nothing(reference: Reference, seed: int) -> None:
    prompts = random_prompts(seed, 9)
    generator = random.Random(seed)
    loaded = with_engine(reference.loaded, page_size=8, pages=80)
    with faults(lambda ids: len(ids) > 1 and generator.random() < 0.2, torch.OutOfMemoryError("no room")) as hits:
        found = answer(loaded, prompts, 6)
    lost = [prompt for prompt in prompts if found[prompt.request.key].failure is not None]
    # A sequence fails only where it was the only one in memory, in the smallest step.
    assert len(lost) <= max(0, len(hits) - 3)
    check(reference, [prompt for prompt in prompts if prompt not in lost], found)


def test_steps_are_halved_before_rows_are(reference: Reference) -> None:
    loaded = with_engine(make_loaded(reference.loaded.model, ()), page_size=8, pages=200, max_tokens=512)
    prompts = [prompt_of([10 + number, *range(20, 80)], str(number), limit=6) for number in range(7)]
    notes: list[str] = []
    limit = part("limits").RowLimit(rows=8, note=notes.append)
    with faults(lambda ids: len(ids) > 100, torch.OutOfMemoryError("no room")) as hits:
        found = {each.key: each for each in part("paged.generation").generate_paged(loaded, prompts, limit)}
    check(Reference(loaded), prompts, found)
    assert hits
    assert loaded.paged.max_tokens < 128
    assert (limit.rows, notes) == (8, [])


@pytest.mark.parametrize("rows", [1, 3, 8])
def test_an_error_is_the_failure_of_the_sequence_that_causes_it(reference: Reference, rows: int) -> None:
    prompts = [prompt_of([*range(20, 45), 50 + number, 51], str(number), limit=5) for number in range(8)]
    others = [each for each in prompts if 53 not in (*each.ids, *reference.new_tokens(each.ids))]
    loaded = with_engine(reference.loaded, page_size=8, pages=80)
    with faults(lambda ids: 53 in ids, IndexError("index out of range")):
        found = answer(loaded, prompts, rows)
    failure = found["3"].failure
    assert failure is not None
    assert (failure.kind, failure.message, found["3"].text) == ("IndexError", "index out of range", None)
    check(reference, others, found)
    assert len(others) >= 6


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_scores_that_are_not_finite_fail_their_sequence_only(reference: Reference, value: float) -> None:
    """The embedding of one token is broken: its sequence runs beside others below the same prefix."""
    prompts = [prompt_of([*range(20, 45), 50 + number, 51], str(number), limit=5) for number in range(8)]
    others = [each for each in prompts if 53 not in (*each.ids, *reference.new_tokens(each.ids)[:5])]
    for each in prompts:
        reference.answer(each)

    def breaks(_module: object, args: tuple[torch.Tensor], out: torch.Tensor) -> torch.Tensor:
        return out.masked_fill((args[0] == 53)[..., None], value)

    loaded = with_engine(reference.loaded, page_size=8, pages=80)
    handle = loaded.model.get_input_embeddings().register_forward_hook(breaks)
    try:
        found = answer(loaded, prompts, 3)
        again = answer(loaded, prompts, 8)
    finally:
        handle.remove()
    for each in (found, again):
        failure = each["3"].failure
        assert failure is not None
        assert (failure.kind, failure.message) == (
            "non-finite logits",
            "the scores of token 1 of the answer hold NaN or infinity",
        )
        check(reference, others, each)
    assert len(others) >= 6


def test_a_signal_comes_through_and_the_model_gets_its_own_attention_back(reference: Reference) -> None:
    loaded = with_engine(reference.loaded, page_size=8, pages=40)
    own = loaded.model.config._attn_implementation
    with faults(lambda _ids: True, Interrupted(2)), pytest.raises(Interrupted):
        answer(loaded, [prompt_of([5, 6], "a")], 2)
    assert loaded.model.config._attn_implementation == own
    prompts = random_prompts(1, 6)
    stream: Iterator[Response] = part("paged.generation").generate_paged(
        loaded, prompts, part("limits").RowLimit(rows=2)
    )
    next(stream)
    stream.close()  # type: ignore[attr-defined]  # a generator
    assert loaded.model.config._attn_implementation == own
    assert set(loaded.paged.cache.allocator.rows) == {0}
    check(reference, prompts, answer(loaded, prompts, 4))


def test_all_pages_are_free_or_kept_when_all_is_answered(reference: Reference) -> None:
    loaded = with_engine(reference.loaded, page_size=4, pages=60)
    answer(loaded, random_prompts(4, 12), 5)
    allocator, cache = loaded.paged.cache.allocator, loaded.paged.cache
    assert set(allocator.rows) == {0}
    assert allocator.late == []
    assert sorted([*allocator.free, *cache.nodes]) == list(range(60))
    assert sorted(cache.unused) == sorted(cache.nodes)


def test_what_two_prompts_share_is_computed_once(reference: Reference) -> None:
    """26 tokens below which all stand, 30 more for every four, then three of each prompt; pages of 16 tokens.

    Of the second page 10 tokens are shared, of the fourth 8: half a page is copied, less would be computed again.
    """
    prompts = [
        prompt_of([*range(14, 40), *range(40 + 30 * number, 70 + 30 * number), 60 + each, 61, 62], f"{number}{each}")
        for number in range(2)
        for each in range(4)
    ]
    loaded = with_engine(reference.loaded, page_size=16, pages=80)
    computed: list[int] = []
    launch = type(loaded.paged).launch

    def see(self: Any, plan: Any) -> Any:  # noqa: ANN401 - of the plugin
        computed.extend(position for each in plan.prefill for position in range(each.start, each.start + each.length))
        return launch(self, plan)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(loaded.paged), "launch", see)
        check(reference, prompts, answer(loaded, prompts, 8, speculate=False))
    assert len(computed) == 26 + 2 * 30 + 8 * 3
    again = len(computed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(loaded.paged), "launch", see)
        check(reference, prompts, answer(loaded, prompts, 8, speculate=False))
    assert len(computed) - again == 8  # the last token of each: the next one comes from its logits


def test_the_buffers_of_a_step_stay_where_they_are(reference: Reference) -> None:
    """What a graph reads and writes: inputs and newest tokens, in steps of any rows, over two runs."""
    loaded = with_engine(make_loaded(reference.loaded.model, ()), page_size=8, pages=120, graphs=True)
    engine = loaded.paged
    with part("paged.forward").paged_attention(loaded.model):
        engine.prepare(6, 120)
    places = {engine.inputs.devices[0].data_ptr(), engine.newest.data_ptr()}
    seen: set[int] = set()
    module = part("paged.step_queue")
    replay = module.RecordedOperations.replay
    outputs: dict[int, set[tuple[int, ...]]] = {}

    def watch(self: Any) -> None:  # noqa: ANN401 - of the plugin
        seen.update({engine.inputs.devices[0].data_ptr(), engine.newest.data_ptr()})
        replay(self)
        outputs.setdefault(id(self), set()).add(tuple(each.data_ptr() for each in self.outputs))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module.RecordedOperations, "replay", watch)
        for seed in (1, 2):
            prompts = random_prompts(seed, 8, limits=(25, 30))
            reference_here = Reference(loaded, longest=30)
            check(reference_here, prompts, answer(loaded, prompts, 6))
    assert seen == places
    assert outputs
    assert all(len(each) == 1 for each in outputs.values())


def test_a_model_whose_attention_is_not_called_is_refused(reference: Reference) -> None:
    """As of architectures that take any name of an attention function and call their own."""
    verify = part("paged.verification").try_paged
    model = make_model("Llama")
    model.model.layers[1].self_attn.layer_idx = 0
    found = verify(make_loaded(model))
    assert found.paged_refusal == "2 calls of the attention function come from 1 of 2 layers"
    assert verify(replace(reference.loaded, paged=None)).paged is not None


@pytest.mark.parametrize("kind", [RuntimeError, ValueError])
def test_a_refusal_is_one_short_line(
    kind: type[Exception], reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stands in a note, and an error of torch may have a page of lines."""

    def fail(*_given: object) -> None:
        raise kind("Could not run 'aten::x':\n\n" + "CPU: registered at x.cpp:1 [kernel]\n" * 50)

    module = part("paged.verification")
    monkeypatch.setattr(module, "_open_and_compare", fail)
    refusal = module.try_paged(replace(reference.loaded, paged=None)).paged_refusal
    assert "Could not run 'aten::x': CPU: registered" in refusal
    assert "\n" not in refusal
    assert len(refusal) <= 200


@pytest.mark.parametrize("keyword", part("packed.attention").NOT_COMPUTED)
def test_attention_with_what_no_kernel_computes_is_an_error(keyword: str) -> None:
    """What a layer hides of a long text by blocks would not show in the trial."""
    heads = torch.zeros(1, 2, 3, 8)
    with pytest.raises(TypeError, match=f"attention with {keyword}"):
        part("paged.forward").attend_paged(object(), heads, heads, heads, None, **{keyword: torch.zeros(1)})


def test_graphs_are_of_the_paged_attention_and_no_other(reference: Reference) -> None:
    """A graph keeps the kernels of its capture, so nothing is captured while the model has its own attention."""
    loaded = with_engine(make_loaded(reference.loaded.model, ()), page_size=8, pages=120, graphs=True)
    loaded.paged.prepare(3, 40)
    assert not loaded.paged.graphs
    assert "a step of 0 calls of xlingual_paged attention, not 2" in loaded.paged.notes[0]
    options = part("paged.engine").PagedOptions(page_size=8, pages=120, graphs=True)
    tried = part("paged.verification").try_paged(make_loaded(reference.loaded.model, ()), options).paged
    assert tried.graphs
    assert [each for each in tried.notes if "without CUDA graphs" in each] == []


def test_where_the_memory_has_no_pages_there_are_half_as_many(
    reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = part("paged.engine")
    make = module.new_page_pool
    asked: list[int] = []

    def full(shapes: object, pages: int, **named: object) -> object:
        asked.append(pages)
        if pages > 20:
            raise torch.OutOfMemoryError("no room")
        return make(shapes, pages, **named)

    monkeypatch.setattr(module, "new_page_pool", full)
    open_engine, options = module.open_engine, module.PagedOptions
    engine = open_engine(reference.loaded.model, "cpu", options(page_size=8, pages=80))
    assert (asked, engine.cache.allocator.total) == ([80, 40, 20], 20)
    monkeypatch.setattr(module, "MIN_PAGES", 40)
    with pytest.raises(ValueError, match="no memory for pages: OutOfMemoryError: no room"):
        open_engine(reference.loaded.model, "cpu", options(page_size=8, pages=80))


@pytest.mark.parametrize("shared", [20, 52])
def test_prompts_below_a_prefix_enter_together(reference: Reference, shared: int) -> None:
    """Once a prefix is computed, no prompt waits for its neighbour that copies the same page of it."""
    loaded = with_engine(make_loaded(reference.loaded.model, ()), page_size=32, pages=200)
    prompts = [prompt_of([*range(10, 10 + shared), 60 + each, 7, 8], str(each), limit=3) for each in range(24)]
    launched: list[Any] = []
    launch = type(loaded.paged).launch

    def see(self: Any, plan: Any) -> Any:  # noqa: ANN401 - of the plugin
        launched.append(plan)
        return launch(self, plan)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(loaded.paged), "launch", see)
        check(reference, prompts, answer(loaded, prompts, 24, speculate=False))
    assert [len(plan.prefill) for plan in launched if plan.prefill] == [1, 23]
    assert len({source for plan in launched for source, _ in plan.copies}) == 1


class Words:
    """A tokenizer whose tokens are the entries of a list."""

    chat_template = None
    all_special_ids: tuple[int, ...] = ()
    added_tokens_decoder: dict[int, object] = {}  # noqa: RUF012 - never written to
    known = ("<", "th", "ink>", "x", "\n", "</think>", " ", "a.", "b\n", "[", "no")

    def decode(self, ids: Sequence[int], **_settings: object) -> str:
        return "".join(self.known[each] for each in ids)


def test_no_answer_is_looked_at_too_seldom_for_its_stop(reference: Reference) -> None:
    """Answers of all tokens, those of thoughts too: what is skipped would not have been a stop."""
    markers = importlib.import_module("xlingual.thinking").KNOWN_MARKERS
    loaded = replace(reference.loaded, tokenizer=Words(), markers=markers)
    endings, stopped = part("paged.generation").StopEndings(loaded), part("tokens.stops").is_stopped
    generator, skipped = random.Random(0), 0
    for number in range(3000):
        new = [generator.randrange(len(Words.known)) for _ in range(generator.randint(1, 7))]
        stop = generator.choice([("\n",), ("x",), ("t",), ("a.", "\n")])
        prompt = prompt_of([3, 7], str(number), stop=stop)
        if any(stopped(loaded, prompt, new[:count]) for count in range(1, len(new))):
            continue  # it would have ended before
        may_stop = endings.may_stop(prompt, new)
        skipped += not may_stop
        assert may_stop or not stopped(loaded, prompt, new), (new, stop)
    assert skipped > 300


def test_where_nothing_is_proposed_steps_are_launched_ahead(reference: Reference) -> None:
    loaded = with_engine(make_loaded(reference.loaded.model, ()), page_size=8, pages=40)
    module = part("paged.generation")
    asked: list[int] = []
    ahead: list[bool] = []
    propose, read = module._propose, module._read

    def nothing(session: Any) -> dict[Any, Any]:  # noqa: ANN401 - of the plugin
        asked.append(session.scheduler.step)
        propose(session)
        return {}

    def see(session: Any, step: Any) -> Any:  # noqa: ANN401 - of the plugin
        ahead.append(session.in_flight is not None and session.in_flight is not step)
        return read(session, step)

    prompts = [prompt_of([11, 12, each], str(each), limit=19) for each in (20, 21)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_propose", nothing)
        patch.setattr(module, "_read", see)
        check(reference, prompts, answer(loaded, prompts, 2))
    assert len(asked) <= 3
    assert sum(ahead) >= 14
