"""Log-likelihoods on tiny random models: those of a plain forward pass, beside any others and with any fault."""

import importlib
import math
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
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

from xlingual.plugin import ModelOptions
from xlingual.records import Choice, Form, Likelihood, Message, Request, Response, Role
from xlingual.registry import MODELS

WINDOW = 256
"""Tokens that the tiny Llama reads."""
WORDS = (
    "the quick brown fox", " jumps over", " the lazy dog", "\n\nQuestion: where?", " ", " 中国的首都", "是北京。",
    " Αθήνα", " é", "ox", "\n", "  ", "a", " Warszawa is the capital of Poland, and the Vistula runs through it.",
)  # fmt: skip


def part(name: str) -> ModuleType:
    """Return a module of the plugin, which is none of the public names."""
    return importlib.import_module(f"xlingual.plugins.models.hf.{name}")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model behind the adapter, and its parts."""

    adapter: Any
    engine: Any
    tokenizer: Any

    def ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def logits(self, ids: Sequence[int]) -> torch.Tensor:
        with torch.inference_mode():
            return torch.as_tensor(self.engine.model(torch.tensor([list(ids)])).logits[0])

    def plain(self, before: str, text: str) -> Likelihood:
        """Return the likelihood of `text` by one plain forward pass, tokens as lm-eval's `_encode_pair` says."""
        kept = before.rstrip()
        text = before[len(kept) :] + text
        head = self.ids(kept) if kept else [self.tokenizer.bos_token_id]
        tail = self.ids(kept + text)[len(head) :] if kept else self.ids(text)
        ids = (head + tail)[-(WINDOW + 1) :]
        scores = self.logits(ids[:-1])[-len(tail) :].double().log_softmax(-1)
        return Likelihood(
            logarithm=float(scores[range(len(tail)), tail].sum()),
            is_greedy=scores.argmax(-1).tolist() == tail,
            tokens=len(tail),
        )


def load(folder: Path, *, fused: bool) -> Loaded:
    """A model whose forward passes are its own modules', where faults can be put in, or the fused forward."""
    adapter: Any = MODELS.get("hf")(str(folder), ModelOptions(device="cpu"))
    adapter.loaded = replace(part("checkpoint.loading").load(adapter.description, adapter.options), shared=not fused)
    return Loaded(adapter, adapter.loaded, adapter.description.tokenizer)


@pytest.fixture(scope="module")
def loaded(tiny_llama: Path) -> Loaded:
    return load(tiny_llama, fused=False)


@pytest.fixture(scope="module")
def fused(tiny_llama: Path) -> Loaded:
    return load(tiny_llama, fused=True)


def ask(context: str, *choices: str | Choice, form: Form = Form.TEXT) -> Request:
    made = tuple(each if isinstance(each, Choice) else Choice(text=each) for each in choices)
    messages = (Message(role=Role.USER, text=context),) if context else ()
    key = repr((form, context, made))
    return Request(key=key, form=form, messages=messages, stop=(), max_new_tokens=0, choices=made)


def random_requests(seed: int, count: int) -> list[Request]:
    """Requests whose contexts are a random tree of words, with choices that share their beginnings, or are alike."""
    generator = random.Random(seed)
    contexts = [""]
    requests: dict[str, Request] = {}
    for _ in range(count):
        context = generator.choice(contexts) + "".join(generator.choices(WORDS, k=generator.choice([0, 1, 3, 12])))
        contexts.append(context)
        shared = "".join(generator.choices(WORDS, k=generator.choice([0, 0, 2, 9])))
        choices = [
            Choice(text=shared + generator.choice(WORDS) + "x", before=generator.choice(["", "", " then ", "if"]))
            for _ in range(generator.choice([1, 2, 4]))
        ]
        request = ask(context, *choices)
        requests[request.key] = request
    return list(requests.values())


def answer(loaded: Loaded, requests: Sequence[Request], *, packed: bool = True) -> dict[str, Response]:
    loaded.adapter.options = replace(loaded.adapter.options, engine=None if packed else "static")
    responses = list(loaded.adapter.answer(requests))
    found = {response.key: response for response in responses}
    assert len(found) == len(responses) == len(requests)
    return found


