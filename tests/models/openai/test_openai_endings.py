"""Servers that are slow, poor, small or wrong for all: nothing is lost to our own queue, nothing is asked in vain."""

import dataclasses
import importlib
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from xlingual.cli import run_command
from xlingual.errors import AuthError, EnvironmentFault, ModelError
from xlingual.plugin import Model, ModelOptions, SupportsNotes
from xlingual.records import Finish, Form, Message, Request, Response, Role
from xlingual.registry import MODELS

from ..fault_server import Asked, FaultServer, Reply, Script, answer, document, error, serve

pytest.importorskip("openai", reason="needs the extra `openai`")
QUICK: dict[str, float] = {
    "read_seconds": 0.6, "sample_seconds": 5.0, "attempts": 4, "backoff_seconds": 0.01, "max_backoff_seconds": 0.05,
}  # fmt: skip


@pytest.fixture(autouse=True)
def no_openai_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def ask(text: str, most: int = 12) -> Request:
    message = Message(role=Role.USER, text=text)
    return Request(key=text, form=Form.CHAT, messages=(message,), stop=(), max_new_tokens=most)


def opened(server: FaultServer, **limits: float) -> Model:
    """Open the server's model with small limits, so that waiting takes no minutes."""
    model: Any = MODELS.get("openai")(f"m@{server.url}", ModelOptions())
    model.limits = dataclasses.replace(model.limits, **{**QUICK, **limits})
    found: Model = model
    return found


def part(name: str) -> Any:  # noqa: ANN401 - a module of the plugin, which is none of the public names
    return importlib.import_module(f"xlingual.plugins.models.openai.{name}")


def evaluate(server: FaultServer, out: Path, limit: str = "30") -> int:
    words = ["eval", "-m", f"openai:m@{server.url}", "-t", "xquad/en,xquad/zh", "--data", "sample", "--limit", limit]
    return run_command([*words, "--out", str(out), "--progress", "none"])


IN_200: dict[str, dict[str, Any]] = {
    "a number": {"error": {"code": 429, "message": "slow down"}},
    "a number as text": {"error": {"code": "429", "message": "slow down"}},
    "a type": {"error": {"type": "rate_limit_error", "message": "slow down"}},
    "Google's": {"error": {"code": 503, "status": "UNAVAILABLE", "message": "overloaded"}},
    "a text": {"error": "something went wrong"},
    "older vLLM's": {"object": "error", "message": "overloaded", "code": 500},
    "in the choice": {"choices": [{"error": {"code": 502, "message": "bad gateway"}, "message": {"content": ""}}]},
    "beside an empty answer": {"error": {"code": 529}, "choices": [{"message": {"content": ""}}]},
}


@pytest.mark.parametrize("form", IN_200)
def test_an_error_inside_200_is_treated_like_its_status(form: str) -> None:
    """P5."""

    def script(asked: Asked) -> Reply:
        return document(IN_200[form]) if asked.number in (1, 2, 4) else answer(f"re {asked.prompt}")

    with serve(script) as server:
        found = {each.key: each.text for each in opened(server).answer([ask(text) for text in "abcdef"])}
    assert found == {text: f"re {text}" for text in "abcdef"}
    assert len(server.asked) == 9


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"error": {"code": 400, "message": "no"}}, "HTTP 400"),
        ({"error": {"type": "invalid_request_error", "message": "no"}}, "HTTP 400"),
        ({"error": "broken"}, "HTTP 500"),
    ],
)
def test_an_error_inside_200_that_does_not_pass(body: dict[str, Any], kind: str) -> None:
    with serve(lambda asked: document(body) if asked.prompt == "bad" else answer("yes")) as server:
        found = {each.key: each.failure for each in opened(server).answer([ask("a"), ask("bad")])}
    assert found["a"] is None
    assert found["bad"] is not None
    assert found["bad"].kind == kind
    assert Counter(server.prompts())["bad"] == (1 if kind == "HTTP 400" else 4)


def test_no_error_is_no_error() -> None:
    reply = {"error": None, "choices": [{"error": None, "message": {"content": "yes"}, "finish_reason": "stop"}]}
    with serve(lambda _: document(reply)) as server:
        [response] = opened(server).answer([ask("a")])
    assert response.text == "yes"


POOR: dict[str, Reply] = {
    "OpenAI": document({"error": {"message": "pay", "code": "insufficient_quota"}}, status=429),
    "a type": document({"error": {"message": "pay", "type": "insufficient_quota", "code": None}}, status=429),
    "DeepSeek": document({"error": {"message": "Insufficient Balance"}}, status=402),
    "in 200": document({"error": {"message": "pay", "code": 402}}),
}


