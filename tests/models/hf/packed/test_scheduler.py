"""The packed engine on tiny random models: any mix of prompts, limits and faults gives the answers of `generate`."""

import importlib
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from xlingual.errors import Interrupted
from xlingual.plugin import ModelOptions
from xlingual.records import Finish, Form, Message, Request, Response, Role
from xlingual.registry import MODELS
from xlingual.text import find_stop

STOPS: tuple[tuple[str, ...], ...] = ((), ("e",), ("\n", "the "), ("ab", "ox"))


def part(name: str) -> ModuleType:
    """Return a module of the plugin, which is none of the public names."""
    return importlib.import_module(f"xlingual.plugins.models.hf.{name}")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A loaded model, and the answers that `generate` gives it one by one, computed once each."""

    engine: Any
    known: dict[tuple[tuple[int, ...], int, tuple[str, ...]], tuple[str | None, int | None, Finish | None]]

    def expect(self, prompt: Any) -> tuple[str | None, int | None, Finish | None]:  # noqa: ANN401 - of the plugin
        """Return text, tokens and finish of a prompt alone, by transformers' own generation."""
        request = prompt.request
        key = prompt.ids, request.max_new_tokens, request.stop
        if key not in self.known:
            settings = GenerationConfig(
                do_sample=False, max_new_tokens=request.max_new_tokens, pad_token_id=0,
                eos_token_id=list(self.engine.end_ids) or None,
            )  # fmt: skip
            ids = torch.tensor([prompt.ids])
            out = self.engine.model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=settings)
            new = out[0, len(prompt.ids) :].tolist()
            response = part("responses").respond(self.engine, prompt, new, self.first_stop(new, request.stop), None)
            self.known[key] = response.text, response.tokens, response.finish
        return self.known[key]

    def first_stop(self, new: Sequence[int], stop: tuple[str, ...]) -> int | None:
        """Return after how many tokens the whole text first holds a stop string."""
        generation = part("tokens.detokenization")
        for count in range(1, len(new) + 1):
            if new[count - 1] in self.engine.end_ids:
                return None
            if find_stop(generation.decode(self.engine.tokenizer, new[:count]), stop) is not None:
                return count
        return None


@pytest.fixture(scope="module", params=["fused", "transformers"])
def loaded(request: pytest.FixtureRequest, tiny_llama: Path) -> Loaded:
    model: Any = MODELS.get("hf")(str(tiny_llama), ModelOptions(device="cpu"))
    engine = part("packed.verification").verify(part("checkpoint.loading").load(model.description, model.options), 250)
    assert engine.fused is not None
    return Loaded(engine if request.param == "fused" else replace(engine, fused=None), {})


def prompt_of(ids: Sequence[int], key: str, *, stop: tuple[str, ...] = (), limit: int = 8) -> Any:  # noqa: ANN401 - of the plugin
    message = Message(role=Role.USER, text=key)
    request = Request(key=key, form=Form.TEXT, messages=(message,), stop=stop, max_new_tokens=limit)
    return part("tokens.rendering").Rendered(request=request, ids=tuple(ids))


def random_prompts(seed: int, count: int) -> list[Any]:
    """Prompts whose prefixes are shared in a random tree, some of them twice, some the start of others."""
    generator = random.Random(seed)
    texts: list[list[int]] = [[]]
    for _ in range(count):
        start = generator.choice(texts)
        start = start[: generator.choice([len(start), generator.randint(0, len(start))])]
        more = [generator.randrange(5, 320) for _ in range(generator.choice([0, 1, 3, 17, 40, 90]))]
        texts.append([*start, *more][:230] or [7])
    prompts = [
        prompt_of(ids, str(number), stop=generator.choice(STOPS), limit=generator.choice([1, 2, 7, 19]))
        for number, ids in enumerate(texts[1:])
    ]
    generator.shuffle(prompts)
    return prompts


def answer(
    loaded: Loaded, prompts: Sequence[Any], rows: int, *, share: bool = True, speculate: bool = True
) -> dict[str, Response]:
    limit = part("limits").RowLimit(rows=rows)
    responses = list(
        part("packed.scheduler").generate_packed(loaded.engine, prompts, limit, share=share, speculate=speculate)
    )
    found = {response.key: response for response in responses}
    assert len(found) == len(responses) == len(prompts)
    return found