def check(loaded: Loaded, requests: Sequence[Request], found: dict[str, Response]) -> None:
    for request in requests:
        response = found[request.key]
        context = "".join(message.text for message in request.messages)
        assert response.failure is None
        assert response.text is None
        assert response.likelihoods is not None
        assert request.choices is not None
        assert len(response.likelihoods) == len(request.choices)
        for likelihood, choice in zip(response.likelihoods, request.choices, strict=True):
            expected = loaded.plain(context + choice.before, choice.text)
            assert likelihood.logarithm == pytest.approx(expected.logarithm, abs=1e-4, rel=1e-6)
            assert replace(likelihood, logarithm=0.0) == replace(expected, logarithm=0.0)


few = settings(
    max_examples=20, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
mixes = given(
    seed=st.integers(0, 10**6), count=st.integers(1, 10), most=st.sampled_from([64, 100, 1024]),
    positions=st.sampled_from([1, 3, 1000]),
)  # fmt: skip


@few
@mixes
def test_any_mix_is_scored_as_by_a_plain_forward_pass(
    loaded: Loaded, seed: int, count: int, most: int, positions: int
) -> None:
    requests = random_requests(seed, count)
    vocabulary = loaded.engine.model.config.vocab_size
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(part("packed.likelihood"), "MAX_BATCHED_TOKENS", most)
        patch.setattr(part("scoring"), "LOGITS_BYTES", positions * 8 * vocabulary)
        check(loaded, requests, answer(loaded, requests))
        random.Random(seed).shuffle(requests)
        check(loaded, requests, answer(loaded, requests, packed=False))


@few
@mixes
def test_the_fused_forward_scores_the_same(
    loaded: Loaded, fused: Loaded, seed: int, count: int, most: int, positions: int
) -> None:
    requests = random_requests(seed, count)
    vocabulary = loaded.engine.model.config.vocab_size
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(part("packed.likelihood"), "MAX_BATCHED_TOKENS", most)
        patch.setattr(part("scoring"), "LOGITS_BYTES", positions * 8 * vocabulary)
        found = answer(fused, requests)
    assert fused.adapter.loaded.fused is not None
    check(loaded, requests, found)


class faults:  # noqa: N801 - reads as a word
    """Raise an error from the forward passes whose input ids meet a condition; lists their shapes."""

    def __init__(self, loaded: Loaded, condition: Callable[[torch.Tensor], bool], error: str | None = None) -> None:
        self.loaded, self.condition, self.error = loaded, condition, error
        self.hits: list[tuple[int, ...]] = []

    def __enter__(self) -> list[tuple[int, ...]]:
        self.handle = self.loaded.engine.model.register_forward_pre_hook(self.see, with_kwargs=True)
        return self.hits

    def __exit__(self, *_error: object) -> None:
        self.handle.remove()

    def see(self, _module: object, _args: object, named: dict[str, torch.Tensor]) -> None:
        if self.condition(named["input_ids"]):
            self.hits.append(tuple(named["input_ids"].shape))
            raise torch.OutOfMemoryError("no room") if self.error is None else IndexError(self.error)


@settings(few, max_examples=6)
@given(seed=st.integers(0, 10**6), count=st.integers(2, 10), packed=st.booleans())
def test_running_out_of_memory_loses_and_changes_nothing(loaded: Loaded, seed: int, count: int, packed: bool) -> None:
    requests = random_requests(seed, count)
    generator = random.Random(seed)
    tried = part("packed.verification").try_packed(loaded.engine)
    assert tried.verified
    with pytest.MonkeyPatch.context() as patch, faults(loaded, lambda _ids: generator.random() < 0.4) as hits:
        patch.setattr(
            importlib.import_module("xlingual.plugins.models.hf"),
            "try_packed",
            lambda engine: replace(engine, verified=True, calls=tried.calls),
        )
        found = answer(loaded, requests, packed=packed)
    lost = [request for request in requests if found[request.key].failure is not None]
    assert len(lost) <= len(hits)
    assert all(found[request.key].failure.kind == "OutOfMemoryError" for request in lost)  # type: ignore[union-attr]  # they are failures
    check(loaded, [request for request in requests if request not in lost], found)


@pytest.mark.parametrize("packed", [True, False])
def test_an_error_is_the_failure_of_the_request_that_causes_it(loaded: Loaded, packed: bool) -> None:
    requests = [ask(WORDS[-1] * 2 + str(number), " yes", " no", " maybe so") for number in range(8)]
    [bad] = loaded.ids("3")
    with faults(loaded, lambda ids: bool((ids == bad).any()), "index out of range"):
        found = answer(loaded, requests, packed=packed)
    failure = found[requests[3].key].failure
    assert failure is not None
    assert (failure.kind, failure.message) == ("IndexError", "index out of range")
    check(loaded, [each for each in requests if each is not requests[3]], found)


@pytest.mark.parametrize("packed", [True, False])
def test_scores_that_are_not_finite_are_a_failure(loaded: Loaded, packed: bool) -> None:
    requests = [ask(WORDS[-1] * 2 + str(number), " yes", " no") for number in range(6)]
    [bad] = loaded.ids("3")

    def breaks(_module: object, arguments: tuple[torch.Tensor], output: torch.Tensor) -> torch.Tensor:
        return output.masked_fill((arguments[0] == bad)[..., None], float("nan"))

    handle = loaded.engine.model.get_input_embeddings().register_forward_hook(breaks)
    try:
        found = answer(loaded, requests, packed=packed)
    finally:
        handle.remove()
    failure = found[requests[3].key].failure
    assert failure is not None
    assert failure.kind == "non-finite logits"
    check(loaded, [each for each in requests if each is not requests[3]], found)


def test_what_stands_before_the_choices_is_computed_once(loaded: Loaded) -> None:
    """Three questions on a passage, four choices each: every token is read once, but those of different choices."""
    passage = WORDS[-1] * 3
    requests = [ask(f"{passage} {number} is?", " a", " bc", " de f", " ghi") for number in range(3)]
    sizes: list[int] = []
    tried = part("packed.verification").try_packed(loaded.engine)
    assert tried.verified
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            importlib.import_module("xlingual.plugins.models.hf"),
            "try_packed",
            lambda engine: replace(engine, verified=True, calls=tried.calls),
        )
        with faults(loaded, lambda ids: bool(sizes.append(ids.shape[1]))):  # type: ignore[func-returns-value]  # False
            found = answer(loaded, requests)
    check(loaded, requests, found)
    assert len(sizes) == 1
    context = len(loaded.ids(f"{passage} 0 is?"))
    unshared = sum(context + len(loaded.ids(choice.text)) - 1 for choice in requests[0].choices or ()) * 3
    # The last token before the choices is read for each of them: its scores are those of their first tokens.
    assert sizes[0] < context + 3 * 4 * 8 < unshared / 5