@pytest.mark.parametrize("after", [0, 4])
@pytest.mark.parametrize("form", POOR)
def test_an_account_without_money_ends_the_run_at_once(form: str, after: int) -> None:
    """P11. What was answered before has been delivered."""
    found: list[Response] = []
    with serve(lambda asked: POOR[form] if asked.number > after else answer("yes")) as server:
        stream = opened(server).answer([ask(str(number)) for number in range(200)])
        with pytest.raises(AuthError, match=r"no quota left .*(pay|Balance)") as caught:
            found.extend(stream)
        assert len(server.asked) <= 14
    assert caught.value.exit_code == 4
    assert len(found) >= min(after, 1)


def test_a_quota_is_exit_code_4_and_a_refusal_of_all_is_1(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with serve(lambda _: POOR["OpenAI"]) as server:
        assert evaluate(server, tmp_path / "a") == 4
        assert len(server.asked) == 1
    assert "pay" in capfd.readouterr().err
    with serve(lambda _: error(400, "these words")) as server:
        assert evaluate(server, tmp_path / "b") == 1
        assert len(server.asked) == 5
    capfd.readouterr()
    lines = [line for path in (tmp_path / "b").rglob("samples*") for line in path.read_text("utf-8").splitlines()]
    failures = [json.loads(line)["failure"] for line in lines]
    assert any("these words" in failure["message"] for failure in failures if failure)


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (error(400, "no"), "HTTP 400"), (error(422, "no"), "HTTP 422"), (error(413, "no"), "HTTP 413"),
        (Reply(body=b"<html>Log in</html>", kind="text/html"), "not JSON"), (document({"ok": 1}), "wrong choices"),
    ],
)  # fmt: skip
def test_what_every_sample_would_get_is_asked_a_few_times(reply: Reply, kind: str) -> None:
    """P11. Every sample has its failure, with the server's words, and only five were sent."""
    with serve(lambda _: reply) as server:
        found = list(opened(server).answer([ask(str(number)) for number in range(300)]))
        assert len(server.asked) <= 5 + 8
    assert len(found) == 300
    assert {each.failure.kind for each in found if each.failure} == {kind}
    unsent = [each.failure.message for each in found if each.failure and "not sent" in each.failure.message]
    assert len(unsent) >= 300 - 13


def test_refusals_of_single_samples_stop_nothing() -> None:
    """Seven of a hundred, the first two among them; and five of different kinds at the start."""

    def script(asked: Asked) -> Reply:
        number = int(asked.prompt)
        return error(400) if number < 2 or number in (7, 8, 9, 50, 51) else answer("yes")

    with serve(script) as server:
        found = list(opened(server).answer([ask(str(number)) for number in range(100)]))
    assert sum(each.failure is not None for each in found) == 7
    with serve(lambda asked: error(400 if asked.number % 2 else 422) if asked.number < 8 else answer("yes")) as server:
        found = list(opened(server).answer([ask(str(number)) for number in range(40)]))
    assert sum(each.failure is None for each in found) == 33


