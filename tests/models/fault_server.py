"""A server on 127.0.0.1 with OpenAI's API that fails as a test says."""

import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What to send back, and how."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    kind: str = "application/json"
    delay: float = 0.0
    """Seconds before the first byte."""
    manner: str = "whole"
    """"whole", "reset" (the connection is torn), "hang" (silence), "drip" (a byte now and then, without end), "short"
    (the body ends before its length)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request as it came in."""

    number: int
    """From 1, in the order of arrival."""
    path: str
    prompt: str
    """The last message of a chat, or the text to continue."""
    body: Mapping[str, Any]
    headers: Mapping[str, str]
    at: float


Script = Callable[[Asked], Reply]


@dataclass(slots=True)
class FaultServer:
    """A running server and what it was asked."""

    url: str
    asked: list[Asked] = field(default_factory=list)
    greeted: list[Asked] = field(default_factory=list)
    """What came before the first question: who are you?"""
    most_at_once: int = 0

    def prompts(self) -> list[str]:
        return [each.prompt for each in self.asked]


def answer(text: str | None, *, reason: str | None = "stop", chat: bool = True, **more: object) -> Reply:
    """Return the reply of a server that works; `more` goes into the choice."""
    content: dict[str, object] = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
    return document({"choices": [{"index": 0, "finish_reason": reason, **content, **more}], "usage": usage(text or "")})


def usage(text: str) -> dict[str, int]:
    return {"prompt_tokens": 7, "completion_tokens": len(text.split()), "total_tokens": 7 + len(text.split())}


def document(content: object, **how: Any) -> Reply:  # noqa: ANN401 - fields of Reply
    return Reply(body=json.dumps(content).encode(), **how)


def error(status: int, message: str = "no", **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return document({"error": {"message": message, "type": "some_error"}}, status=status, headers=named)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    script: Script
    tells: Mapping[str, Reply | Script]
    scripted: Collection[str]
    record: FaultServer
    over: threading.Event
    lock: threading.Lock
    now: int

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in http.server
        """Say nothing."""

    def do_GET(self) -> None:
        self._serve({})

    def do_POST(self) -> None:
        self._serve(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def _serve(self, body: Mapping[str, Any]) -> None:
        kind = type(self)
        prompt = body["messages"][-1]["content"] if "messages" in body else body.get("prompt", "")
        is_token = prompt == "Hello" and "stop" not in body
        with kind.lock:
            questions = ("/v1/chat/completions", "/v1/completions", *kind.scripted)
            greets = is_token or self.path.partition("?")[0] not in questions
            if greets:
                asked = Asked(number=0, path=self.path, prompt=prompt, body=body, headers=dict(self.headers), at=0.0)
                kind.record.greeted.append(asked)
                reply = kind.tells.get("token" if is_token else self.path, error(404, "no such thing"))
                self._send(reply(asked) if callable(reply) else reply)
                return
            asked = Asked(
                number=len(kind.record.asked) + 1, path=self.path, prompt=prompt, body=body,
                headers={name.lower(): value for name, value in self.headers.items()}, at=time.monotonic(),
            )  # fmt: skip
            kind.record.asked.append(asked)
            kind.now += 1
            kind.record.most_at_once = max(kind.record.most_at_once, kind.now)
        try:
            reply = kind.script(asked)
            kind.over.wait(reply.delay)
        finally:
            with kind.lock:
                kind.now -= 1
        self._send(reply)

    def _send(self, reply: Reply) -> None:
        self.close_connection = reply.manner != "whole"
        if reply.manner == "hang":
            type(self).over.wait()
        if reply.manner in ("hang", "reset"):
            # No lingering: the peer sees a reset instead of an orderly end.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            return
        try:
            self.send_response(reply.status)
            more = {"whole": 0, "short": 10, "drip": 10_000}[reply.manner]
            headers = {"Content-Type": reply.kind, "Content-Length": str(len(reply.body) + more)}
            for name, value in {**headers, **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body)
            while reply.manner == "drip" and not type(self).over.wait(0.05):
                self.wfile.write(b" ")
                self.wfile.flush()
        except OSError:
            self.close_connection = True

    def finish(self) -> None:
        try:
            super().finish()
        except (OSError, ValueError):
            self.close_connection = True


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: connections are meant to break here."""


@contextmanager
def serve(
    script: Script,
    *,
    tells: Mapping[str, Reply | Script] | None = None,
    scripted: Collection[str] = (),
    port: int = 0,
    tls: ssl.SSLContext | None = None,
) -> Iterator[FaultServer]:
    """Serve `script` on a free port, or on `port`, for as long as the context is open.

    `tells` are the answers to what is asked before the first question, by path, that to a question of one token by
    "token"; 404 where it has none. Documents at `scripted` come from the script as well.
    """
    over = threading.Event()
    record = FaultServer(url="")
    fields = {"script": staticmethod(script), "record": record, "over": over, "lock": threading.Lock(), "now": 0,
              "tells": tells or {}, "scripted": scripted}  # fmt: skip
    server = _Server(("127.0.0.1", port), type("Handler", (_Handler,), fields))
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    record.url = f"http{'s' if tls else ''}://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield record
    finally:
        over.set()
        server.shutdown()
        server.server_close()
        thread.join()
