"""The contract of `Model`, tested with every backend; a new one has to join the table below."""

import json
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from xlingual.errors import ModelError
from xlingual.plugin import ExampleAware, Model, ModelOptions
from xlingual.records import Choice, Example, Finish, Form, Message, Request, Response, Role
from xlingual.registry import MODELS

from .fault_server import serve
from .served.fake_environment import make_environment
from .well_behaved import served_tokens, well_behaved

TEXTS = (
    "The quick brown fox", "中国的首都是北京。", "القاهرة عاصمة مصر", "Αθήνα \u2028 é é", "👩‍👩‍👧 and 😀",
    "a", "fox fox fox", "  spaces before", "\n\nnewlines before", "Where is it?",
)  # fmt: skip
LONGEST = 24
"""Tokens of the answers that are not cut."""
NOT_HERE = {
    "majority": "says one and the same to all: test_examples.py",
    "lm_eval": "says neither tokens nor endings: test_lm_eval.py",
    "smollm2": "the hf adapter under another name, with a model of a hundred megabytes",
    "sglang": "the vllm adapter with another command line",
    "serve": "the vllm adapter with another command line",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A backend with a model, and requests of each sort that the contract is about."""

    model: Model
    requests: tuple[Request, ...]
    bad: Request
    """Gets a failure."""
    silent: tuple[Model, Request]
    """Gets an empty answer."""
    exact: Callable[[Request], str] | None
    """What the model says where that is known, None where only the model knows."""
    generates: bool
    """Whether it makes its answers of tokens, and so ends them at stop strings and limits."""
    scores_choices: bool
    """Whether it gives the log-likelihood of a given text."""


def make_request(text: str, form: Form = Form.TEXT, *, most: int = LONGEST) -> Request:
    message = Message(role=Role.USER, text=text)
    return Request(key=f"{form}: {text}", form=form, messages=(message,), stop=(), max_new_tokens=most)


@contextmanager
def open_hf(folder: Path) -> Iterator[Subject]:
    """A random Llama of one layer; its silent twin ends answers with the very token that it begins them with."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trained.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<s>", "</s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )  # fmt: skip
    trained.train_from_iterator(TEXTS, trainer)
    template = "{% for message in messages %}{{ message['content'] }}\n{% endfor %}"
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=trained, bos_token="<s>", eos_token="</s>", chat_template=template
    )
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=128, initializer_range=0.7, bos_token_id=0, eos_token_id=1,
    )  # fmt: skip
    model = LlamaForCausalLM(config).eval()
    silent = make_request("Where is it?")
    ids = tokenizer(["Where is it?"], return_tensors="pt").input_ids
    first = int(model(ids).logits[0, -1].argmax())
    for name, end in (("plain", 1), ("silent", first)):
        model.generation_config = GenerationConfig(eos_token_id=end)
        model.save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
    options = ModelOptions(device="cpu", dtype="float32", batch_size=4)
    yield Subject(
        model=MODELS.get("hf")(str(folder / "plain"), options),
        requests=tuple(make_request(text, form) for text in TEXTS for form in Form),
        bad=make_request("far too long " * 200),
        silent=(MODELS.get("hf")(str(folder / "silent"), options), silent),
        exact=None,
        generates=True,
        scores_choices=True,
    )


@contextmanager
def open_openai(folder: Path) -> Iterator[Subject]:
    pytest.importorskip("openai", reason="needs the extra `openai`")
    with serve(well_behaved) as server:
        model = MODELS.get("openai")(f"m@{server.url}", ModelOptions(offline=True))
        yield Subject(
            model=model,
            requests=tuple(make_request(text, form) for text in TEXTS for form in Form),
            bad=make_request("bad"),
            silent=(model, make_request("silent", Form.CHAT)),
            exact=lambda request: "".join(served_tokens(request.messages[0].text)[:LONGEST]),
            generates=True,
            scores_choices=True,
        )


def make_example(text: str) -> Example:
    fields = {"source": text}
    return Example(id=text, language="en", group="g", cluster="c", fields=fields, targets=(text,))


def example_model(word: str, name: str = "") -> Subject:
    model = MODELS.get(word)(name, ModelOptions())
    requests = tuple(make_request(text) for text in TEXTS)
    silent = make_request("")
    if isinstance(model, ExampleAware):
        model.see({request.key: make_example(request.messages[0].text) for request in (*requests, silent)})
    return Subject(
        model=model,
        requests=requests,
        bad=make_request("never seen"),
        silent=(model, silent),
        exact=lambda request: request.messages[0].text,
        generates=False,
        scores_choices=True,
    )


@contextmanager
def open_scripted(folder: Path) -> Iterator[Subject]:
    path = folder / "script.jsonl"
    lines = [json.dumps({"id": text, "prediction": text}) for text in (*TEXTS, "")]
    path.write_text("\n".join(lines), encoding="utf-8")
    yield example_model("scripted", str(path))