def check(loaded: Loaded, prompts: Sequence[Any], found: dict[str, Response]) -> None:
    for prompt in prompts:
        response = found[prompt.request.key]
        assert response.failure is None
        assert (response.text, response.tokens, response.finish) == loaded.expect(prompt)
        assert response.prompt_tokens == len(prompt.ids)


mixes = given(
    seed=st.integers(0, 10**6), count=st.integers(1, 14), rows=st.integers(1, 9), most=st.sampled_from([5, 64, 1024])
)
few = settings(
    max_examples=12, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

# Every exhausted memory costs a collection of garbage.
fewer = settings(few, max_examples=6)


@few
@mixes
def test_any_mix_is_answered_as_one_by_one(loaded: Loaded, seed: int, count: int, rows: int, most: int) -> None:
    prompts = random_prompts(seed, count)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(part("packed.scheduler"), "MAX_BATCHED_TOKENS", most)
        if most == 64:
            patch.setattr(part("packed.batch_plan"), "PREFILL_GROUP_TOKENS", 7)
        check(loaded, prompts, answer(loaded, prompts, rows))
        check(loaded, prompts, answer(loaded, prompts, rows, share=False))
        check(loaded, prompts, answer(loaded, prompts, rows, speculate=False))


@pytest.mark.slow
@fewer
@mixes
def test_running_out_of_memory_at_any_step_loses_and_changes_nothing(
    loaded: Loaded, seed: int, count: int, rows: int, most: int
) -> None:
    prompts = random_prompts(seed, count)
    generator = random.Random(seed)
    with faults(lambda ids: len(ids) > 1 and generator.random() < 0.3) as hits:
        found = answer(loaded, prompts, rows)
    lost = [prompt for prompt in prompts if found[prompt.request.key].failure is not None]
    # A sequence fails only where it was the only one in memory.
    assert len(lost) <= len(hits)
    assert all(found[prompt.request.key].failure.kind == "OutOfMemoryError" for prompt in lost)  # type: ignore[union-attr]  # they are failures
    check(loaded, [prompt for prompt in prompts if prompt not in lost], found)


class faults:  # noqa: N801 - reads as a word
    """Raise OutOfMemoryError from the forward passes whose input ids meet a condition; lists their lengths."""

    def __init__(self, condition: Callable[[Sequence[int]], bool], error: str | None = None) -> None:
        self.condition, self.error = condition, error
        self.hits: list[int] = []
        self.patch = pytest.MonkeyPatch()

    def __enter__(self) -> list[int]:
        self.forward = part("packed.forward").forward
        self.patch.setattr(part("packed.forward"), "forward", self.see)
        return self.hits

    def __exit__(self, *_error: object) -> None:
        self.patch.undo()

    def see(self, engine: object, ids: Sequence[int], *rest: object, **named: object) -> object:
        if self.condition(ids):
            self.hits.append(len(ids))
            raise torch.OutOfMemoryError("no room") if self.error is None else IndexError(self.error)
        return self.forward(engine, ids, *rest, **named)


def test_the_limit_is_halved_for_good_and_answers_go_on_where_they_were(loaded: Loaded) -> None:
    loaded = Loaded(replace(loaded.engine, end_ids=()), {})
    prompts = [prompt_of(range(10 + number, 30), str(number), limit=6) for number in range(7)]
    notes: list[str] = []
    limit = part("limits").RowLimit(rows=8, note=notes.append)
    steps: list[int] = []

    def full(ids: Sequence[int]) -> bool:
        steps.append(len(ids))
        return 2 < len(ids) <= 7 and len(steps) > 3

    with faults(full) as hits:
        found = list(part("packed.scheduler").generate_packed(loaded.engine, prompts, limit, speculate=False))
    check(loaded, prompts, {response.key: response for response in found})
    assert len(found) == 7
    # Seven sequences had three tokens each when the memory was full, and three more were to come for each.
    assert hits[0] == 7
    assert limit.rows == 1
    told = "out of memory: {} prompts are answered together from now on, not {}"
    assert notes == [told.format(3, 8), told.format(1, 3)]
    assert sum(each == 7 for each in steps) == 3


@pytest.mark.parametrize("rows", [1, 3, 8])
def test_an_error_is_the_failure_of_the_sequence_that_causes_it(loaded: Loaded, rows: int) -> None:
    shared = range(20, 45)
    prompts = [prompt_of([*shared, 50 + number, 51], str(number), limit=5) for number in range(8)]
    with faults(lambda ids: 53 in ids, "index out of range"):
        found = answer(loaded, prompts, rows)
    bad = found["3"]
    assert bad.failure is not None
    assert (bad.failure.kind, bad.failure.message, bad.text) == ("IndexError", "index out of range", None)
    others = [prompt for prompt in prompts if prompt.request.key != "3" and 53 not in new_tokens(loaded, prompt)]
    check(loaded, others, found)
    assert len(others) >= 6


def new_tokens(loaded: Loaded, prompt: Any) -> list[int]:  # noqa: ANN401 - of the plugin
    ids = torch.tensor([prompt.ids])
    limit = GenerationConfig(do_sample=False, max_new_tokens=5, pad_token_id=0)
    out = loaded.engine.model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=limit)
    return [int(each) for each in out[0, len(prompt.ids) :]]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_scores_that_are_not_finite_fail_their_sequence_only(loaded: Loaded, value: float) -> None:
    """The embedding of one token is broken: its sequence runs beside others below the same prefix."""
    shared = range(20, 45)
    prompts = [prompt_of([*shared, 50 + number, 51], str(number), limit=5) for number in range(8)]
    expected = [prompt for prompt in prompts if 53 not in (*prompt.ids, *new_tokens(loaded, prompt))]
    for prompt in prompts:
        loaded.expect(prompt)

    def breaks(_module: object, args: tuple[torch.Tensor], out: torch.Tensor) -> torch.Tensor:
        return out.masked_fill((args[0] == 53)[..., None], value)

    handle = loaded.engine.model.get_input_embeddings().register_forward_hook(breaks)
    try:
        found = answer(loaded, prompts, 3)
    finally:
        handle.remove()
    assert found["3"].failure is not None
    assert found["3"].failure.kind == "non-finite logits"
    check(loaded, expected, found)
    assert len(expected) >= 6


