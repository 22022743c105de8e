"""Servers of one API say the same in many forms: errors, refusals, endings, contents, counts, lists, redirects."""

import dataclasses
import gzip
import importlib
from typing import Any

import pytest

from xlingual.errors import AuthError, EnvironmentFault, ModelError, UsageError
from xlingual.plugin import Model, ModelOptions
from xlingual.records import Finish, Form, Message, Request, Response, Role
from xlingual.registry import MODELS

from ..fault_server import Asked, FaultServer, Reply, answer, document, error, serve

pytest.importorskip("openai", reason="needs the extra `openai`")
QUICK: dict[str, float] = {"sample_seconds": 5.0, "attempts": 4, "backoff_seconds": 0.01, "max_backoff_seconds": 0.05}


@pytest.fixture(autouse=True)
def no_openai_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def ask(text: str, stop: tuple[str, ...] = ()) -> Request:
    message = Message(role=Role.USER, text=text)
    return Request(key=text, form=Form.CHAT, messages=(message,), stop=stop, max_new_tokens=50)


def opened(server: FaultServer) -> Model:
    model: Any = MODELS.get("openai")(f"m@{server.url}", ModelOptions())
    model.limits = dataclasses.replace(model.limits, **QUICK)
    found: Model = model
    return found


def one(reply: Reply, stop: tuple[str, ...] = ()) -> Response:
    with serve(lambda _: reply) as server:
        [response] = opened(server).answer([ask("q", stop)])
    return response


def message(reason: str | None = "stop", **fields: object) -> Reply:
    return document({"choices": [{"message": {"role": "assistant", **fields}, "finish_reason": reason}]})


def part(name: str) -> Any:  # noqa: ANN401 - a module of the plugin, which is none of the public names
    return importlib.import_module(f"xlingual.plugins.models.openai.{name}")


IN_200: dict[str, object] = {
    "a bare message": {"message": "slow down", "code": 429},
    "a list of errors": {"errors": [{"message": "slow down", "code": 429}]},
    "a document in a list": [{"error": {"code": 429, "message": "slow down", "status": "RESOURCE_EXHAUSTED"}}],
    "no success": {"success": False, "message": "the model is overloaded"},
    "a detail": {"detail": {"error": {"code": 503, "message": "loading"}}},
    "a number of its own": {"error_code": 18, "error_msg": "Open api qps request limit reached"},
    "a response of its own": {"base_resp": {"status_code": 1002, "status_msg": "rate limit"}, "choices": None},
    **{
        f"ended by {reason}": {"choices": [{"message": {"content": "Par"}, "finish_reason": reason}]}
        for reason in ("abort", "error", "insufficient_system_resource")
    },
}


@pytest.mark.parametrize("form", IN_200)
def test_an_error_inside_200_is_asked_again_whatever_its_form(form: str) -> None:
    """P5. A part of an answer is none."""

    def script(asked: Asked) -> Reply:
        return document(IN_200[form]) if asked.number in (1, 2, 4) else answer(f"re {asked.prompt}")

    with serve(script) as server:
        found = {each.key: each.text for each in opened(server).answer([ask(text) for text in "abcdef"])}
    assert found == {text: f"re {text}" for text in "abcdef"}


def test_a_document_of_something_else_is_quoted() -> None:
    failure = one(document({"detail": "this gateway needs a tenant"})).failure
    assert failure is not None
    assert failure.kind == "wrong choices"
    assert "this gateway needs a tenant" in failure.message


POOR: dict[str, Reply] = {
    "Moonshot": document({"error": {"message": "pay", "type": "exceeded_current_quota_error"}}, status=429),
    "LiteLLM": document({"error": {"message": "pay", "type": "budget_exceeded", "code": "400"}}, status=400),
    "Anthropic": error(400, "Your credit balance is too low: pay"),
    "one-api": document({"error": {"message": "pay", "code": "insufficient_user_quota"}}, status=403),
    "FastAPI": document({"detail": {"error": {"code": "insufficient_quota", "message": "pay"}}}, status=429),
    "a text": document({"error": "insufficient_quota: pay"}, status=429),
    "Alibaba": document({"code": "Arrearage", "message": "pay"}, status=400),
}