@contextmanager
def open_echo(folder: Path) -> Iterator[Subject]:
    yield example_model("echo")


@contextmanager
def open_oracle(folder: Path) -> Iterator[Subject]:
    yield example_model("oracle")


@contextmanager
def open_passage(folder: Path) -> Iterator[Subject]:
    yield example_model("passage")


@contextmanager
def open_ray(folder: Path) -> Iterator[Subject]:
    """The model of `open_openai`, asked by two workers."""
    pytest.importorskip("ray", reason="needs the extra `ray`")
    with open_openai(folder) as plain:
        word = plain.model.spec.word
        model = MODELS.get("ray")(f"2:{word}", ModelOptions(offline=True))
        yield replace(plain, model=model, silent=(model, plain.silent[1]))
        model.close()


@contextmanager
def open_vllm(folder: Path) -> Iterator[Subject]:
    """A server process of its own, which answers as the loopback server does and reads tokens as the hf model."""
    pytest.importorskip("openai", reason="needs the extra `openai`")
    with open_hf(folder) as plain, pytest.MonkeyPatch.context() as patch:
        patch.setenv("FAKE_VLLM_NOTES", str(folder))
        options = ModelOptions(dtype="float32", server_python=str(make_environment(folder / "made")))
        model = MODELS.get("vllm")(str(folder / "plain"), options)
        yield replace(
            plain,
            model=model,
            silent=(model, make_request("silent")),
            exact=lambda request: "".join(served_tokens(request.messages[0].text)[:LONGEST]),
            scores_choices=False,
        )
        model.close()


BACKENDS = {
    "echo": open_echo, "hf": open_hf, "openai": open_openai, "oracle": open_oracle, "passage": open_passage,
    "ray": open_ray, "scripted": open_scripted, "vllm": open_vllm,
}  # fmt: skip


@pytest.fixture(scope="module", params=sorted(BACKENDS))
def subject(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "XLINGUAL_PLUGINS"):
                patch.delenv(name, raising=False)
            opened = stack.enter_context(BACKENDS[request.param](tmp_path_factory.mktemp(request.param)))
        yield opened


def answers(model: Model, requests: Sequence[Request]) -> dict[str, Response]:
    """Ask, and check what holds of every response: each key once, a text or a failure, counts that make sense."""
    found = list(model.answer(requests))
    assert sorted(each.key for each in found) == sorted(each.key for each in requests)
    for each in found:
        assert sum(part is not None for part in (each.text, each.likelihoods, each.failure)) == 1
        assert each.failure is None or each.failure.kind
        assert each.tokens is None or each.tokens >= 0
        assert each.text is None or each.text == each.text.encode("utf-8").decode("utf-8")
    return {each.key: each for each in found}


def generated(subject: Subject) -> dict[str, Response]:
    if not subject.generates:
        pytest.skip("does not generate: its answers are what the example says, whatever the request")
    return answers(subject.model, subject.requests)