def test_a_signal_comes_through_and_the_model_gets_its_own_attention_back(loaded: Loaded) -> None:
    def interrupt(_module: object, _args: object) -> None:
        raise Interrupted(2)

    own = loaded.engine.model.config._attn_implementation
    handle = loaded.engine.model.get_input_embeddings().register_forward_pre_hook(interrupt)
    try:
        with pytest.raises(Interrupted):
            answer(loaded, [prompt_of([5, 6], "a")], 2)
    finally:
        handle.remove()
    assert loaded.engine.model.config._attn_implementation == own
    stream: Iterator[Response] = part("packed.scheduler").generate_packed(
        loaded.engine, random_prompts(1, 6), part("limits").RowLimit(rows=2)
    )
    next(stream)
    stream.close()  # type: ignore[attr-defined]  # a generator
    assert loaded.engine.model.config._attn_implementation == own


def test_a_shared_prefix_is_computed_once_and_then_freed(loaded: Loaded) -> None:
    """Two levels: 20 tokens below which all stand, 30 more for every four; then three tokens of each prompt."""
    prompts = [
        prompt_of([*range(20, 40), *range(100 + 40 * number, 130 + 40 * number), 60 + each, 61, 62], f"{number}{each}")
        for number in range(3)
        for each in range(4)
    ]
    sizes: list[int] = []
    with faults(lambda ids: bool(sizes.append(len(ids)))):  # type: ignore[func-returns-value]  # False
        found = answer(loaded, prompts, 12, speculate=False)
    check(loaded, prompts, found)
    assert sizes[0] == 20 + 3 * 30 + 12 * 3
    assert max(sizes[1:]) <= 12
    tree = part("packed.prefix_tree")
    sequences = tree.build_prefix_tree(prompts)
    path = tree.prefix_path
    assert {(prefix.start, prefix.end) for each in sequences for prefix in path(each.prefix)} == {(0, 20), (20, 50)}
    for sequence in sequences:
        for prefix in path(sequence.prefix):
            prefix.kv = torch.zeros(1)
    above = sequences[0].prefix
    for sequence in sequences[:4]:
        assert above.kv is not None
        tree.release_prefixes(sequence.prefix)
    assert above.kv is None
    assert above.parent.kv is not None
    for sequence in sequences[4:]:
        tree.release_prefixes(sequence.prefix)
    assert above.parent.kv is None


