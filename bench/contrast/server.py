"""A model on 127.0.0.1 that speaks OpenAI's API, adds two numbers, and writes down what it was asked.

It is wrong about every fourth question, so that a whole run scores 75.
"""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from subprocess import Popen
from typing import Any

QUESTIONS = 12
SCORE = 75.0
"""Percent of a whole run."""
_SUM = re.compile(r"What is (\d+) plus (\d+)\?")


@dataclass(slots=True)
class Asked:
    """One question as it came in."""

    question: int
    """From 0; the first of the two numbers."""
    is_answered: bool = False
    """Whether the whole reply was sent with status 200."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """How one question is answered."""

    status: int = 200
    finish: str = "stop"
    delay: float = 0.0
    """Seconds before the reply."""


Manner = Callable[[int, int], Reply]
"""How a question is answered, by its number and how often it has come before."""


def well(*_: int) -> Reply:
    """Answer at once."""
    return Reply()


def slowly(*_: int) -> Reply:
    """Leave a tool time to store each answer before the next one."""
    return Reply(delay=0.4)


def very_slowly(*_: int) -> Reply:
    """Take longer for all questions than a tool takes to start."""
    return Reply(delay=2.0)


@dataclass(slots=True)
class Loopback:
    """A running server."""

    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def wait_for(self, count: int, process: "Popen[bytes]", seconds: float = 180.0) -> None:
        """Return once `count` questions have come in, or the process has ended."""
        until = time.monotonic() + seconds
        while len(self.asked) < count and process.poll() is None and time.monotonic() < until:
            time.sleep(0.01)

    def answered(self) -> set[int]:
        """Return the questions that have been answered whole."""
        return {each.question for each in self.asked if each.is_answered}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    record: Loopback
    manner: Manner

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in http.server
        """Say nothing."""

    def do_GET(self) -> None:
        """List the one model."""
        is_list = self.path.partition("?")[0] == "/v1/models"
        self._send(200 if is_list else 404, {"object": "list", "data": [{"id": "m", "object": "model"}]})

    def do_POST(self) -> None:
        """Add two numbers, or greet."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        messages = body.get("messages") or [{"content": str(body.get("prompt", ""))}]
        found = _SUM.findall(json.dumps(messages))
        if not found:
            self._send(200, _completion("Hi", "stop"))
            return
        first, second = (int(each) for each in found[-1])
        kind = type(self)
        with kind.record.lock:
            before = sum(each.question == first for each in kind.record.asked)
            asked = Asked(first)
            kind.record.asked.append(asked)
        reply = kind.manner(first, before)
        time.sleep(reply.delay)
        if reply.status != 200:
            self._send(reply.status, {"error": {"message": "no", "type": "some_error"}})
            return
        text = str(first + second + (first % 4 == 3))
        asked.is_answered = self._send(200, _completion(text, reply.finish))

    def _send(self, status: int, document: Any) -> bool:  # noqa: ANN401 - JSON
        content = json.dumps(document).encode()
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            if status == 429:
                self.send_header("Retry-After", "1")
            self.end_headers()
            self.wfile.write(content)
            self.wfile.flush()
        except OSError:
            self.close_connection = True
            return False
        return True


def _completion(text: str, finish: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    return {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 1, "total_tokens": 8},
    }


@contextmanager
def serve(manner: Manner) -> Iterator[Loopback]:
    """Serve on a free port while the context is open."""
    record = Loopback()
    handler = type("Handler", (_Handler,), {"record": record, "manner": staticmethod(manner)})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    record.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield record
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
