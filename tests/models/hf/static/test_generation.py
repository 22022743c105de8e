"""Greedy answers of a tiny random Llama are the same at any batch size, and those of `generate` one by one."""

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from xlingual.errors import Interrupted
from xlingual.plugin import Model, ModelOptions
from xlingual.records import Finish, Form, Request, Response
from xlingual.registry import MODELS
from xlingual.text import find_stop

MakeRequest = Callable[..., Request]
PROMPTS = (
    "The quick", "W", "中国的首都 is", "where is the lazy dog? " * 4, "a", "\n\nfox", "Poland,", "Vistula runs",
    "Αθήνα είναι", "capital of Poland, and the", "over the", "Question: where?",
)  # fmt: skip


def part(name: str) -> ModuleType:
    """Return a module of the plugin, which is none of the public names."""
    return importlib.import_module(f"xlingual.plugins.models.hf.{name}")


@pytest.fixture
def tokenizer_change() -> dict[str, str | None]:
    """No change; parametrized tests override it."""
    return {}


@pytest.fixture(params=["packed", "static"])
def engine(request: pytest.FixtureRequest) -> str:
    """The packed engine, or static batches by `generate`."""
    return str(request.param)


@pytest.fixture
def opened(
    tiny_llama: Path, tmp_path: Path, tokenizer_change: dict[str, str | None], engine: str
) -> Callable[[int], Model]:
    """Open a copy of the tiny model, its tokenizer changed, with some batch size."""
    folder = tmp_path / "tiny"
    AutoModelForCausalLM.from_pretrained(tiny_llama).save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    for name, value in tokenizer_change.items():
        setattr(tokenizer, name, value)
    tokenizer.save_pretrained(folder)

    def make(rows: int) -> Model:
        return MODELS.get("hf")(str(folder), ModelOptions(batch_size=rows, device="cpu", engine=engine))

    return make


def answers(model: Model, requests: Sequence[Request]) -> dict[str, Response]:
    found = {response.key: response for response in model.answer(requests)}
    assert len(found) == len(requests)
    return found


def one_by_one(folder: Path, prompt: str, *, max_new_tokens: int, special: bool = True) -> str:
    """What `generate` answers without padding, with the shipped sampling settings overridden."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    model.generation_config = GenerationConfig(eos_token_id=tokenizer.eos_token_id, pad_token_id=0)
    ids = tokenizer(prompt, add_special_tokens=special, return_tensors="pt").input_ids
    out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=max_new_tokens, do_sample=False)
    return str(tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True, clean_up_tokenization_spaces=False))


@pytest.mark.parametrize(
    "tokenizer_change", [{}, {"pad_token": None}, {"pad_token": "</s>"}, {"pad_token": None, "eos_token": None}]
)
def test_answers_are_the_same_at_any_batch_size_and_one_by_one(
    opened: Callable[[int], Model], tiny_llama: Path, text_request: MakeRequest
) -> None:
    requests = [text_request(prompt, max_new_tokens=24) for prompt in PROMPTS]
    expected = {prompt: one_by_one(tiny_llama, prompt, max_new_tokens=24) for prompt in PROMPTS}
    assert len(set(expected.values())) == len(PROMPTS)
    for rows in (1, 5, 16):
        found = answers(opened(rows), requests)
        assert {key: response.text for key, response in found.items()} == expected


def test_the_shipped_sampling_settings_would_change_answers(tiny_llama: Path) -> None:
    """Otherwise the test above could not tell whether they are overridden."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    model = AutoModelForCausalLM.from_pretrained(tiny_llama)
    assert model.generation_config.repetition_penalty == 1.9
    ids = tokenizer(PROMPTS[0], return_tensors="pt").input_ids
    sampled = model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=24, do_sample=False, pad_token_id=0,
        temperature=None, top_k=None,
    )  # fmt: skip
    text = tokenizer.decode(sampled[0, ids.shape[1] :], skip_special_tokens=True)
    assert text != one_by_one(tiny_llama, PROMPTS[0], max_new_tokens=24)


def test_each_row_stops_by_itself_and_is_cut_at_its_stop_string(
    opened: Callable[[int], Model], tiny_llama: Path, text_request: MakeRequest
) -> None:
    whole = {prompt: one_by_one(tiny_llama, prompt, max_new_tokens=24) for prompt in PROMPTS}
    stop = tuple(sorted({text.strip()[3:5] for text in whole.values() if "�" not in text.strip()[3:5]}))
    assert len(stop) >= 3
    found = answers(opened(16), [text_request(prompt, stop=stop, max_new_tokens=24) for prompt in PROMPTS])
    stopped = 0
    for prompt, text in whole.items():
        first = len(text) - len(text.lstrip()) + 1
        cuts = [index for each in stop if (index := text.find(each, first)) >= 0]
        response = found[prompt]
        assert response.text == text[: min(cuts, default=len(text))]
        assert response.finish is (Finish.STOP if cuts else Finish.LENGTH)
        # A row that ends early has few tokens: it does not go on with the others.
        assert response.tokens is not None
        assert (response.tokens < 24) or not cuts or min(cuts) > 6
        stopped += bool(cuts)
    assert stopped >= 3


