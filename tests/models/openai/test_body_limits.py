"""R14: whatever a server sends, packed or not, ends at a stated limit; the failure of the sample says so."""

import gzip
import json
import socket
import threading
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import Any

import pytest

from xlingual.errors import EnvironmentFault
from xlingual.plugin import Model, ModelOptions
from xlingual.records import Form, Message, Request, Response, Role
from xlingual.registry import MODELS

from ..fault_server import Reply, Script, answer, serve

pytest.importorskip("openai", reason="needs the extra `openai`")
LIMIT = 2**20


@pytest.fixture(autouse=True)
def small_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_module("xlingual.plugins.models.openai.body_limits"), "MOST_BYTES", LIMIT)


def ask(text: str = "q") -> Request:
    message = Message(role=Role.USER, text=text)
    return Request(key=text, form=Form.CHAT, messages=(message,), stop=(), max_new_tokens=8)


def answered(script: Script, **tells: Reply) -> Response:
    with serve(script, tells={f"/v1/{name}": reply for name, reply in tells.items()}) as server:
        [response] = MODELS.get("openai")(f"m@{server.url}", ModelOptions(timeout=20)).answer([ask()])
    return response


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


PACKERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "deflate": ("deflate", zlib.compress),
    "deflate without its header": ("deflate", raw_deflate),
    "none": ("identity", bytes),
}


@pytest.mark.parametrize("packer", PACKERS)
def test_a_packed_answer_is_read_as_one_that_is_not(packer: str) -> None:
    name, pack = PACKERS[packer]
    body = pack(answer("Warszawa").body + b" " * (LIMIT // 2))
    response = answered(lambda _: Reply(body=body, headers={"Content-Encoding": name}))
    assert response.text == "Warszawa"


@pytest.mark.parametrize("status", [200, 400, 500])
@pytest.mark.parametrize("packer", PACKERS)
def test_a_body_over_the_limit_is_the_failure_of_its_sample(packer: str, status: int) -> None:
    """An answer and a refusal alike: 40 MB in 40 kB."""
    name, pack = PACKERS[packer]
    body = pack(json.dumps({"error": {"message": "x" * 40 * LIMIT}}).encode())
    tracemalloc.start()
    response = answered(lambda _: Reply(body=body, status=status, headers={"Content-Encoding": name}))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert response.failure is not None
    assert (response.failure.kind, response.failure.message) == ("too large", "the server sent more than 1 MiB")
    assert packer == "none" or peak < 16 * LIMIT


@pytest.mark.parametrize(
    ("encoding", "body", "said"),
    [
        (
            "gzip, gzip",
            gzip.compress(gzip.compress(b"{}", mtime=0), mtime=0),
            "the server packed its body by gzip, gzip",
        ),
        ("br", b"\x0b\x00\x80{}\x03", "the server packed its body by br"),
        ("zstd", b"(\xb5/\xfd", "the server packed its body by zstd"),
        ("gzip", b"no gzip at all", "not gzip: "),
        ("deflate", b"\xff\xff\xff", "not deflate: "),
        ("gzip", gzip.compress(b"{}" * 1000, mtime=0)[:-12], "the body ends within its gzip data"),
    ],
)
def test_a_body_that_cannot_be_unpacked_is_the_failure_of_its_sample(encoding: str, body: bytes, said: str) -> None:
    response = answered(lambda _: Reply(body=body, headers={"Content-Encoding": encoding}))
    assert response.failure is not None
    assert response.failure.kind == "unreadable body"
    assert said in response.failure.message


def test_the_server_is_told_what_it_may_pack_with() -> None:
    with serve(lambda _: answer("x")) as server:
        list(MODELS.get("openai")(f"m@{server.url}", ModelOptions()).answer([ask()]))
    assert server.asked[0].headers["accept-encoding"] == "gzip, deflate"


def test_a_list_of_models_over_the_limit_is_no_list() -> None:
    bomb = Reply(body=gzip.compress(b" " * 40 * LIMIT), headers={"Content-Encoding": "gzip"})
    with pytest.raises(EnvironmentFault, match="the server sent more than 1 MiB"):
        answered(lambda _: answer("x"), models=bomb)


@contextmanager
def endless(start: bytes, rest: bytes) -> Iterator[str]:
    """Serve `start`, then `rest` without end, to every question but the one for models."""
    listener = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def talk(client: socket.socket) -> None:
        with client, suppress(OSError):
            question = client.recv(65536)
            if question.startswith(b"GET"):
                body = json.dumps({"data": [{"id": "m"}]}).encode()
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)
                return
            client.sendall(start)
            while not over.is_set():
                client.sendall(rest)

    def listen() -> None:
        with suppress(OSError):
            while not over.is_set():
                threading.Thread(target=talk, args=[listener.accept()[0]], daemon=True).start()

    threading.Thread(target=listen, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    finally:
        over.set()
        listener.close()


CHUNK = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
STREAMS: dict[str, tuple[bytes, bytes, str]] = {
    "a body": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", CHUNK, "too large"),
    "a body that ends with the connection": (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65536, "too large"),
    "a line of an event stream": (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: ", b"x" * 65536, "too large",
    ),
    "a header": (b"HTTP/1.1 200 OK\r\nX-Long: ", b"x" * 65536, "connection"),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"X-Next: 1\r\n" * 4096, "connection"),
    "a status line": (b"HTTP/1.1 200 ", b"x" * 65536, "connection"),
    "a length of a chunk": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0" * 65536, "connection"),
}  # fmt: skip


@pytest.mark.parametrize("kind", STREAMS)
def test_what_has_no_end_is_given_up(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    start, rest, failure = STREAMS[kind]
    pacing: Any = import_module("xlingual.plugins.models.openai.pacing")
    limits = pacing.RateLimits(attempts=1, first_attempts=1)
    with endless(start, rest) as url:
        model: Any = MODELS.get("openai")(f"m@{url}", ModelOptions(timeout=20))
        model.limits = limits
        tracemalloc.start()
        found = failure_of(model)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert found == failure
    assert peak < 16 * LIMIT


def failure_of(model: Model) -> str:
    """Return the kind of the sample's failure; "connection" where the server never answers, which ends the run."""
    try:
        [response] = model.answer([ask()])
    except EnvironmentFault:
        return "connection"
    assert response.failure is not None
    return response.failure.kind
