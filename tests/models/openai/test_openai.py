"""What a served model answers, and how it is asked: against a server on this machine, without faults."""

import dataclasses
import importlib
import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from xlingual.cli import run_command
from xlingual.errors import AuthError, EnvironmentFault, ModelError, UsageError
from xlingual.plugin import Model, ModelOptions
from xlingual.records import Finish, Form, Message, Request, Response, Role
from xlingual.redaction import redact
from xlingual.registry import MODELS
from xlingual.selection import open_model

from ..fault_server import Asked, FaultServer, Reply, answer, document, error, serve

pytest.importorskip("openai", reason="needs the extra `openai`")
KEY = "sk-canary-0123456789"


@pytest.fixture(autouse=True)
def no_openai_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def ask(text: str, *, form: Form = Form.CHAT, stop: tuple[str, ...] = (), most: int = 12) -> Request:
    message = Message(role=Role.USER, text=text)
    return Request(key=f"key of {text}", form=form, messages=(message,), stop=stop, max_new_tokens=most)


def opened(server: FaultServer, name: str = "some/model", *, rows: int | None = None) -> Model:
    return MODELS.get("openai")(f"{name}@{server.url}", ModelOptions(batch_size=rows))


def answers(model: Model, *requests: Request) -> dict[str, Response]:
    found = list(model.answer(requests))
    assert sorted(each.key for each in found) == sorted(each.key for each in requests)
    return {each.key.removeprefix("key of "): each for each in found}


def repeat(asked: Asked) -> Reply:
    return answer(f"You said {asked.prompt}", chat="messages" in asked.body)


def test_a_chat_is_put_greedily_and_in_order() -> None:
    turns = (("user", "one"), ("assistant", "two"), ("user", "three"))
    messages = tuple(Message(role=Role(role), text=text) for role, text in turns)
    request = Request(key="k", form=Form.CHAT, messages=messages, stop=("###", "\n", "###"), max_new_tokens=5)
    with serve(repeat) as server:
        [response] = opened(server).answer([request])
    [asked] = server.asked
    assert asked.path == "/v1/chat/completions"
    assert asked.body == {
        "model": "some/model", "temperature": 0.0, "max_completion_tokens": 5, "stop": ["###"],
        "messages": [{"role": role, "content": text} for role, text in turns],
    }  # fmt: skip
    assert asked.headers["authorization"] == "Bearer none"
    assert response == Response(
        key="k", text="You said three", failure=None, finish=Finish.STOP, prompt_tokens=7, tokens=3
    )


def test_a_text_is_continued_as_it_stands() -> None:
    with serve(repeat) as server:
        found = answers(opened(server), ask("Once upon", form=Form.TEXT, most=9))
    [asked] = server.asked
    assert asked.path == "/v1/completions"
    assert asked.body == {"model": "some/model", "prompt": "Once upon", "temperature": 0.0, "max_tokens": 9}
    assert found["Once upon"].text == "You said Once upon"
    assert found["Once upon"].finish is Finish.EOS


def test_answers_come_as_they_finish_and_belong_to_their_requests() -> None:
    def slower_first(asked: Asked) -> Reply:
        delays = {"0": 0.0, "1": 0.4, "2": 0.2, "3": 0.0}
        return dataclasses.replace(repeat(asked), delay=delays[asked.prompt])

    with serve(slower_first) as server:
        found = list(opened(server).answer([ask(str(number)) for number in range(4)]))
    assert [each.text for each in found] == [f"You said {number}" for number in (0, 3, 2, 1)]
    assert [each.key for each in found] == [f"key of {number}" for number in (0, 3, 2, 1)]


@pytest.mark.parametrize(
    ("reason", "more", "text", "stop", "expected", "finish"),
    [
        ("length", {}, "a b c", (), "a b c", Finish.LENGTH),
        ("stop", {}, "a b c", (), "a b c", Finish.EOS),
        ("stop", {}, "a b c", ("#",), "a b c", Finish.STOP),
        ("stop", {"stop_reason": None}, "a b c", ("#",), "a b c", Finish.EOS),
        ("stop", {"stop_reason": "#"}, "a b c", ("#",), "a b c", Finish.STOP),
        ("length", {}, "\n\na b\nc", ("\n",), "\n\na b", Finish.STOP),
        ("length", {}, "\n", ("\n",), "\n", Finish.LENGTH),
        ("stop", {}, "x1x2x3x4x5", ("a", "b", "c", "d", "5"), "x1x2x3x4x", Finish.STOP),
        ("stop", {}, "", (), "", Finish.EOS),
        (None, {}, "a", (), "a", None),
        ("eos_token", {}, "a", (), "a", Finish.EOS),
    ],
)
def test_endings(
    reason: str | None, more: dict[str, Any], text: str, stop: tuple[str, ...], expected: str, finish: Finish | None
) -> None:
    with serve(lambda _: answer(text, reason=reason, **more)) as server:
        [response] = opened(server).answer([ask("q", stop=stop)])
    assert (response.text, response.finish, response.failure) == (expected, finish, None)
    assert len(server.asked[0].body.get("stop", [])) <= 4
    assert len(server.asked) == 1


