"""What a server takes besides the words: learnt from its refusals, once for all requests, and recorded."""

import dataclasses
import importlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from xlingual.errors import UsageError
from xlingual.plugin import Model, ModelOptions, SupportsNotes
from xlingual.records import Form, Message, Request, Response, Role
from xlingual.registry import MODELS
from xlingual.sampling import Sampling
from xlingual.thinking import ThinkingMode

from ..fault_server import Asked, FaultServer, Reply, answer, document, error, serve

pytest.importorskip("openai", reason="needs the extra `openai`")
SAMPLING = Sampling(temperature=0.6, top_p=0.95, top_k=20, min_p=0.05, seed=7)


@pytest.fixture(autouse=True)
def no_openai_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def ask(text: str, **more: Any) -> Request:  # noqa: ANN401 - fields of Request
    message = Message(role=Role.USER, text=text)
    fields = {"form": Form.CHAT, "stop": (), "max_new_tokens": 12, **more}
    return Request(key=text, messages=(message,), **fields)


def opened(server: FaultServer, **options: Any) -> Model:  # noqa: ANN401 - fields of ModelOptions
    return MODELS.get("openai")(f"m@{server.url}", ModelOptions(**options))


def listed(program: str, **more: object) -> dict[str, Reply]:
    return {"/v1/models": document({"data": [{"id": "m", "owned_by": program, **more}]})}


def answers(model: Model, *requests: Request) -> tuple[dict[str, Response], list[str]]:
    notes: list[str] = []
    assert isinstance(model, SupportsNotes)
    model.on_note(notes.append)
    found = {each.key: each for each in model.answer(requests)}
    assert sorted(found) == sorted(each.key for each in requests)
    return found, notes


def pydantic(name: str) -> Reply:
    detail = [{"type": "extra_forbidden", "loc": ["body", name], "msg": "Extra inputs are not permitted", "input": 0}]
    return document({"detail": detail}, status=422)


def mistral(name: str) -> Reply:
    detail = [{"type": "extra_forbidden", "loc": ["body", name], "msg": "Extra inputs are not permitted"}]
    return document({"object": "error", "message": {"detail": detail}, "type": "invalid_request_error"}, status=422)


def openai(name: str) -> Reply:
    said = f"Unsupported value: '{name}' does not support 0 with this model. Only the default (1) value is supported."
    return document({"error": {"message": said, "param": name, "code": "unsupported_value"}}, status=400)


def said(text: str) -> Callable[[str], Reply]:
    return lambda name: error(400, text.replace("NAME", name))


WORDINGS: dict[str, Callable[[str], Reply]] = {
    "OpenAI": openai,
    "pydantic": pydantic,
    "Mistral": mistral,
    "a parameter": said("Unsupported parameter: 'NAME' is not supported with this model."),
    "an argument": said("Unrecognized request argument supplied: NAME"),
    "a field": said('Invalid JSON payload received. Unknown name "NAME": Cannot find field.'),
    "a property": said("property 'NAME' is unsupported"),
    "vLLM": lambda name: document(
        {"object": "error", "message": f"[{{'type': 'extra_forbidden', 'loc': ('body', '{name}')}}]", "code": 400},
        status=400,
    ),
    "inside 200": lambda name: document({"error": {"code": 400, "message": f"`{name}` is not supported"}}),
    "a code in capitals": lambda name: document({"error": {"message": "no", "param": name, "code": "X"}}, status=400),
}


@pytest.mark.parametrize("name", ["temperature", "stop", "seed", "top_p", "top_k", "min_p", "max_completion_tokens"])
@pytest.mark.parametrize("wording", WORDINGS)
def test_a_refused_parameter_is_left_out_after_one_refusal(wording: str, name: str) -> None:
    """P6."""

    def script(asked: Asked) -> Reply:
        return WORDINGS[wording](name) if name in asked.body else answer("a | b")

    requests = [ask(str(each), stop=("|",), sampling=SAMPLING) for each in range(12)]
    with serve(script) as server:
        model = opened(server)
        found, notes = answers(model, *requests)
    assert {each.text for each in found.values()} == {"a "}
    assert [name in asked.body for asked in server.asked].count(True) == 1
    assert len(server.asked) == 13
    others = {"temperature", "stop", "seed", "top_p", "top_k", "min_p"} - {name}
    assert all(others <= set(asked.body) for asked in server.asked)
    if name == "max_completion_tokens":
        assert (notes, model.spec.details) == ([], None)
        assert all(asked.body["max_tokens"] == 12 for asked in server.asked[1:])
        return
    expected = "not sent, answers are cut here" if name == "stop" else "the server's own"
    assert notes == [f"{name}: {expected}"]
    assert (model.spec.details or {})[name] == expected