def test_every_backend_is_tested(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XLINGUAL_PLUGINS", raising=False)
    assert set(MODELS.names()) == set(BACKENDS) | set(NOT_HERE)


def test_answers_do_not_depend_on_the_other_requests_or_their_order(subject: Subject) -> None:
    expected = answers(subject.model, subject.requests)
    assert all(each.failure is None for each in expected.values())
    for seed in range(2):
        shuffled = list(subject.requests)
        random.Random(seed).shuffle(shuffled)
        assert answers(subject.model, shuffled) == expected
    for request in subject.requests[:3]:
        assert answers(subject.model, [request]) == {request.key: expected[request.key]}


def test_texts_come_back_as_they_are(subject: Subject) -> None:
    found = answers(subject.model, subject.requests)
    assert len({each.text for each in found.values()}) > len(TEXTS) // 2
    for request in subject.requests:
        if subject.exact is not None:
            assert found[request.key].text == subject.exact(request)


def test_an_empty_answer_is_an_answer(subject: Subject) -> None:
    model, request = subject.silent
    [response] = answers(model, [request]).values()
    assert response.text == ""
    assert response.failure is None
    assert response.finish is Finish.EOS
    assert not response.tokens


def test_an_error_is_a_failure_of_its_request_only(subject: Subject) -> None:
    expected = answers(subject.model, subject.requests)
    asked = [*subject.requests[:2], subject.bad, *subject.requests[2:]]
    for _ in range(2):  # a failure is asked again by the next sitting of a run
        found = answers(subject.model, asked)
        assert found.pop(subject.bad.key).failure is not None
        assert found == expected


def test_nothing_is_asked(subject: Subject) -> None:
    assert list(subject.model.answer([])) == []


def test_an_iterator_may_be_left_early(subject: Subject) -> None:
    expected = answers(subject.model, subject.requests)
    [first] = islice(subject.model.answer(subject.requests), 1)
    assert first == expected[first.key]
    assert answers(subject.model, subject.requests) == expected


def test_tokens_are_counted_for_each_request_or_not_at_all(subject: Subject) -> None:
    counts = subject.model.count_tokens(subject.requests)
    assert subject.model.count_tokens([]) in (None, [])
    if counts is not None:
        found = answers(subject.model, subject.requests)
        assert counts == [found[request.key].prompt_tokens for request in subject.requests]


def test_the_limit_is_honoured(subject: Subject) -> None:
    whole = generated(subject)
    found = answers(subject.model, [replace(request, max_new_tokens=3) for request in subject.requests])
    long = [key for key, each in whole.items() if (each.tokens or 0) > 3]
    assert len(long) > len(TEXTS) // 2
    for key in long:
        text, response = whole[key].text, found[key]
        assert response.finish is Finish.LENGTH
        assert response.tokens == 3
        # The last character may be cut through.
        assert text is not None
        assert text.startswith((response.text or "").rstrip("�"))


def expected_cut(text: str, stop: Sequence[str]) -> str:
    """The rule of `Request.stop`, character by character."""
    seen = False
    for index, character in enumerate(text):
        if seen and any(text.startswith(each, index) for each in stop):
            return text[:index]
        seen = seen or not character.isspace()
    return text


@pytest.mark.parametrize("which", ["first character", "third character", "newline", "first two", "many"])
def test_stop_strings_cut_after_the_first_character_that_is_no_space(subject: Subject, which: str) -> None:
    """So the answer that opens with a newline, or with the stop string itself, is not empty."""
    whole = generated(subject)
    asked, cuts = [], 0
    for request in subject.requests:
        text = whole[request.key].text or ""
        start = text.strip()
        stops = {
            "first character": (start[:1],), "third character": (start[2:3],), "newline": ("\n",),
            "first two": (start[:2],), "many": ("\n", "~1", "~2", "~3", "~4", start[1:2], start[3:5]),
        }  # fmt: skip
        stop = tuple(each for each in stops[which] if each and "�" not in each)
        asked.append(replace(request, stop=stop))
    found = answers(subject.model, asked)
    for request in asked:
        text = whole[request.key].text or ""
        expected = expected_cut(text, request.stop)
        assert found[request.key].text == expected, (text, request.stop)
        assert not text.strip() or expected.strip()
        if expected != text:
            cuts += 1
            assert found[request.key].finish is Finish.STOP
    assert cuts or which in ("newline", "first two")


def with_choices(request: Request) -> Request:
    """The same question with choices, the third of which says what the models of examples would."""
    texts = ("never said", " nor this", request.messages[0].text, "ﬁ 中")
    return replace(request, max_new_tokens=0, choices=tuple(Choice(text=text) for text in texts))


def test_choices_have_likelihoods_or_failures(subject: Subject) -> None:
    asked = [with_choices(request) for request in subject.requests]
    mixed = [part for pair in zip(asked[:2], subject.requests[2:4], strict=True) for part in pair]
    if not subject.scores_choices:
        with pytest.raises(ModelError, match="no log-likelihoods"):
            list(subject.model.answer(asked))
        return
    expected = answers(subject.model, asked)
    for request in asked:
        response = expected[request.key]
        assert response.likelihoods is not None
        assert request.choices is not None
        assert len(response.likelihoods) == len(request.choices)
        assert all(type(each.logarithm) is float and each.logarithm <= 0.0 for each in response.likelihoods)
        if not subject.generates:
            likeliest = max(response.likelihoods, key=lambda each: each.logarithm)
            assert request.choices[response.likelihoods.index(likeliest)].text == request.messages[0].text
    shuffled = random.Random(1).sample(asked, len(asked))
    for found in (answers(subject.model, shuffled), answers(subject.model, mixed)):
        for key in set(found) & set(expected):
            if any(key == request.key for request in mixed[1::2]):
                continue
            ours, theirs = found[key].likelihoods or (), expected[key].likelihoods or ()
            assert [each.logarithm for each in ours] == pytest.approx([each.logarithm for each in theirs], abs=1e-4)
            assert [each.is_greedy for each in ours] == [each.is_greedy for each in theirs]
    generated = answers(subject.model, mixed)
    assert all((generated[request.key].text is None) == (request.choices is not None) for request in mixed)
    counts = subject.model.count_tokens(mixed)
    if counts is not None:
        for count, request in zip(counts, mixed, strict=True):
            response = generated[request.key]
            assert response.prompt_tokens == (None if response.failure is not None else count)


def test_closing_twice_is_safe_and_the_model_can_be_asked_again(subject: Subject) -> None:
    subject.model.close()
    subject.model.close()
    if not isinstance(subject.model, ExampleAware):
        assert answers(subject.model, subject.requests[:2])
