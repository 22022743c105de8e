"""lm-eval's backends as models: the answers of its HFLM, matched by what was asked, with every fault a value."""

import importlib
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from xlingual.errors import ModelError, UsageError
from xlingual.plugin import Model, ModelOptions
from xlingual.records import Choice, Form, Message, Request, Response, Role
from xlingual.registry import MODELS
from xlingual.sampling import Sampling
from xlingual.selection import open_model
from xlingual.thinking import ThinkingMarkers, ThinkingMode

from ..fault_server import Asked, Reply, answer, error, serve

pytest.importorskip("lm_eval", reason="needs the extra `lm-eval`")

TEXTS = ("The quick brown fox", "中国的首都是北京。", "Αθήνα", "a", "fox fox fox", "Where is it?", "  spaces before")


def part(name: str) -> ModuleType:
    """Return a module of the plugin, which is none of the public names."""
    return importlib.import_module(f"xlingual.plugins.models.lm_eval.{name}")


def make(text: str, *, form: Form = Form.TEXT, stop: tuple[str, ...] = (), choices: Sequence[Choice] = ()) -> Request:
    messages = (Message(role=Role.USER, text=text),) if text else ()
    most = 0 if choices else 12
    key = repr((text, form, stop, choices))
    return Request(
        key=key, form=form, messages=messages, stop=stop, max_new_tokens=most, choices=tuple(choices) or None
    )


CHOICES = (Choice(text=" there"), Choice(text="nowhere at all"), Choice(text=" x", before=" then"))


@pytest.fixture(scope="module")
def theirs(greedy_llama: Path) -> Model:
    return open_model(f"lm-eval:hf,pretrained={greedy_llama},device=cpu,dtype=float32,batch_size=3", ModelOptions())


@pytest.fixture(scope="module")
def ours(greedy_llama: Path) -> Model:
    return MODELS.get("hf")(str(greedy_llama), ModelOptions(device="cpu"))


def answers(model: Model, requests: Sequence[Request]) -> dict[str, Response]:
    found = list(model.answer(requests))
    assert sorted(each.key for each in found) == sorted(each.key for each in requests)
    return {each.key: each for each in found}


def test_texts_are_those_of_the_hf_backend(ours: Model, theirs: Model) -> None:
    requests = [make(text, form=form, stop=stop) for text in TEXTS for form in Form for stop in ((), ("e", "\n"))]
    expected = answers(ours, requests)
    for seed in range(2):
        found = answers(theirs, random.Random(seed).sample(requests, len(requests)))
        for request in requests:
            assert found[request.key].failure is None
            assert found[request.key].text == expected[request.key].text
            assert found[request.key].finish in (None, expected[request.key].finish)


def test_likelihoods_are_those_of_the_hf_backend(ours: Model, theirs: Model) -> None:
    requests = [make(text, form=form, choices=CHOICES) for text in TEXTS for form in Form]
    requests += [make("", choices=[Choice(text=TEXTS[0] * 3)]), make("", choices=[Choice(text=TEXTS[1] * 30)])]
    expected, found = answers(ours, requests), answers(theirs, requests)
    for request in requests:
        pairs = zip(expected[request.key].likelihoods or (), found[request.key].likelihoods or (), strict=True)
        for our, their in pairs:
            assert their.logarithm == pytest.approx(our.logarithm, abs=1e-4, rel=1e-6)
            assert their.is_greedy in ((our.is_greedy,) if request.messages else (None,))


def test_keys_are_never_kept(tiny_llama: Path) -> None:
    word = (
        "lm-eval:local-completions,model=m,base_url=http://me:canary1@127.0.0.1:9/v1,api_key=canary2,hf_token=canary3"
    )
    model = MODELS.get("lm_eval")(word.partition(":")[2], ModelOptions())
    assert "canary" not in repr(model.spec)
    assert model.spec.word.startswith("lm-eval:local-completions,api_key=***,")
    other = MODELS.get("lm_eval")(word.partition(":")[2].replace("canary2", "another"), ModelOptions())
    assert other.spec == model.spec
    assert "add_bos_token=True" in MODELS.get("lm_eval")("hf,pretrained=x,add_bos_token=True", ModelOptions()).spec.word