def test_several_refused_one_after_the_other_and_later_ones_alone() -> None:
    """A parameter that only later requests have is tried by one of them, though many are in flight."""
    wrong = ("top_k", "stop", "temperature", "min_p")

    def script(asked: Asked) -> Reply:
        name = next((name for name in wrong if name in asked.body), None)
        return dataclasses.replace(answer("yes"), delay=0.01) if name is None else openai(name)

    plain = [ask(str(each)) for each in range(30)]
    later = [ask(str(each), stop=("#",), sampling=SAMPLING) for each in range(30, 60)]
    with serve(script) as server:
        found, notes = answers(opened(server), *plain, *later)
    assert {each.text for each in found.values()} == {"yes"}
    assert len(server.asked) == 64
    assert sorted(note.partition(":")[0] for note in notes) == sorted(wrong)


def test_the_question_of_one_token_learns_for_all() -> None:
    refuse = openai("temperature")
    tells = {"token": lambda asked: refuse if "temperature" in asked.body else document({"model": "own"})}
    with serve(lambda asked: refuse if "temperature" in asked.body else answer("yes"), tells=tells) as server:
        model = opened(server)
        assert (model.spec.details or {})["temperature"] == "the server's own"
        found, notes = answers(model, ask("a"), ask("b"))
        assert notes == ["the server calls the model 'own'", "temperature: the server's own"]
        assert [asked.body.get("temperature") for asked in server.asked] == [None, None]
    assert {each.text for each in found.values()} == {"yes"}


@pytest.mark.parametrize(
    ("text", "sent", "refused"),
    [
        ("the server must stop now; invalid request", ["stop", "temperature"], ()),
        ("messages: the seed of doubt is unsupported", ["seed"], ()),
        ("unknown parameter: stop", ["stop"], ("stop",)),
        ("max_tokens_per_doc is not supported", ["max_tokens"], ()),
        ("Unsupported: 'max_tokens'. Use 'max_completion_tokens'", ["max_tokens"], ("max_tokens",)),
        ("temperature of the room was fine", ["temperature"], ()),
        ("too long", ["temperature"], ()),
        ('{"error": {"param": "stop", "message": "no"}}', ["stop", "seed"], ("stop",)),
        ('{"detail": [{"loc": ["body", "top_k"], "msg": "no", "input": {"seed": 1}}]}', ["top_k", "seed"], ("top_k",)),
        ("[" * 5000, ["stop"], ()),
    ],
)
def test_which_parameter_a_refusal_names(text: str, sent: list[str], refused: tuple[str, ...]) -> None:
    assert part("refusals").refused_parameters(text, sent) == refused


def part(name: str) -> Any:  # noqa: ANN401 - a module of the plugin, which is none of the public names
    return importlib.import_module(f"xlingual.plugins.models.openai.{name}")


def test_sampling_goes_with_each_request_and_greedy_is_temperature_0() -> None:
    drawn = [dataclasses.replace(SAMPLING, seed=seed) for seed in (1, 2)]
    with serve(lambda _: answer("yes")) as server:
        requests = [ask("0"), ask("1", sampling=drawn[0]), ask("2", sampling=drawn[1])]
        answers(opened(server, concurrency=1), *requests, ask("3", sampling=Sampling(temperature=1.0)))
    names = ("temperature", "top_p", "top_k", "min_p", "seed")
    assert [[asked.body.get(name) for name in names] for asked in server.asked] == [
        [0.0, None, None, None, None],
        [0.6, 0.95, 20, 0.05, 1],
        [0.6, 0.95, 20, 0.05, 2],
        [1.0, None, None, None, 0],
    ]


@pytest.mark.parametrize(
    ("program", "mode", "field", "value"),
    [
        ("vllm", ThinkingMode.OFF, "chat_template_kwargs", {"enable_thinking": False}),
        ("sglang", ThinkingMode.ON, "chat_template_kwargs", {"enable_thinking": True}),
        ("somebody", ThinkingMode.OFF, "chat_template_kwargs", {"enable_thinking": False}),
        ("library", ThinkingMode.OFF, "reasoning_effort", "none"),
        ("library", ThinkingMode.ON, "reasoning_effort", "medium"),
        ("vllm", None, None, None),
    ],
)
def test_thinking_is_switched_as_the_server_has_it(
    program: str, mode: ThinkingMode | None, field: str | None, value: object
) -> None:
    with serve(lambda _: answer("yes"), tells=listed(program)) as server:
        _, notes = answers(opened(server), ask("a", thinking=mode), ask("b", thinking=mode, form=Form.TEXT))
    chat, text = server.asked
    expected = {} if field is None else {field: value}
    assert {
        name: chat.body[name] for name in ("chat_template_kwargs", "reasoning_effort") if name in chat.body
    } == expected
    assert not {"chat_template_kwargs", "reasoning_effort"} & set(text.body)
    assert notes == []