@pytest.mark.parametrize("form", POOR)
def test_an_account_without_money_ends_the_run_whoever_says_so(form: str) -> None:
    """P11."""
    with serve(lambda _: POOR[form]) as server:
        with pytest.raises(AuthError, match=r"no quota left .*pay"):
            list(opened(server).answer([ask(str(number)) for number in range(20)]))
        assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("unknown field `max_tokens`, expected one of `model`, `temperature`, `stop`", ("max_tokens",)),
        ("max_tokens is not allowed. Supported parameters: temperature, stop", ("max_tokens",)),
        ("x does not support parameters: ['max_tokens'], for model=m", ("max_tokens",)),
        ("max_tokens is not a recognized parameter", ("max_tokens",)),
        ("#: extraneous key [max_tokens] is not permitted", ("max_tokens",)),
        ("temperature should be > 0", ("temperature",)),
        ("temperature has to be a strictly positive float", ("temperature",)),
        ("the model refuses temperature", ("temperature",)),
        ("temperature: 不支持", ("temperature",)),
        ("temperature\N{FULLWIDTH COLON}不支持", ("temperature",)),
        ("Argument not supported on this model: stop", ("stop",)),
        ("stop sequences are not supported by this model", ("stop",)),
        ("the bus does not stop here: unsupported", ()),
    ],
)
@pytest.mark.parametrize("wrapped", [False, True])
def test_which_parameter_a_refusal_means(text: str, refused: tuple[str, ...], wrapped: bool) -> None:
    """P6. What a server takes instead is not refused."""
    body = error(400, text).body.decode() if wrapped else text
    assert part("refusals").refused_parameters(body, ["max_tokens", "temperature", "stop"]) == refused


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("stop", Finish.EOS),
        ("STOP", Finish.EOS),
        ("eos_token", Finish.EOS),
        ("end_turn", Finish.EOS),
        ("stop_sequence", Finish.EOS),
        ("length", Finish.LENGTH),
        ("MAX_TOKENS", Finish.LENGTH),
        ("model_length", Finish.LENGTH),
        (None, None),
        ("of_its_own", None),
    ],
)
def test_the_end_of_an_answer_in_the_words_of_many(reason: str | None, finish: Finish | None) -> None:
    assert one(message(reason, content="Paris")).finish is finish


def test_an_answer_that_a_stop_sequence_emptied_is_asked_again_without() -> None:
    def script(asked: Asked) -> Reply:
        return message("stop_sequence", content="") if "stop" in asked.body else message("eos_token", content="#\nHm")

    with serve(script) as server:
        [response] = opened(server).answer([ask("q", ("#",))])
    assert (response.text, len(server.asked)) == ("#\nHm", 2)


@pytest.mark.parametrize("reason", ["content_filter", "SAFETY", "RECITATION", "sensitive"])
@pytest.mark.parametrize("content", [None, "", "hal"])
def test_a_withheld_answer_fails_and_stops_nothing(reason: str, content: str | None) -> None:
    """A filter may refuse all questions on one passage: the others are asked nevertheless."""

    def script(asked: Asked) -> Reply:
        return message(reason, content=content) if int(asked.prompt) < 8 else answer("yes")

    with serve(script) as server:
        found = {int(each.key): each for each in opened(server).answer([ask(str(number)) for number in range(12)])}
    assert [found[number].text for number in range(8, 12)] == ["yes"] * 4
    assert {each.failure.kind for each in found.values() if each.failure is not None} == {"content filter"}


THOUGHTS: dict[str, dict[str, Any]] = {
    "parts": {"reasoning_content": [{"type": "text", "text": "Hm."}]},
    "an object": {"reasoning": {"content": "Hm."}},
    "details": {"reasoning_details": [{"type": "reasoning.text", "text": "Hm."}, {"type": "reasoning.encrypted"}]},
    "a summary": {"reasoning": None, "reasoning_details": [{"type": "reasoning.summary", "summary": "Hm."}]},
}


@pytest.mark.parametrize("form", THOUGHTS)
def test_thinking_in_other_fields(form: str) -> None:
    """P4."""
    response = one(message(content="Paris", **THOUGHTS[form]))
    assert (response.text, response.thinking) == ("Paris", "Hm.")
    response = one(message("length", content=None, **THOUGHTS[form]))
    assert (response.text, response.failure, response.thinking) == ("", None, "Hm.")


@pytest.mark.parametrize(
    "content",
    [
        ["Par", "is"],
        {"type": "text", "text": "Paris"},
        [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]}, {"text": "Paris"}],
        [{"type": "redacted_thinking", "data": "x"}, {"type": "text", "text": "Paris"}],
        [{"type": "refusal", "refusal": "Paris"}],
    ],
)
def test_content_in_other_parts(content: object) -> None:
    """P4."""
    assert one(message(content=content)).text == "Paris"


@pytest.mark.parametrize("content", [None, [], {}, 5, [{"type": "image_url", "image_url": {}}], [[[[[[[["deep"]]]]]]]]])
def test_content_without_a_text_is_no_answer(content: object) -> None:
    failure = one(message("tool_calls", content=content, tool_calls=[{"function": {"name": "f"}}])).failure
    assert failure is not None
    assert failure.kind == "no content"


@pytest.mark.parametrize(
    ("usage", "counts"),
    [
        ({"prompt_tokens": 7.0, "completion_tokens": 3.0}, (7, 3)),
        ({"prompt_tokens": "7", "completion_tokens": 3.5}, (None, None)),
        ({"prompt_tokens": -7, "completion_tokens": True}, (None, None)),
        ([1], (None, None)),
    ],
)
def test_odd_counts_are_read_or_left_out(usage: object, counts: tuple[int | None, int | None]) -> None:
    content = {"message": {"content": "Paris"}, "finish_reason": "stop"}
    response = one(document({"choices": [content], "usage": usage}))
    assert (response.text, response.prompt_tokens, response.tokens) == ("Paris", *counts)