def test_what_changes_an_answer_changes_the_fingerprint(tiny_llama: Path, tmp_path: Path) -> None:
    def fingerprint(rest: str, options: ModelOptions | None = None) -> str:
        return MODELS.get("lm_eval")(f"hf,{rest}", options or ModelOptions()).spec.fingerprint

    first = fingerprint("pretrained=a/b")
    assert first == fingerprint("pretrained=a/b,batch_size=4,device=cpu")
    assert first != fingerprint("pretrained=a/c")
    assert (
        first
        != fingerprint("pretrained=a/b,dtype=float16")
        == fingerprint("pretrained=a/b", ModelOptions(dtype="float16"))
    )
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
    same = [fingerprint(f"pretrained={tmp_path / name}") for name in ("one", "two")]
    (tmp_path / "two" / "config.json").write_text("{ }")
    assert same[0] == same[1] != fingerprint(f"pretrained={tmp_path / 'two'}")


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("hff,pretrained=x", "no backend 'hff'"),
        ("", "no backend ''"),
        ("hf,pretrained", "'pretrained' is no key=value"),
    ],
)
def test_wrong_arguments_are_named(word: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        MODELS.get("lm_eval")(word, ModelOptions())


def test_a_model_that_cannot_be_loaded_is_an_error(tmp_path: Path) -> None:
    model = MODELS.get("lm_eval")(f"hf,pretrained={tmp_path},hf_token=canary,no_such=1", ModelOptions())
    with pytest.raises(ModelError, match="lm-eval cannot make the model") as caught:
        list(model.answer([make("a")]))
    assert "canary" not in str(caught.value)
    assert "\n" not in str(caught.value)


class Backend:
    """A backend of lm-eval whose answers repeat what was asked; it raises where `breaks` says so."""

    def __init__(self, breaks: Callable[[list[str]], bool], *, calls_hook: bool) -> None:
        self.breaks, self.calls_hook, self.sizes = breaks, calls_hook, list[int]()
        self.hook: Any = None

    def set_cache_hook(self, hook: Any) -> None:  # noqa: ANN401 - the protocol of lm-eval
        self.hook = hook

    def apply_chat_template(self, chat_history: list[dict[str, str]]) -> object:
        if "bad" in chat_history[0]["content"]:
            raise ValueError("no such role")
        return SimpleNamespace(chat=chat_history)

    def generate_until(self, requests: Sequence[Any]) -> list[str]:
        contexts = [str(request.args[0]) for request in requests]
        self.sizes.append(len(contexts))
        found = []
        for request, context in zip(requests, contexts, strict=True):
            if self.breaks([context]):
                raise RuntimeError(f"broke at {context}")
            text = f"\n{context}! and more"
            for stop in request.args[1]["until"]:
                text = text.partition(stop)[0]
            request.args[1]["until"].append("</s>")  # lm-eval's own backends do so
            found.append(text)
            if self.calls_hook:
                self.hook.add_partial("generate_until", request.args, text)
        return found if not self.breaks(contexts) else found[:-1]

    def loglikelihood(self, requests: Sequence[Any]) -> list[Any]:
        return [(float("nan") if "bad" in str(each.args[0]) else -1, True) for each in requests]

    def loglikelihood_rolling(self, requests: Sequence[Any]) -> list[Any]:
        return [-float(len(each.args[0])) for each in requests]


@pytest.mark.parametrize("calls_hook", [True, False])
def test_a_call_that_fails_fails_one_sample(calls_hook: bool) -> None:
    backend = Backend(lambda texts: texts == ["text 5"], calls_hook=calls_hook)
    requests = [make(f"text {number}", stop=("!",)) for number in range(16)]
    found = {each.key: each for each in part("asking").ask(backend, requests, max_requests=8)}
    assert len(found) == 16
    bad = found[requests[5].key].failure
    assert bad is not None
    assert (bad.kind, bad.message) == ("RuntimeError", "broke at text 5")
    for number in (*range(5), *range(6, 16)):
        assert found[requests[number].key].text == f"\ntext {number}"
    # What the hook was called with before the error is not asked again.
    assert backend.sizes == ([8, 8, 2, 1, 1, 3] if calls_hook else [8, 8, 4, 2, 2, 1, 1, 4])


def test_with_a_wrong_count_of_answers_every_sample_fails() -> None:
    backend = Backend(lambda texts: len(texts) > 2, calls_hook=False)
    requests = [make(f"text {number}", stop=("!",)) for number in range(7)]
    found = {each.key: each for each in part("asking").ask(backend, requests, max_requests=None)}
    assert {each.text for each in found.values()} == {f"\ntext {number}" for number in range(7)}


def test_an_answer_that_opens_with_a_newline_is_asked_again_without_stops() -> None:
    backend = Backend(lambda _texts: False, calls_hook=True)
    [response] = part("asking").ask(backend, [make("text", stop=("\n", " and"))], max_requests=8)
    assert response.text == "\ntext!"
    assert backend.sizes == [1, 1]


def test_other_faults_are_values() -> None:
    backend = Backend(lambda _texts: False, calls_hook=False)
    asked = [
        make("bad", form=Form.CHAT), make("good", form=Form.CHAT, choices=CHOICES), make("bad", choices=CHOICES),
        make("good", choices=CHOICES), make("", choices=[Choice(text="whole")]),
    ]  # fmt: skip
    found = {each.key: each for each in part("asking").ask(backend, asked, max_requests=8)}
    kinds = [failure.kind if (failure := found[each.key].failure) else None for each in asked]
    assert kinds == ["chat template", "no likelihoods", "no likelihood", None, None]
    good, whole = (
        [(type(each.logarithm), each.logarithm, each.is_greedy) for each in found[request.key].likelihoods or ()]
        for request in asked[3:]
    )
    assert good == [(float, -1.0, True)] * 3
    assert whole == [(float, -5.0, None)]


DRAWN = Sampling(temperature=0.8, top_k=20, top_p=0.9, seed=5)


def test_the_settings_are_greedy_or_as_the_request_says(theirs: Model) -> None:
    asking = part("asking")
    backend = Backend(lambda _texts: False, calls_hook=True)
    assert asking._arguments(backend, "generate_until", asking.Settings(5, ("", "x"), None)) == (
        {"until": ["x"], "max_gen_toks": 5, "do_sample": False, "temperature": 0.0},
    )
    sampled = {"do_sample": True, "temperature": 0.8, "top_k": 20, "top_p": 0.9}
    settings = asking.Settings(5, (), DRAWN)
    [given] = asking._arguments(backend, "generate_until", settings)
    assert given == {"until": [], "max_gen_toks": 5, **sampled, "seed": 5}
    [given] = asking._arguments(SimpleNamespace(backend="causal"), "generate_until", settings)
    assert given == {"until": [], "max_gen_toks": 5, **sampled}
    assert asking._arguments(backend, "loglikelihood", settings) == ()
    assert replace(theirs.spec, word="").template == "raw"


def test_a_drawn_answer_depends_on_its_seed_alone(theirs: Model) -> None:
    requests = [
        replace(make(f"{text} {seed}"), messages=make(text).messages, sampling=replace(DRAWN, seed=seed))
        for text in TEXTS[:3]
        for seed in (1, 2)
    ]
    found = answers(theirs, requests)
    again = answers(theirs, requests[::-1])
    assert {key: each.text for key, each in found.items()} == {key: each.text for key, each in again.items()}
    assert len({each.text for each in found.values()}) > 3
    assert answers(theirs, requests[3:4])[requests[3].key].text == found[requests[3].key].text


def test_thinking_is_switched_in_the_chat_template() -> None:
    class Switched(Backend):
        chat_template_args: dict[str, object] = {"date": "today"}  # noqa: RUF012 - as HFLM has it

        def apply_chat_template(self, chat_history: list[dict[str, str]]) -> object:
            return f"{sorted(self.chat_template_args.items())}"

    backend = Switched(lambda _texts: False, calls_hook=True)
    asked = [
        replace(make(f"x {mode}", form=Form.CHAT), thinking=mode) for mode in (None, ThinkingMode.ON, ThinkingMode.OFF)
    ]
    found = {each.key: each.text for each in part("asking").ask(backend, asked, max_requests=8)}
    assert [str(found[each.key]).strip().split("!")[0] for each in asked] == [
        "[('date', 'today')]",
        "[('date', 'today'), ('enable_thinking', True)]",
        "[('date', 'today'), ('enable_thinking', False)]",
    ]
    plain = Backend(lambda _texts: False, calls_hook=True)
    [response] = part("asking").ask(plain, asked[1:2], max_requests=8)
    assert response.failure is not None
    assert "cannot be switched" in response.failure.message


def test_a_limit_of_thinking_is_refused(theirs: Model) -> None:
    with pytest.raises(UsageError, match="cannot limit the thinking"):
        list(theirs.answer([replace(make("x"), max_thinking_tokens=5)]))


def test_a_server_behind_lm_eval_answers_and_fails_by_the_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chat server through lm-eval's own client: texts as they are, and a 500 that costs one sample."""
    pytest.importorskip("tenacity", reason="needs what lm-eval[api] installs")
    monkeypatch.setenv("OPENAI_API_KEY", "canary")

    def script(asked: Asked) -> Reply:
        return error(500) if "bad" in asked.prompt else answer(f"it is {asked.prompt}")

    with serve(script) as server:
        word = f"local-chat-completions,model=m,base_url={server.url}/chat/completions,max_retries=1,num_concurrent=1"
        model = MODELS.get("lm_eval")(word, ModelOptions())
        assert model.spec.template == "chat"
        requests = [make(text, form=Form.CHAT) for text in (*TEXTS, "bad")]
        found = answers(model, requests)
        scored = answers(model, [make("x", form=Form.CHAT, choices=CHOICES)])
    assert [found[each.key].text for each in requests[:-1]] == [f"it is {text}" for text in TEXTS]
    failure = found[requests[-1].key].failure
    assert failure is not None
    assert "canary" not in failure.message
    assert all(asked.body["max_tokens"] == 12 and asked.body["temperature"] == 0 for asked in server.asked)
    assert [each.failure.kind for each in scored.values() if each.failure] == ["no likelihoods"]


@pytest.mark.parametrize(("has_gpu", "expected"), [(False, "cpu"), (True, None)])
def test_without_a_gpu_the_device_is_the_cpu(
    has_gpu: bool, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """lm-eval's own default is "cuda" wherever it runs; with a GPU it stays, and what is typed goes before it."""
    seen: list[dict[str, object]] = []

    class Local:
        def __init__(self, pretrained: str, device: str = "cuda") -> None: ...

        @classmethod
        def create_from_arg_obj(cls, given: dict[str, object]) -> object:
            seen.append(given)
            return object()

    registry = importlib.import_module("lm_eval.api.registry")
    monkeypatch.setattr(registry, "get_model", lambda _name: Local)
    monkeypatch.setattr("torch.cuda.is_available", lambda: has_gpu)
    for word in ("hf,pretrained=x", "hf,pretrained=x,device=cuda:1"):
        part("loading").load(part("arguments").read_arguments(word, ModelOptions()))
    assert [each.get("device") for each in seen] == [expected, "cuda:1"]


def test_a_folder_needs_no_device(greedy_llama: Path) -> None:
    model = open_model(f"lm-eval:hf,pretrained={greedy_llama},dtype=float32", ModelOptions())
    assert [each.failure for each in model.answer([make("a")])] == [None]


@pytest.mark.parametrize(
    ("word", "options", "message"),
    [
        ("local-completions,model=m", ModelOptions(device="cpu"), "takes no --device"),
        ("dummy", ModelOptions(dtype="float32"), "takes no --dtype"),
        ("hf,pretrained=x", ModelOptions(device="cuda:0,cuda:1"), "take one device"),
        ("hf,pretrained=x", ModelOptions(concurrency=2), "takes no --concurrency"),
        ("hf,pretrained=x", ModelOptions(engine="packed"), "no use for --engine"),
        ("hf,pretrained=x", ModelOptions(headers=("a: b",)), "no use for --header"),
    ],
)
def test_options_that_a_backend_does_not_take_are_refused(word: str, options: ModelOptions, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        MODELS.get("lm_eval")(word, options)


def test_the_end_of_thinking_is_known_to_the_score() -> None:
    for end, start in (("</think>", "<think>"), ("[/THINK]", "[THINK]"), ("</my>", "<my>")):
        spec = MODELS.get("lm_eval")("hf,pretrained=x", ModelOptions(thinking_end=end)).spec
        assert spec.thinking == ThinkingMarkers(start=start, end=end)
    unsaid, known, own = (
        open_model("lm-eval:hf,pretrained=x", ModelOptions(thinking_end=end)).spec
        for end in (None, "</think>", "</my>")
    )
    assert unsaid.thinking is None
    assert unsaid.fingerprint == known.fingerprint != own.fingerprint, "what is scored otherwise is another model"


def test_options_that_a_backend_takes_are_its_arguments() -> None:
    word = "local-completions,model=m"
    assert part("arguments").read_arguments("dummy", ModelOptions(batch_size=2)).named == {}
    assert part("arguments").read_arguments("hf", ModelOptions(batch_size=2)).named == {"batch_size": 2}
    found = part("arguments").read_arguments(word, ModelOptions(concurrency=3, timeout=5.0, max_model_len=64)).named
    assert found == {"model": "m", "num_concurrent": 3, "timeout": 5.0, "max_length": 64}