@pytest.mark.parametrize("pad", ["<pad>", "</s>"])
def test_the_end_token_ends_an_answer_and_is_not_counted(
    tiny_llama: Path, tmp_path: Path, text_request: MakeRequest, pad: str
) -> None:
    """The fourth token of one answer is made the end token: other rows go on, padded or not."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_llama)
    model = AutoModelForCausalLM.from_pretrained(tiny_llama)
    ids = tokenizer(PROMPTS[0], return_tensors="pt").input_ids
    plain = GenerationConfig(do_sample=False, max_new_tokens=8, pad_token_id=0, eos_token_id=None)
    model.generation_config = plain
    out = model.generate(ids, attention_mask=torch.ones_like(ids))[0, ids.shape[1] :].tolist()
    end = next(token for token in out[2:] if token not in out[:2])
    length = out.index(end)
    model.generation_config = GenerationConfig(eos_token_id=[end])
    model.save_pretrained(tmp_path)
    tokenizer.pad_token = pad
    tokenizer.save_pretrained(tmp_path)
    opened = MODELS.get("hf")(str(tmp_path), ModelOptions(batch_size=8))
    found = answers(opened, [text_request(prompt, max_new_tokens=8) for prompt in PROMPTS[:6]])
    assert found[PROMPTS[0]].finish is Finish.EOS
    assert found[PROMPTS[0]].tokens == length
    assert found[PROMPTS[0]].text == tokenizer.decode(out[:length], skip_special_tokens=True)
    assert {response.finish for response in found.values()} == {Finish.EOS, Finish.LENGTH}


def test_limits_and_stops_may_differ_between_requests(
    opened: Callable[[int], Model], tiny_llama: Path, text_request: MakeRequest
) -> None:
    lengths = (3, 9, 3, 14)
    requests = [
        text_request(prompt, max_new_tokens=length) for prompt, length in zip(PROMPTS[:4], lengths, strict=True)
    ]
    found = answers(opened(16), requests)
    for prompt, length in zip(PROMPTS[:4], lengths, strict=True):
        assert found[prompt].text == one_by_one(tiny_llama, prompt, max_new_tokens=length)
        assert (found[prompt].tokens, found[prompt].finish) == (length, Finish.LENGTH)


def test_a_chat_is_rendered_with_the_template(
    opened: Callable[[int], Model], tiny_llama: Path, text_request: MakeRequest
) -> None:
    request = text_request("The fox", form=Form.CHAT)
    [response] = opened(1).answer([request])
    text = "<|user|>The fox</s><|assistant|>"
    assert response.text == one_by_one(tiny_llama, text, max_new_tokens=12, special=False)
    assert opened(1).count_tokens([request]) == [response.prompt_tokens]


def hook(
    model: Any,  # noqa: ANN401 - looks inside
    before: Callable[[torch.Tensor], None],
) -> None:
    """Call `before` with the input of every forward pass of the loaded model, which is real."""
    model.loaded = part("checkpoint.loading").load(model.description, model.options)
    model.loaded.model.get_input_embeddings().register_forward_pre_hook(lambda _module, args: before(args[0]))


@pytest.mark.parametrize("engine", ["static"], indirect=True)
def test_a_batch_too_large_for_the_memory_is_halved_and_nothing_is_lost(
    opened: Callable[[int], Model], tiny_llama: Path, text_request: MakeRequest
) -> None:
    sizes: list[int] = []

    def full_beyond_two(input_ids: torch.Tensor) -> None:
        sizes.append(len(input_ids))
        if len(input_ids) > 2:
            raise torch.OutOfMemoryError("the memory holds two rows")

    requests = [text_request(prompt) for prompt in PROMPTS]
    expected = {key: response.text for key, response in answers(opened(8), requests).items()}
    model: Any = opened(8)
    model.batches_tried = True  # its trial asks for batches of its own
    hook(model, full_beyond_two)
    assert {key: response.text for key, response in answers(model, requests).items()} == expected
    assert model.limits["static"].rows == 2
    assert [size for size in sizes if size > 2] == [8, 4, 4]


def test_a_row_that_no_memory_holds_fails_alone(opened: Callable[[int], Model], text_request: MakeRequest) -> None:
    def full_for_long(input_ids: torch.Tensor) -> None:
        if input_ids.shape[1] > 20:
            raise torch.OutOfMemoryError("too long")

    model: Any = opened(4)
    hook(model, full_for_long)
    found = answers(model, [text_request(prompt) for prompt in PROMPTS])
    [bad] = [response for response in found.values() if response.failure is not None]
    assert (bad.key, bad.text, bad.tokens) == (PROMPTS[3], None, None)
    assert bad.failure is not None
    assert bad.failure.kind == "OutOfMemoryError"


def test_an_error_of_the_model_is_the_failure_of_the_row_that_causes_it(
    opened: Callable[[int], Model], text_request: MakeRequest
) -> None:
    def refuse_newlines(input_ids: torch.Tensor) -> None:
        if (input_ids == newline).any():
            raise IndexError("index out of range in self")

    model: Any = opened(8)
    [newline] = set(model.description.tokenizer.encode("\n"))
    hook(model, refuse_newlines)
    found = answers(model, [text_request(prompt, max_new_tokens=1) for prompt in PROMPTS])
    failures = {key: response.failure for key, response in found.items() if response.failure}
    assert list(failures) == ["\n\nfox"]
    assert (failures["\n\nfox"].kind, failures["\n\nfox"].message) == ("IndexError", "index out of range in self")


def test_a_signal_during_the_model_call_is_not_taken_for_a_failure(
    opened: Callable[[int], Model], text_request: MakeRequest
) -> None:
    def interrupt(_input_ids: torch.Tensor) -> None:
        raise Interrupted(15)

    model: Any = opened(8)
    hook(model, interrupt)
    with pytest.raises(Interrupted):
        list(model.answer([text_request("a")]))


@pytest.mark.parametrize("engine", ["static"], indirect=True)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_scores_that_are_not_finite_fail_their_row_only(
    opened: Callable[[int], Model], text_request: MakeRequest, value: float
) -> None:
    model: Any = opened(16)
    requests = [text_request(prompt, max_new_tokens=4) for prompt in PROMPTS]
    expected = {key: response.text for key, response in answers(model, requests).items()}
    model.close()
    lengths = model.count_tokens(requests)
    row = sorted(lengths, reverse=True).index(lengths[3])
    hook(model, lambda _ids: None)
    model.loaded.model.lm_head.register_forward_hook(
        lambda _module, _args, out: out.index_fill(0, torch.tensor([row]), value) if len(out) > 1 else out
    )
    found = answers(model, requests)
    [bad] = [response for response in found.values() if response.failure is not None]
    assert bad.key == PROMPTS[3]
    assert bad.failure is not None
    assert bad.failure.kind == "non-finite logits"
    good = {key: response.text for key, response in found.items() if key != bad.key}
    assert good == {key: text for key, text in expected.items() if key != bad.key}


def test_a_prompt_that_fills_the_context_window_fails(
    opened: Callable[[int], Model], text_request: MakeRequest
) -> None:
    model = opened(4)
    assert model.spec.context_length == 256
    found = answers(model, [text_request("word " * 300), text_request("fox")])
    failure = found["word " * 300].failure
    assert failure is not None
    assert failure.kind == "context overflow"
    assert found["fox"].text is not None


@pytest.mark.parametrize("engine", ["static"], indirect=True)
def test_batches_come_longest_first_as_they_are_done(opened: Callable[[int], Model], text_request: MakeRequest) -> None:
    model = opened(2)
    requests = [text_request(prompt, max_new_tokens=2) for prompt in PROMPTS]
    counts = model.count_tokens(requests)
    assert counts is not None
    stream = model.answer(requests)
    assert next(stream).key == PROMPTS[counts.index(max(counts))]
    order = [response.prompt_tokens for response in model.answer(requests)]
    assert order == sorted(counts, reverse=True)


@pytest.mark.parametrize("engine", ["static"], indirect=True)
def test_padded_tokens_bound_a_batch(
    opened: Callable[[int], Model], text_request: MakeRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(part("static.generation"), "MAX_PADDED_TOKENS", 100)
    shapes: set[tuple[int, ...]] = set()
    model: Any = opened(16)
    hook(model, lambda ids: shapes.add(tuple(ids.shape)))
    answers(model, [text_request(prompt, max_new_tokens=1) for prompt in PROMPTS])
    assert max(rows * width for rows, width in shapes) <= 100
    assert max(rows for rows, _ in shapes) > 1


def test_half_precision_answers_every_request(tiny_llama: Path, text_request: MakeRequest) -> None:
    model = MODELS.get("hf")(str(tiny_llama), ModelOptions(dtype="bfloat16", device="cpu"))
    assert model.spec.dtype == "bfloat16"
    found = answers(model, [text_request(prompt) for prompt in PROMPTS])
    assert all(response.text is not None for response in found.values())


def test_a_closed_model_answers_again(opened: Callable[[int], Model], text_request: MakeRequest) -> None:
    model: Any = opened(4)
    request = text_request("The fox")
    first = answers(model, [request])
    model.close()
    model.close()
    assert model.loaded is None
    assert answers(model, [request]) == first
    assert list(model.answer([])) == []


@pytest.mark.parametrize(
    ("text", "stop", "expected"),
    [
        ("Paris\nQuestion", ("\n",), 5),
        ("\nParis\nQuestion", ("\n",), 6),
        (" \n\t Paris", ("\n",), None),
        ("", ("\n",), None),
        ("\n\n", ("\n",), None),
        ("a###b\nc", ("\n", "###"), 1),
        ("### a ### b", ("###",), 6),
        ("\u3000北京\n", ("\n",), 3),
        ("Paris", (), None),
        ("Paris", ("",), None),
    ],
)
def test_a_stop_string_counts_after_the_first_character(text: str, stop: tuple[str, ...], expected: int | None) -> None:
    assert find_stop(text, stop) == expected
