"""Whatever a server does, every sample ends with an answer or a failure on record, and no request is sent in vain."""

import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from typing import Any

import pytest

from xlingual.errors import AuthError, EnvironmentFault
from xlingual.plugin import Model, ModelOptions
from xlingual.records import Form, Message, Request, Response, Role
from xlingual.registry import MODELS

from ..fault_server import Asked, FaultServer, Reply, answer, document, error, serve

pytest.importorskip("openai", reason="needs the extra `openai`")
KEY = "sk-canary-0123456789"
QUICK: dict[str, float] = {
    "connect_seconds": 1.0, "read_seconds": 0.8, "sample_seconds": 5.0, "attempts": 4, "first_attempts": 3,
    "backoff_seconds": 0.01, "max_backoff_seconds": 0.05, "max_wait_seconds": 2.0,
}  # fmt: skip


@pytest.fixture(autouse=True)
def canary_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)


def ask(text: str, form: Form = Form.CHAT) -> Request:
    message = Message(role=Role.USER, text=text)
    return Request(key=text, form=form, messages=(message,), stop=(), max_new_tokens=12)


def opened(server: FaultServer, *, rows: int | None = None, **limits: float) -> Model:
    """Open the server's model with small limits, so that giving up takes no minutes."""
    model: Any = MODELS.get("openai")(f"m@{server.url}", ModelOptions(batch_size=rows))
    model.limits = dataclasses.replace(model.limits, **{**QUICK, **limits})
    found: Model = model
    return found


def answers(model: Model, *texts: str) -> dict[str, Response]:
    found = list(model.answer([ask(text) for text in texts]))
    assert sorted(each.key for each in found) == sorted(texts)
    for each in found:
        assert (each.text is None) == (each.failure is not None)
        assert each.failure is None or "canary" not in each.failure.message + each.failure.kind
    return {each.key: each for each in found}


def kind(response: Response) -> str | None:
    return None if response.failure is None else response.failure.kind


def first_then_well(reply: Callable[[], Reply], times: int = 1) -> Callable[[Asked], Reply]:
    """Fail `times` times for the prompt "bad", and answer all else."""
    seen: Counter[str] = Counter()

    def script(asked: Asked) -> Reply:
        seen[asked.prompt] += 1
        return reply() if asked.prompt == "bad" and seen["bad"] <= times else answer(f"re {asked.prompt}")

    return script


WELL = ("a", "b", "c")
PASSING: dict[str, Callable[[], Reply]] = {
    **{str(status): partial(error, status) for status in (408, 409, 425, 429, 500, 502, 503, 529)},
    "HTML 502": lambda: Reply(body=b"<html>Bad gateway</html>", kind="text/html", status=502),
    "reset": lambda: Reply(manner="reset"),
    "hang": lambda: Reply(manner="hang"),
    "cut short": lambda: Reply(body=b'{"choices": [', manner="short"),
}
LASTING: dict[str, tuple[Callable[[], Reply], str]] = {
    **{str(status): (partial(error, status), f"HTTP {status}") for status in (400, 413, 422)},
    "redirect": (partial(error, 307, Location="/v1/elsewhere"), "HTTP 307"),
    "null": (lambda: answer(None), "no content"),
    "null at length": (lambda: answer(None, reason="length"), "no content"),
    "filtered": (lambda: answer("hal", reason="content_filter"), "content filter"),
    "parts": (lambda: document({"choices": [{"message": {"content": [{"type": "image"}]}}]}), "no content"),
    "no choices": (lambda: document({"choices": []}), "wrong choices"),
    "two choices": (
        lambda: document({"choices": [{"message": {"content": word}} for word in "ab"]}), "wrong choices"
    ),
    "choices null": (lambda: document({"choices": None}), "wrong choices"),
    "choice null": (lambda: document({"choices": [None]}), "wrong choices"),
    "message null": (lambda: document({"choices": [{"message": None}]}), "no content"),
    "a list": (lambda: document([]), "wrong choices"),
    "truncated JSON": (lambda: Reply(body=answer("a").body[:-9]), "not JSON"),
    "nothing": (Reply, "not JSON"),
    "no UTF-8": (lambda: Reply(body=b'{"choices": "\xff"}'), "not JSON"),
    "deep": (lambda: Reply(body=b"[" * 200_000), "not JSON"),
    "HTML": (lambda: Reply(body=b"<html>Log in</html>", kind="text/html"), "not JSON"),
    "key quoted": (lambda: Reply(body=f"{'x' * 295}{KEY}".encode()), "not JSON"),
}  # fmt: skip