def test_thinking_that_the_server_cannot_switch_is_noted() -> None:
    def script(asked: Asked) -> Reply:
        if "chat_template_kwargs" in asked.body:
            return pydantic("chat_template_kwargs")
        if "reasoning_effort" in asked.body:
            return openai("reasoning_effort")
        return answer("yes")

    with serve(script) as server:
        model = opened(server)
        found, notes = answers(model, *[ask(str(each), thinking=ThinkingMode.OFF) for each in range(9)])
    assert {each.text for each in found.values()} == {"yes"}
    assert [asked.body.get("reasoning_effort") for asked in server.asked[:4]] == [None, "none", "minimal", None]
    assert len(server.asked) == 12
    assert notes == ["thinking: the server's own"]
    assert (model.spec.details or {})["thinking"] == "the server's own"


def test_the_limit_leaves_room_for_thinking() -> None:
    request = ask("a", max_thinking_tokens=100)
    text = ask("b", max_thinking_tokens=None)
    with serve(lambda _: answer("yes"), tells=listed("vllm")) as server:
        assert answers(opened(server, concurrency=1), request, text)[1] == []
    fields = [(asked.body["max_completion_tokens"], asked.body.get("thinking_token_budget")) for asked in server.asked]
    assert fields == [(112, 100), (12, None)]
    with serve(lambda _: answer("yes")) as server:
        model = opened(server)
        _, notes = answers(model, request)
    assert server.asked[0].body["max_completion_tokens"] == 112
    assert "thinking_token_budget" not in server.asked[0].body
    assert notes == ["max_thinking_tokens: not sent, the limit of new tokens counts thinking and answer together"]
    refuse = openai("thinking_token_budget")
    refusing = lambda asked: refuse if "thinking_token_budget" in asked.body else answer("yes")  # noqa: E731
    with serve(refusing, tells=listed("vllm")) as server:
        found, notes = answers(opened(server), request)
    assert found["a"].text == "yes"
    assert len(notes) == 1


def test_extra_fields_are_sent_with_every_request_and_are_part_of_the_identity() -> None:
    extra = {"repetition_penalty": 1.1, "temperature": 0.3, "chat_template_kwargs": {"x": 1}}
    with serve(lambda _: answer("yes")) as server:
        model = opened(server, extra_body=json.dumps(extra))
        answers(model, ask("a", thinking=ThinkingMode.ON))
        plain, other = opened(server), opened(server, extra_body='{"repetition_penalty": 1.2}')
    body = server.asked[0].body
    assert (body["repetition_penalty"], body["temperature"]) == (1.1, 0.3)
    assert body["chat_template_kwargs"] == {"enable_thinking": True, "x": 1}
    assert len({each.spec.fingerprint for each in (model, plain, other)}) == 3
    assert "repetition_penalty" in (model.spec.details or {})["extra_body"]


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_a_limit_of_the_users_stands_alone(name: str) -> None:
    with serve(lambda _: answer("yes " * 40)) as server:
        found, _ = answers(opened(server, extra_body=json.dumps({name: 100})), ask("a"))
    assert {key: value for key, value in server.asked[0].body.items() if key.startswith("max_")} == {name: 100}
    assert found["a"].failure is None


def test_an_extra_field_that_the_server_refuses_is_not_left_out() -> None:
    """It was asked for: without it the answers would be others than those that were asked for."""
    with serve(lambda _: openai("top_k")) as server:
        found, notes = answers(opened(server, extra_body='{"top_k": 1}'), ask("a"), ask("b"))
    assert {each.failure.kind for each in found.values() if each.failure} == {"HTTP 400"}
    assert notes == []


@pytest.mark.parametrize("text", ["", "no", "[1]", '"a"', '{"messages": []}', '{"n": 2}', '{"a": NaN', "[" * 9999])
def test_an_extra_body_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        MODELS.get("openai")("m@http://127.0.0.1:9/v1", ModelOptions(extra_body=text))
    assert caught.value.where == "--extra-body"


@pytest.mark.parametrize(
    ("options", "where"),
    [({"concurrency": 0}, "--concurrency"), ({"timeout": 0.0}, "--timeout"), ({"timeout": float("nan")}, "--timeout")],
)
def test_numbers_that_make_no_sense_are_refused(options: dict[str, Any], where: str) -> None:
    with pytest.raises(UsageError) as caught:
        MODELS.get("openai")("m@http://127.0.0.1:9/v1", ModelOptions(**options))
    assert caught.value.where == where