def rolling(loaded: Loaded, ids: Sequence[int]) -> float:
    """Return the log-likelihood of a whole text in the windows of lm-eval's `loglikelihood_rolling`."""
    total = 0.0
    whole = [loaded.tokenizer.bos_token_id, *ids]
    for start in range(0, len(ids), WINDOW):
        end = min(start + WINDOW, len(ids))
        read = whole[max(0, end - WINDOW) : end]
        scores = loaded.logits(read)[-(end - start) :].double().log_softmax(-1)
        total += float(scores[range(end - start), list(ids[start:end])].sum())
    return total


@pytest.mark.parametrize("repeats", [1, 7, 8, 9, 30])
@pytest.mark.parametrize("packed", [True, False])
def test_a_whole_text_is_scored_in_windows(loaded: Loaded, repeats: int, packed: bool) -> None:
    text = WORDS[-1] * repeats
    request = ask("", text)
    [likelihood] = answer(loaded, [request], packed=packed)[request.key].likelihoods or ()
    ids = loaded.ids(text)
    assert likelihood.tokens == len(ids)
    assert likelihood.logarithm == pytest.approx(rolling(loaded, ids), abs=1e-3)
    assert (len(ids) > WINDOW) == (repeats >= 8)


@pytest.mark.parametrize("packed", [True, False])
def test_what_is_too_long_loses_its_beginning_never_its_choice(loaded: Loaded, packed: bool) -> None:
    long, short = ask(WORDS[-1] * 20 + "Where?", " there", " here it is"), ask("Where?", " there", " here it is")
    hopeless = ask("Where?", WORDS[-1] * 20)
    found = answer(loaded, [long, short, hopeless], packed=packed)
    check(loaded, [long, short], found)
    assert found[hopeless.key].failure is not None
    assert found[hopeless.key].failure.kind == "context overflow"  # type: ignore[union-attr]  # just seen
    assert loaded.adapter.count_tokens([long])[0] > WINDOW