@pytest.mark.parametrize("fault", PASSING)
def test_what_may_pass_is_asked_again(fault: str) -> None:
    with serve(first_then_well(PASSING[fault], times=2)) as server:
        found = answers(opened(server), *WELL, "bad")
    assert {key: each.text for key, each in found.items()} == {key: f"re {key}" for key in (*WELL, "bad")}
    assert Counter(server.prompts()) == {"a": 1, "b": 1, "c": 1, "bad": 3}


@pytest.mark.parametrize("fault", ["500", "502", "408", "reset", "hang", "cut short"])
def test_what_does_not_pass_is_given_up_and_harms_nobody(fault: str) -> None:
    with serve(first_then_well(PASSING[fault], times=99)) as server:
        found = answers(opened(server), "bad", *WELL)
    assert [found[key].text for key in WELL] == ["re a", "re b", "re c"]
    failure = found["bad"].failure
    assert failure is not None
    assert failure.kind == {"reset": "connection", "cut short": "connection", "hang": "timeout"}.get(
        fault, f"HTTP {fault}"
    )
    assert "given up after 4 attempts" in failure.message
    assert Counter(server.prompts())["bad"] == 4


@pytest.mark.parametrize("fault", LASTING)
def test_what_will_not_pass_is_asked_once(fault: str) -> None:
    reply, expected = LASTING[fault]
    with serve(first_then_well(reply, times=99)) as server:
        found = answers(opened(server), "a", "bad", "b", "c")
    assert {key: kind(each) for key, each in found.items()} == {"a": None, "bad": expected, "b": None, "c": None}
    assert Counter(server.prompts()) == {"a": 1, "b": 1, "c": 1, "bad": 1}


def test_a_failed_sample_can_be_asked_again() -> None:
    with serve(first_then_well(lambda: error(400))) as server:
        model = opened(server)
        assert kind(answers(model, "bad", "a")["bad"]) == "HTTP 400"
        model.close()
        assert answers(model, "bad")["bad"].text == "re bad"


def test_a_body_without_end_is_left_when_the_time_of_the_sample_is_over() -> None:
    with serve(first_then_well(lambda: Reply(body=b'{"cho', manner="drip"), times=99)) as server:
        start = time.monotonic()
        found = answers(opened(server, sample_seconds=1.0), "a", "bad", "b")
        assert 0.9 < time.monotonic() - start < 3
    assert {key: kind(each) for key, each in found.items()} == {"a": None, "bad": "timeout", "b": None}
    assert Counter(server.prompts())["bad"] == 1


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_honoured_by_all(form: str) -> None:
    """While one sample has to wait, none is sent."""

    def header() -> str:
        if form == "seconds":
            return "1"
        return format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)

    with serve(first_then_well(lambda: error(429, Retry_After=header()))) as server:
        found = answers(opened(server, rows=1), "a", "bad", "b", "c")
    assert all(each.failure is None for each in found.values())
    times = [asked.at for asked in server.asked]
    assert len(times) == 5
    assert times[2] - times[1] > 0.9
    assert times[4] - times[1] < 4


@pytest.mark.parametrize("header", ["99999", "Wed, 01 Jan 2125 00:00:00 GMT"])
def test_a_server_that_asks_for_too_much_patience_gets_none(header: str) -> None:
    with serve(first_then_well(lambda: error(429, Retry_After=header), times=99)) as server:
        start = time.monotonic()
        found = answers(opened(server), "a", "bad", "b")
        assert time.monotonic() - start < 2
    assert {key: kind(each) for key, each in found.items()} == {"a": None, "bad": "HTTP 429", "b": None}
    failure = found["bad"].failure
    assert failure is not None
    assert "asks to wait" in failure.message
    assert Counter(server.prompts())["bad"] == 1


@pytest.mark.parametrize("header", ["soon", "nan", "inf", "-3", "", "Wed, 99 Foo"])
def test_a_senseless_retry_after_is_ignored(header: str) -> None:
    with serve(first_then_well(lambda: error(429, Retry_After=header))) as server:
        assert answers(opened(server), "bad")["bad"].text == "re bad"


@pytest.mark.parametrize("status", [401, 403])
def test_refused_credentials_are_sent_once(status: int) -> None:
    with serve(lambda _: error(status, f"Incorrect API key provided: {KEY}")) as server:
        with pytest.raises(AuthError) as caught:
            list(opened(server).answer([ask(str(number)) for number in range(50)]))
        assert len(server.asked) == 1
    assert "OPENAI_API_KEY" in caught.value.hint
    for each in (caught.value, caught.value.__cause__, caught.value.__context__):
        assert "canary" not in f"{each} {each!r} {getattr(each, 'hint', '')}"