def test_waiting_sequences_enter_as_soon_as_others_finish(loaded: Loaded) -> None:
    prompts = [prompt_of([20 + number, 30], str(number), limit=1 if number % 2 else 16) for number in range(16)]
    sizes: list[int] = []
    with faults(lambda ids: bool(sizes.append(len(ids)))):  # type: ignore[func-returns-value]  # False
        found = answer(loaded, prompts, 4, speculate=False)
    check(loaded, prompts, found)
    # 8 sequences of 15 steps each, four at a time, take 30 steps when a row of the cache is never left empty.
    assert len([size for size in sizes if size <= 4]) <= 40


@pytest.mark.parametrize("heads", [(4, 1), (4, 4)])
def test_any_number_of_kv_heads(tiny_llama: Path, tmp_path: Path, heads: tuple[int, int]) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_llama)
    model.config.num_attention_heads, model.config.num_key_value_heads = heads
    torch.manual_seed(3)
    type(model)(model.config).eval().save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny_llama).save_pretrained(tmp_path)
    opened: Any = MODELS.get("hf")(str(tmp_path), ModelOptions(device="cpu"))
    loaded = Loaded(part("checkpoint.loading").load(opened.description, opened.options), {})
    prompts = random_prompts(11, 9)
    check(loaded, prompts, answer(loaded, prompts, 4))


def test_half_precision_is_supported(tiny_llama: Path) -> None:
    opened: Any = MODELS.get("hf")(str(tiny_llama), ModelOptions(device="cpu", dtype="bfloat16"))
    engine = part("checkpoint.loading").load(opened.description, opened.options)
    assert part("packed.verification").verify(engine, 100) is not None
    prompts = random_prompts(2, 8)
    responses = list(part("packed.scheduler").generate_packed(engine, prompts, part("limits").RowLimit(rows=3)))
    assert len(responses) == 8
    assert all(response.failure is None for response in responses)


def test_little_memory_makes_few_cache_rows(loaded: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    """One token costs 2 layers x 2 x 2 heads x 8 numbers x 4 bytes = 256 bytes."""
    monkeypatch.setattr(part("packed.scheduler"), "free_bytes", lambda _device: 2 * 256 * 800)
    assert part("packed.exchange").cache_spec_of(loaded.engine).token_bytes == 256
    prompts = random_prompts(4, 12)
    check(loaded, prompts, answer(loaded, prompts, 12))
    sequences = part("packed.prefix_tree").build_prefix_tree(prompts)
    session = part("packed.scheduler")._open_session(
        loaded.engine, sequences, part("limits").RowLimit(rows=12), part("packed.prompt_lookup").PromptLookup()
    )
    # Half of the memory is for keys and values, half of that for the rows of running sequences.
    longest = -(-max(each.max_suffix_length for each in sequences) // 32) * 32
    assert session.cache_rows == 400 // longest
    assert session.batch.cache.keys.shape == (2, session.cache_rows, 2, longest // 32, 8, 32)
    assert session.batch.cache.values.shape == (2, session.cache_rows, 2, longest, 8)
    assert session.prefix_tokens == 800 - session.cache_rows * longest


@pytest.mark.parametrize(
    ("stop", "limit"), [(("\n",), 24), (("e", "o"), 24), (("a longer stop string",), 24), (("",), 24), ((" ",), 40)]
)
def test_the_last_tokens_tell_of_every_stop_string(loaded: Loaded, stop: tuple[str, ...], limit: int) -> None:
    """At every length of many random answers, special tokens and halves of characters among them."""
    generator = random.Random(3)
    generation, stops = part("tokens.detokenization"), part("tokens.stops")
    hits = 0
    for _ in range(40):
        [sequence] = part("packed.prefix_tree").build_prefix_tree([prompt_of([5, 6], "a", stop=stop, limit=limit)])
        for _ in range(limit):
            sequence.output_ids.append(generator.choice([generator.randrange(320), *loaded.engine.end_ids, 0]))
            text = generation.decode(loaded.engine.tokenizer, sequence.output_ids)
            found = stops.is_stopped(loaded.engine, sequence.prompt, sequence.output_ids)
            assert found == (find_stop(text, stop) is not None)
            if found:
                hits += 1
                break
    assert hits > 0 or stop in (("a longer stop string",), ("",))