def test_a_chat_ends_with_its_cue_and_the_choice_follows(loaded: Loaded) -> None:
    request = ask("Where is it?", "here", "there it is", form=Form.CHAT)
    text = loaded.tokenizer.apply_chat_template(
        [{"role": "user", "content": "Where is it?"}], tokenize=False, add_generation_prompt=True
    )
    response = answer(loaded, [request])[request.key]
    for likelihood, choice in zip(response.likelihoods or (), ("here", "there it is"), strict=True):
        assert likelihood.logarithm == pytest.approx(loaded.plain(text, choice).logarithm, abs=1e-4)
    assert response.prompt_tokens == len(loaded.ids(text + "there it is"))
    assert loaded.adapter.count_tokens([request]) == [response.prompt_tokens]


def test_choices_without_tokens_or_beyond_the_vocabulary_are_failures(loaded: Loaded) -> None:
    empty, fine = ask("Where?", "", " there"), ask("Where?", " there")
    found = answer(loaded, [empty, fine])
    assert found[empty.key].failure is not None
    check(loaded, [fine], found)
    reader = part("tokens.choices").TokenizerContext(tokenizer=loaded.tokenizer, vocabulary=20, window=None)
    [failure] = part("tokens.choices").tokenize_choices(reader, [fine])
    assert failure.kind == "token outside the vocabulary"


@pytest.mark.parametrize("window", [1, 2, 5, 7])
@pytest.mark.parametrize("count", [1, 2, 5, 6, 23])
def test_windows_score_every_token_once_after_as_much_as_fits(window: int, count: int) -> None:
    ids = list(range(100, 100 + count + 1))
    found: Iterator[Any] = part("tokens.choices")._rolling_windows(ids, window)
    scored: list[int] = []
    for passage in found:
        assert len(passage.ids) - 1 <= window
        assert len(passage.ids) - 1 == window or passage.ids[0] == 100
        scored += passage.ids[passage.first :]
    assert scored == ids[1:]


def test_a_model_that_the_engine_does_not_take_is_scored_all_the_same(tiny_llama: Path, tmp_path: Path) -> None:
    torch.manual_seed(5)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=320, n_positions=WINDOW, n_embd=32, n_layer=2, n_head=4))
    model.eval().save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny_llama).save_pretrained(tmp_path)
    adapter: Any = MODELS.get("hf")(str(tmp_path), ModelOptions(device="cpu", batch_size=3))
    adapter.loaded = part("checkpoint.loading").load(adapter.description, adapter.options)
    loaded = Loaded(adapter, adapter.loaded, adapter.description.tokenizer)
    requests = random_requests(7, 9)
    check(loaded, requests, answer(loaded, requests, packed=False))
    check(loaded, requests, answer(loaded, requests))


def test_a_tokenizer_that_begins_texts_begins_them_once(loaded: Loaded) -> None:
    """The choice's tokens are the same, whether the begin token is the tokenizer's or stands in the text."""
    tokenizer = AutoTokenizer.from_pretrained(loaded.adapter.description.checkpoint.folder)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", tokenizer.bos_token_id), ("</s>", tokenizer.eos_token_id)]
    )
    reader = part("tokens.choices").TokenizerContext(tokenizer=tokenizer, vocabulary=320, window=WINDOW)
    plain, begun, bare = part("tokens.choices").tokenize_choices(
        reader, [ask("Where?", " there"), ask("<s>Where?", " there"), ask("", " there")]
    )
    where, there = loaded.ids("Where?"), loaded.ids("Where? there")[len(loaded.ids("Where?")) :]
    assert plain.windows == begun.windows
    assert plain.windows[0][0].ids == (tokenizer.bos_token_id, *where, *there)
    assert bare.windows[0][0].ids == (tokenizer.bos_token_id, *loaded.ids(" there"))
    assert math.isfinite(plain.tokens)