def test_a_key_that_is_revoked_later_ends_the_run_and_keeps_what_came() -> None:
    def revoked(asked: Asked) -> Reply:
        return error(401) if asked.number > 30 else answer("yes")

    found: list[Response] = []
    with serve(revoked) as server:
        stream = opened(server).answer([ask(str(number)) for number in range(500)])
        with pytest.raises(AuthError):
            found.extend(stream)
        assert {each.text for each in found} == {"yes"}
        assert 10 < len(found) <= 30
        assert len(server.asked) < 60


def test_nobody_listens() -> None:
    with serve(lambda _: answer("yes")) as server:
        model = opened(server)
    with pytest.raises(EnvironmentFault, match="cannot be reached") as caught:
        list(model.answer([ask("a"), ask("b")]))
    assert caught.value.where == server.url


def test_a_server_that_goes_away_in_the_middle() -> None:
    with serve(lambda asked: answer("yes") if asked.number == 1 else Reply(manner="hang")) as server:
        stream = iter(opened(server, read_seconds=5.0, attempts=2).answer([ask(text) for text in "abcd"]))
        first = next(stream)
    rest = list(stream)
    assert first.text == "yes"
    assert [kind(each) for each in rest] == ["connection"] * 3


def test_concurrency_grows_to_its_cap() -> None:
    def slow(asked: Asked) -> Reply:
        return dataclasses.replace(answer(asked.prompt), delay=0.1)

    most = {}
    for rows, count in ((1, 4), (3, 12), (None, 120)):
        with serve(slow) as server:
            answers(opened(server, rows=rows), *[str(number) for number in range(count)])
            most[rows] = server.most_at_once
    assert most[1] == 1
    assert most[3] == 3
    assert 9 <= most[None] <= 20


def test_many_429_lower_the_concurrency() -> None:
    """A server that bears four requests at once: all samples are answered, with few refusals."""
    now, lock = 0, threading.Lock()

    def crowded(asked: Asked) -> Reply:
        nonlocal now
        with lock:
            now += 1
            crowd = now
        time.sleep(0.01)
        with lock:
            now -= 1
        return error(429) if crowd > 4 else answer(f"re {asked.prompt}")

    texts = [str(number) for number in range(200)]
    with serve(crowded) as server:
        found = answers(opened(server, sample_seconds=20.0), *texts)
    assert {key: each.text for key, each in found.items()} == {text: f"re {text}" for text in texts}
    assert len(server.asked) < 300


def test_everything_at_once_ends_and_nothing_is_shifted() -> None:
    """Faults of all kinds over 60 samples: each ends once, and each answer is that of its own prompt."""
    faults = [*PASSING.values(), *(reply for reply, _ in LASTING.values())]
    seen: Counter[str] = Counter()

    def script(asked: Asked) -> Reply:
        seen[asked.prompt] += 1
        number = int(asked.prompt)
        if number % 2 and seen[asked.prompt] == 1:
            return faults[number // 2 % len(faults)]()
        return dataclasses.replace(answer(f"re {number}"), delay=(number * 7 % 5) * 0.02)

    texts = [str(number) for number in range(60)]
    with serve(script) as server:
        found = answers(opened(server), *texts)
    failed = [key for key, each in found.items() if each.failure is not None]
    assert {key: each.text for key, each in found.items() if each.failure is None} == {
        text: f"re {text}" for text in texts if text not in failed
    }
    assert {int(key) // 2 % len(faults) >= len(PASSING) for key in failed} == {True}
    assert len(failed) == sum(number // 2 % len(faults) >= len(PASSING) for number in range(1, 60, 2))


INTERRUPTED = """
import signal
import sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background inherits that it is ignored
from xlingual.plugin import ModelOptions
from xlingual.records import Form, Message, Request, Role
from xlingual.registry import MODELS
message = Message(role=Role.USER, text="q")
request = Request(key="k", form=Form.CHAT, messages=(message,), stop=(), max_new_tokens=3)
list(MODELS.get("openai")("m@" + sys.argv[1], ModelOptions()).answer([request]))
"""


def test_an_interrupt_does_not_wait_for_the_server() -> None:
    with serve(lambda _: Reply(manner="hang")) as server:
        environment = {**os.environ, "PYTHONWARNINGS": "error"}
        process = subprocess.Popen(
            [sys.executable, "-c", INTERRUPTED, server.url], env=environment, stderr=subprocess.PIPE, text=True
        )
        try:
            while not server.asked and process.poll() is None:
                time.sleep(0.02)
            start = time.monotonic()
            process.send_signal(signal.SIGINT)
            _, shown = process.communicate(timeout=10)
            assert time.monotonic() - start < 4
        finally:
            process.kill()
    assert process.returncode == -signal.SIGINT
    assert shown.rstrip().endswith("KeyboardInterrupt")