@pytest.mark.parametrize("window", ["4096", 4096.0, 4096])
def test_a_window_in_any_number(window: object) -> None:
    """P7."""
    row = {"id": "m", "max_model_len": window}
    with serve(lambda _: answer("x"), tells={"/v1/models": document({"data": [row]})}) as server:
        assert opened(server).spec.context_length == 4096


def test_a_list_of_bare_names_is_a_list_of_models() -> None:
    named = document({"model": "m", "choices": [{"message": {"content": "Hi"}}]})
    tells = {"/v1/models": document({"data": ["a", "b"]}), "token": named}
    with serve(lambda _: answer("x"), tells=tells) as server, pytest.raises(ModelError, match="no model 'm'") as caught:
        opened(server)
    assert caught.value.hint == "the server offers a, b"


def test_a_redirect_is_named_and_not_followed() -> None:
    with serve(lambda _: Reply(status=308, headers={"Location": "https://new.example/v1?key=secret"})) as server:
        [response] = opened(server).answer([ask("q")])
    assert response.failure is not None
    assert response.failure.kind == "HTTP 308"
    assert "https://new.example/v1?***" in response.failure.message


def test_an_answer_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a few bytes unpack to counts, too."""
    monkeypatch.setattr(part("body_limits"), "MOST_BYTES", 1_000_000)
    packed = gzip.compress(answer("x" * 5_000_000).body)
    with serve(lambda _: Reply(body=packed, headers={"Content-Encoding": "gzip"})) as server:
        found = list(opened(server).answer([ask(str(number)) for number in range(20)]))
        assert len(server.asked) < 20
    assert {each.failure.kind for each in found if each.failure is not None} == {"too large"}
    assert len(found) == 20


@pytest.mark.parametrize(
    "header", ["Content-Length: 3", "transfer-encoding: chunked", "Host: x", "Connection: close", "Accept-Encoding: br"]
)
def test_headers_that_follow_from_the_request_are_refused(header: str) -> None:
    with serve(lambda _: answer("x")) as server, pytest.raises(UsageError, match="not for the user to set"):
        MODELS.get("openai")(f"m@{server.url}", ModelOptions(headers=(header,)))


@pytest.mark.parametrize("text", ['{"a": NaN}', '{"a": [1e999]}', '{"a": "\\ud800"}', '{"a": -Infinity}'])
def test_an_extra_body_that_no_json_holds_is_refused(text: str) -> None:
    with serve(lambda _: answer("x")) as server, pytest.raises(UsageError, match="holds what JSON has no form for"):
        MODELS.get("openai")(f"m@{server.url}", ModelOptions(extra_body=text))


@pytest.mark.parametrize("word", ["sk-canary-0123456789", "hf_canary0123456789", "my key", ""])
def test_a_key_in_the_place_of_its_variable_is_not_shown(word: str) -> None:
    """P13."""
    with serve(lambda _: answer("x")) as server, pytest.raises(UsageError, match="not the name") as caught:
        MODELS.get("openai")(f"m@{server.url}", ModelOptions(key_env=word))
    assert "canary" not in f"{caught.value}{caught.value.hint}"


@pytest.mark.parametrize("manner", ["reset", "short"])
@pytest.mark.parametrize("encoding", ["gzip", "identity"])
def test_a_handshake_that_breaks_is_an_error_of_the_environment(manner: str, encoding: str) -> None:
    reply = Reply(body=b"no gzip", manner=manner, headers={"Content-Encoding": encoding})
    with serve(lambda _: answer("x"), tells={"/v1/models": reply}) as server:
        model: Any = MODELS.get("openai")
        with pytest.raises(EnvironmentFault, match="question for its models"):
            model(f"m@{server.url}", ModelOptions())


def test_a_key_that_a_gateway_quotes_is_in_no_answer_and_no_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    """P13, R6. A header that is no secret by its name may hold words of answers."""
    keys = [f"canary-{number}-0123456789" for number in range(3)]
    monkeypatch.setenv("MY_KEY", keys[0])
    headers = (f"X-Api-Key: {keys[1]}", "X-Title: evaluation")
    quoted = " ".join([*keys, "evaluation"])
    rows = document({"data": [{"id": "m", "root": quoted, "owned_by": "vllm"}]})
    named = document({"model": "m", "system_fingerprint": quoted, "choices": [{"message": {"content": "Hi"}}]})
    with serve(lambda _: answer(quoted), tells={"/v1/models": rows, "token": named}) as server:
        options = ModelOptions(key_env="MY_KEY", headers=headers)
        model = MODELS.get("openai")(f"m@{server.url}?api-key={keys[2]}", options)
        [response] = model.answer([ask("q")])
    assert response.text == "*** *** *** evaluation"
    assert "canary" not in str(model.spec)