@pytest.mark.parametrize("opening", ["#", " \n#", "# and", ""])
def test_a_stop_string_at_the_very_start_does_not_empty_the_answer(opening: str) -> None:
    """Servers cut at the first character; the rule of the house is to cut after the first that is no space."""
    whole = "# and more # rest"

    def cutting(asked: Asked) -> Reply:
        return answer(opening if "stop" in asked.body else whole)

    with serve(cutting) as server:
        [response] = opened(server).answer([ask("q", stop=("#",))])
    assert response.text == "# and more "
    assert [asked.body.get("stop") for asked in server.asked] == [["#"], None]


def test_an_empty_answer_that_the_server_explains_is_not_asked_twice() -> None:
    with serve(lambda _: answer("", stop_reason=None)) as server:
        [response] = opened(server).answer([ask("q", stop=("#",))])
    assert (response.text, response.finish, len(server.asked)) == ("", Finish.EOS, 1)


@pytest.mark.parametrize("status", [400, 422])
def test_a_server_that_knows_only_the_old_limit(status: int) -> None:
    def old(asked: Asked) -> Reply:
        return error(status, "unknown field max_completion_tokens") if asked.number == 1 else repeat(asked)

    with serve(old) as server:
        found = answers(opened(server), *[ask(str(number)) for number in range(5)])
    assert all(each.failure is None for each in found.values())
    assert [("max_tokens" in asked.body) for asked in server.asked] == [False] + [True] * 5


def test_a_server_that_ignores_the_new_limit_or_both() -> None:
    def deaf(asked: Asked) -> Reply:
        return answer("a " * (3 if asked.body.get("max_tokens") == 3 and asked.prompt == "q" else 100))

    with serve(deaf) as server:
        found = answers(opened(server, rows=1), ask("q", most=3), ask("r", most=3))
    assert found["q"].text == "a a a "
    failure = found["r"].failure
    assert failure is not None
    assert failure.kind == "limit ignored"
    assert [("max_tokens" in asked.body) for asked in server.asked] == [False, True, True]


def test_unicode_survives_and_lone_surrogates_are_replaced() -> None:
    def echo(asked: Asked) -> Reply:
        if asked.prompt == "broken":
            body = rb'{"choices": [{"message": {"content": "\ud83d\ude00 \ud800 \u0000"}, "finish_reason": "stop"}]}'
            return Reply(body=body)
        return answer(asked.prompt)

    texts = ["中文\u2028 العربية 👩‍👩‍👧 é é \u0000 \u202eabc", "half \ud800 one"]
    with serve(echo) as server:
        found = answers(opened(server), *[ask(text) for text in (*texts, "broken")])
    assert found[texts[0]].text == texts[0]
    assert found[texts[1]].text == "half � one"
    assert found["broken"].text == "😀 � \u0000"
    assert found["broken"].tokens is None


def test_the_key_comes_from_the_environment_and_stays_out_of_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XLINGUAL_KEY_127_0_0_1", f"  {KEY}\n")
    with serve(repeat) as server:
        model = opened(server)
        answers(model, ask("q"))
    assert server.asked[0].headers["authorization"] == f"Bearer {KEY}"
    assert KEY not in repr(model)


def test_credentials_and_query_of_a_url_are_sent_and_never_shown() -> None:
    with serve(repeat) as server:
        secret = server.url.replace("http://", "http://me:pa%40ss@") + "?api-key=hush-hush"
        model = open_model(f"openai:m@{secret}", ModelOptions())
        answers(model, ask("q"))
        plain = open_model(f"openai:m@{server.url}/", ModelOptions())
    [asked] = server.asked
    assert asked.path == "/v1/chat/completions?api-key=hush-hush"
    assert asked.headers["authorization"] == "Basic bWU6cGFAc3M="
    assert model.spec == plain.spec
    assert model.spec.word == f"openai:m@{server.url}"
    for word in ("hush", "pa%40ss", "pa@ss"):
        assert word not in repr(model)