class OneAtATime:
    """A server that answers one request at a time, in the order of arrival, and takes `seconds` for each."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.lock = threading.Lock()

    def __call__(self, asked: Asked) -> Reply:
        with self.lock:
            time.sleep(self.seconds)
        return answer("yes")


@pytest.mark.slow
def test_a_server_of_one_request_at_a_time_loses_nothing() -> None:
    """P10, with threads and sockets: each waits for seven others, which would be twice the limit of silence."""
    requests = [ask(str(number)) for number in range(24)]
    with serve(OneAtATime(0.25)) as server:
        found = list(opened(server, read_seconds=1.0, sample_seconds=1.2).answer(requests))
    assert sum(each.failure is None for each in found) == 24


def test_one_that_hangs_is_given_up_while_others_are_answered() -> None:
    """The answers to what was sent after it show that the server is silent about it alone."""

    def script(asked: Asked) -> Reply:
        return Reply(manner="hang") if asked.prompt == "bad" else dataclasses.replace(answer("yes"), delay=0.02)

    with serve(script) as server:
        start = time.monotonic()
        stream = opened(server, attempts=2).answer([ask("bad"), *(ask(str(number)) for number in range(2000))])
        for response in stream:
            if response.key == "bad":
                break
        assert time.monotonic() - start < 6
        stream.close()  # type: ignore[attr-defined] # a generator
    assert response.failure is not None
    assert response.failure.kind == "timeout"


def limited(window: int, words: str) -> Any:  # noqa: ANN401 - a script
    """A server with a window: prompts have a token a word."""

    def script(asked: Asked) -> Reply:
        prompt, most = len(asked.prompt.split()), asked.body["max_completion_tokens"]
        if prompt + most > window:
            return error(400, words.format(window=window, prompt=prompt, most=most, total=prompt + most))
        return answer("yes", reason="length" if most < 20 else "stop")

    return script


TOO_LONG = {
    "OpenAI": "This model's maximum context length is {window} tokens. However, you requested {total} tokens ({prompt}"
    " in the messages, {most} in the completion). Please reduce the length of the messages or completion.",
    "vLLM": "'max_tokens' or 'max_completion_tokens' is too large: {most}. This model's maximum context length is"
    " {window} tokens and your request has {prompt} input tokens ({most} > {window} - {prompt}).",
    "newer vLLM": "This model's maximum context length is {window} tokens. However, your request has {prompt} input"
    " tokens plus {most} 'max_tokens'. Reduce one or the other. (parameter=input_tokens, max_tokens, value=(8, 5))",
    "newest vLLM": "You passed {prompt} input tokens and requested {most} output tokens. However, the model's context"
    " length is only {window} tokens, resulting in a maximum input length of 1 tokens.",
    "SGLang": "Requested token count exceeds the model's maximum context length of {window} tokens. You requested a"
    " total of {total} tokens: {prompt} tokens from the input messages and {most} tokens for the completion.",
    "TGI": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= {window}. Given: {prompt} `inputs`"
    " tokens and {most} `max_new_tokens`",
    "nobody's": "context_length_exceeded: too long, shorten it",
}


@pytest.mark.parametrize("wording", TOO_LONG)
def test_a_limit_that_does_not_fit_is_lowered_and_said_once(wording: str) -> None:
    """P7: the window is 600, 512 new tokens are asked for; half of the prompts leave less."""
    requests = [ask(f"{number} " + "w " * (29 + number * 20), most=512) for number in range(12)]
    notes: list[str] = []
    with serve(limited(600, TOO_LONG[wording])) as server:
        model = opened(server)
        assert isinstance(model, SupportsNotes)
        model.on_note(notes.append)
        found = list(model.answer(requests))
    assert [each.text for each in found] == ["yes"] * 12
    assert len(notes) == 1
    assert "less than asked for" in (model.spec.details or {})["max_new_tokens"]
    if wording != "nobody's":
        sent = [asked.body["max_completion_tokens"] + len(asked.prompt.split()) for asked in server.asked]
        assert sent.count(600) == 9
        assert len(server.asked) == 21


def test_a_prompt_that_is_too_long_by_itself_is_a_failure_of_its_own() -> None:
    with serve(limited(600, TOO_LONG["OpenAI"])) as server:
        found = {each.key[:1]: each for each in opened(server).answer([ask("w " * 700, 512), ask("q", 512)])}
    failure = found["w"].failure
    assert failure is not None
    assert failure.kind == "prompt too long"
    assert "maximum context length is 600" in failure.message
    assert found["q"].text == "yes"


def test_the_most_tokens_of_any_answer_are_learnt_once() -> None:
    words = (
        "max_tokens is too large: {most}. This model supports at most 100 completion tokens, whereas you provided it."
    )

    def script(asked: Asked) -> Reply:
        most = asked.body["max_completion_tokens"]
        return error(400, words.format(most=most)) if most > 100 else answer("yes", reason="length")

    with serve(script) as server:
        found = list(opened(server).answer([ask(str(number), 512) for number in range(10)]))
    assert {(each.text, each.finish) for each in found} == {("yes", Finish.LENGTH)}
    assert len(server.asked) == 11


@pytest.mark.parametrize(
    ("text", "window", "prompt", "most"),
    [
        ("The input (700 tokens) is longer than the model's context length (600 tokens).", 600, 700, None),
        ('{"message":"exceeds the available context size","n_prompt_tokens":700,"n_ctx":600}', 600, 700, None),
        ("max_tokens: 100000 > 8192, which is the maximum allowed number of output tokens", None, None, 8192),
        ("`max_tokens` must be less than or equal to `8192`, the maximum value for `max_tokens`", None, None, 8192),
        ("Invalid max_tokens value, the valid range of max_tokens is [1, 8,192]", None, None, 8192),
        ("Prompt contains 400 tokens, too large for model with 300 maximum context length", 300, 400, None),
        ("maximum context length is 4,097 tokens. However, your messages resulted in 5,000 tokens.", 4097, 5000, None),
    ],
)  # fmt: skip
def test_what_a_refusal_says_of_lengths(text: str, window: int | None, prompt: int | None, most: int | None) -> None:
    found = part("refusals").read_length_refusal(text)
    assert (found.window, found.prompt, found.most) == (window, prompt, most)


@pytest.mark.parametrize(
    "text",
    ["unknown field max_completion_tokens", "'max_tokens' is not supported, use 'max_completion_tokens'", "no", ""],
)
def test_other_refusals_say_nothing_of_lengths(text: str) -> None:
    assert part("refusals").read_length_refusal(text) is None


def test_a_model_that_the_server_lacks_is_said_in_a_400_too() -> None:
    reply = document({"error": {"code": "model_not_found", "message": "no m here"}}, status=400)
    with serve(lambda _: reply) as server, pytest.raises(ModelError, match="no m here"):
        list(opened(server).answer([ask("a")]))


def vllm(asked: Asked) -> Reply:
    """A token a word, two more for the template of a chat."""
    body = asked.body
    words = [each["content"] for each in body["messages"]] if "messages" in body else [body.get("prompt", "")]
    return document({"count": sum(len(each.split()) for each in words) + 2 * ("messages" in body), "tokens": []})


def llama(asked: Asked) -> Reply:
    if asked.path == "/apply-template":
        return document({"prompt": "<user> " + " ".join(each["content"] for each in asked.body["messages"]) + " <ai>"})
    return document({"tokens": list(range(len(asked.body["content"].split())))})


def listed(owner: str, **more: object) -> Reply:
    return document({"data": [{"id": "m", "owned_by": owner, **more}]})


COUNTING: dict[str, dict[str, Any]] = {
    "vllm": {"/v1/models": listed("vllm", max_model_len=600), "/tokenize": vllm},
    "llama.cpp": {
        "/v1/models": listed("llamacpp"),
        "/props": document({"default_generation_settings": {"n_ctx": 600}}),
        "/tokenize": llama,
        "/apply-template": llama,
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("program", COUNTING)
def test_prompts_are_counted_by_the_server_and_fitted_to_its_window(program: str, tmp_path: Path) -> None:
    """P7, whole: no prompt and its answer are longer than the window, and nothing is refused."""
    text = dataclasses.replace(ask("one two three"), form=Form.TEXT)
    with serve(limited(600, "{total} of {window} tokens are too long"), tells=COUNTING[program]) as server:
        assert opened(server).count_tokens([ask("one two three"), text, ask("one two three")]) == [5, 3, 5]
        words = ["eval", "-m", f"openai:m@{server.url}", "-t", "xquad/en", "--data", "sample", "--limit", "6"]
        assert run_command([*words, "--max-new-tokens", "560", "--out", str(tmp_path), "--progress", "none"]) == 0
        assert len(server.asked) == 6
        assert max(len(asked.prompt.split()) for asked in server.asked) in range(20, 41)


def cutting(window: int, words: Callable[[str], int]) -> Script:
    """A server that reads no more than its window, and says so in its counts only."""

    def script(asked: Asked) -> Reply:
        usage = {"prompt_tokens": min(words(asked.prompt), window), "completion_tokens": 1}
        return document({"choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}], "usage": usage})

    return script


def test_a_prompt_that_the_server_cut_without_a_word_is_noticed() -> None:
    requests = [ask("w " * count) for count in (5, 100, 400, 500, 600, 700, 800)]
    with serve(cutting(450, lambda prompt: len(prompt.split()))) as server:
        model = opened(server)
        assert all(each.failure is None for each in model.answer(requests))
    assert (model.spec.details or {})["prompts"] == "perhaps cut by the server: different ones all have 450 tokens"
    with serve(cutting(10**6, lambda prompt: len(prompt.split()))) as server:
        model = opened(server)
        assert all(each.failure is None for each in model.answer([*requests, *requests]))
    assert model.spec.details is None


def test_a_server_that_counts_shows_which_prompts_it_cut() -> None:
    requests = [ask("w " * count) for count in (5, 400, 500)]
    with serve(cutting(450, lambda prompt: len(prompt.split()) + 2), tells=COUNTING["vllm"]) as server:
        model = opened(server)
        assert model.count_tokens(requests) == [7, 402, 502]
        assert all(each.failure is None for each in model.answer(requests))
    assert (model.spec.details or {})["prompts"] == "perhaps cut by the server: it read 450 tokens of a prompt of 502"


def test_a_server_that_stops_counting_ends_the_plan() -> None:
    with serve(lambda _: answer("yes"), tells=COUNTING["vllm"]) as server:
        model = opened(server)
    with pytest.raises(EnvironmentFault, match="has stopped counting tokens"):
        model.count_tokens([ask("a")])