@pytest.mark.parametrize(
    ("name", "model", "url"),
    [
        ("gpt-x", "gpt-x", "https://api.openai.com/v1"),
        ("org/m@http://localhost:8000/v1/", "org/m", "http://localhost:8000/v1"),
        ("@cf/org/m@HTTPS://Host.example/v1", "@cf/org/m", "https://host.example/v1"),
        ("m:7b@q4@http://[::1]:80", "m:7b@q4", "http://[::1]:80"),
    ],
)
def test_names_and_addresses(name: str, model: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    for found in (MODELS.get("openai")(name, ModelOptions()), open_model(f"openai:{name}", ModelOptions())):
        spec = found.spec
        assert (spec.name, spec.backend, spec.template, spec.context_length) == (model, "openai", "chat", None)
        assert spec.word == (f"openai:{model}" if "api.openai" in url else f"openai:{model}@{url}")
        assert found.count_tokens([ask("q")]) is None
        found.close()
        found.close()


def test_the_fingerprint_is_of_model_and_address(monkeypatch: pytest.MonkeyPatch) -> None:
    def fingerprint(name: str) -> str:
        return MODELS.get("openai")(name, ModelOptions()).spec.fingerprint

    prints = {fingerprint(name) for name in ("a@http://h/v1", "b@http://h/v1", "a@http://h/v2", "a@https://h/v1")}
    assert len(prints) == 4
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://h/v1")
    assert fingerprint("a") == fingerprint("a@http://h/v1") == fingerprint("a@http://u:p@h/v1/?k=v")


@pytest.mark.parametrize(
    "name", ["", "@http://h/v1", "m@http://", "m@http://h:port/v1", "m@http://h/v 1", "m@http://[h"]
)
def test_a_wrong_word_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        MODELS.get("openai")(name, ModelOptions())


def test_a_wrong_url_does_not_show_its_password() -> None:
    with pytest.raises(UsageError) as caught:
        MODELS.get("openai")("m@http://me:canary@h:port/v1?key=canary", ModelOptions())
    assert "canary" not in str(caught.value)


def test_what_is_refused_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    open_openai = MODELS.get("openai")
    with pytest.raises(UsageError, match="at least 1"):
        open_openai("m@http://localhost/v1", ModelOptions(batch_size=0))
    with pytest.raises(UsageError, match="no revision"):
        open_openai("m@http://localhost/v1", ModelOptions(revision="main"))
    with pytest.raises(EnvironmentFault, match="offline"):
        open_openai("m@http://192.0.2.1/v1", ModelOptions(offline=True))
    for host in ("localhost", "127.0.0.1", "[::1]", "127.8.9.1:81"):
        open_openai(f"m@http://{host}/v1", ModelOptions(offline=True))
    with pytest.raises(AuthError) as caught:
        open_openai("m", ModelOptions())
    assert "OPENAI_API_KEY" in caught.value.hint
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary\nX: y")
    with pytest.raises(AuthError) as caught:
        open_openai("m", ModelOptions())
    assert "canary" not in str(caught.value)


def test_without_its_package_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    open_openai = MODELS.get("openai")
    for name in [name for name in sys.modules if name.split(".")[0] == "openai"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setattr(sys, "path_importer_cache", {})
    with pytest.raises(EnvironmentFault) as caught:
        open_openai("m@http://localhost/v1", ModelOptions())
    assert caught.value.hint.startswith("pip install 'openai")


def test_an_unknown_model_is_answered_with_those_there_are() -> None:
    """A server that has no list at first: its answer to the first question says that there is no such model."""

    def missing(asked: Asked) -> Reply:
        if asked.path == "/v1/models":
            names = [{"id": "model-a"}, {"id": "model-b"}]
            return document({"object": "list", "data": names}) if asked.number > 1 else error(404, "not yet")
        return error(404, "nope")

    with serve(missing, scripted=["/v1/models"]) as server:
        with pytest.raises(ModelError) as caught:
            answers(opened(server), *[ask(str(number)) for number in range(9)])
        assert caught.value.hint == "the server offers model-a, model-b"
        assert [asked.path for asked in server.asked] == ["/v1/models", "/v1/chat/completions", "/v1/models"]
        with pytest.raises(ModelError, match="is served, but not so: nope"):
            answers(opened(server, "model-b"), ask("q"))
    with serve(lambda _: error(404, "nope")) as server, pytest.raises(ModelError, match=r"no such model.*nope"):
        answers(opened(server), ask("q"))


def test_closing_early_cancels_what_is_in_flight() -> None:
    def slow(asked: Asked) -> Reply:
        return dataclasses.replace(repeat(asked), delay=0.0 if asked.prompt == "0" else 30.0)

    with serve(slow) as server:
        found = iter(opened(server).answer([ask(str(number)) for number in range(20)]))
        assert next(found).text == "You said 0"
        while len(server.asked) < 5:
            time.sleep(0.01)
        start = time.monotonic()
        found.close()  # type: ignore[attr-defined] # a generator
        assert time.monotonic() - start < 2
        assert len(server.asked) < 12
    assert not [thread for thread in threading.enumerate() if thread.name == "xlingual-openai"]


def test_nothing_asked_nothing_sent() -> None:
    with serve(repeat) as server:
        assert list(opened(server).answer([])) == []
    assert server.asked == []


def test_a_run_stores_no_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """From name to record, through run and journal. Every third sample fails with the key in the server's words."""

    def leaky(asked: Asked) -> Reply:
        if asked.number % 3 == 0:
            return error(400, f"bad key {KEY} in " + "x" * 280 + KEY)
        return answer("Warsaw")

    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serve(leaky) as server:
        url = server.url.replace("http://", "http://me:hush-hush@")
        words = ["eval", "--model", f"openai:m@{url}", "--tasks", "xquad/en", "--data", "sample", "--limit", "6"]
        assert run_command([*words, "--out", str(tmp_path)]) == 1
    shown = "".join(capfd.readouterr())
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert files
    for text in (shown, *(path.read_text(encoding="utf-8") for path in files)):
        assert "canary" not in text
        assert "hush" not in text
    [samples] = [path for path in files if path.name.startswith("samples")]
    lines = [json.loads(line) for line in samples.read_text(encoding="utf-8").splitlines()]
    assert [line["failure"] is not None for line in lines].count(True) == 2


def part(name: str) -> Any:  # noqa: ANN401 - a module of the plugin, which is none of the public names
    return importlib.import_module(f"xlingual.plugins.models.openai.{name}")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"Incorrect key {KEY}.", "Incorrect key ***."),
        ("header Bearer abc.def was refused", "header Bearer *** was refused"),
        ("header BEARER  abc.def was refused", "header BEARER  *** was refused"),
        ("authorization:\tbasic\tabc= was refused", "authorization:\tbasic\t*** was refused"),
        ("sk-proj-abc_123*xyz and risk-averse sk-12", "*** and risk-averse sk-12"),
        ("http://user:pa@ss@host:1/v1?key=a#b is down", "http://***@host:1/v1?*** is down"),
        ("see https://host/docs. Is a@b an address?", "see https://host/docs. Is a@b an address?"),
        ("m%40ny and m@ny", "*** and ***"),
    ],
)
def test_messages_hold_no_secrets(text: str, shown: str) -> None:
    address = part("address")
    where = address.read_address("m@http://h/v1?key=m%40ny&x=y")
    assert redact(text, where.secrets(KEY)) == shown


def test_half_a_key_is_not_shown_either() -> None:
    completion = part("completion")
    text = "x" * 297 + KEY
    assert completion.describe(text, lambda said: said.replace(KEY, "*")) == "x" * 297 + "*"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "1.5"}, 1.5), ({"retry-after": "0"}, 0.0), ({"retry-after": "-1"}, None),
        ({"retry-after": "inf"}, None), ({"retry-after": "soon"}, None), ({}, None),
        ({"retry-after": "Fri, 01 Jan 2010 00:00:00 GMT"}, 0.0),
        ({"retry-after": "Fri, 01 Jan 2010 00:00:00 -0000"}, 0.0),
        # The server's clock is what its dates mean.
        ({"retry-after": "Fri, 01 Jan 2010 00:00:30 GMT", "date": "Fri, 01 Jan 2010 00:00:10 GMT"}, 20.0),
    ],
)  # fmt: skip
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert part("pacing").retry_after(headers) == seconds
