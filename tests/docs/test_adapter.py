"""The adapter that docs/models.md shows, against a real server on loopback that fails as it is told."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from xlingual.plugin import DataSource
from xlingual.selection import select_tasks

from .conftest import PLUGINS, Xlingual

SAMPLE = DataSource(folder=None, sample=True, offline=True)
MANNERS = {
    "error 500": "HTTPError",
    "connection torn": "RemoteDisconnected",
    "body cut short": "IncompleteRead",
    "not JSON": "JSONDecodeError",
    "a list": "TypeError",
    "no text": "KeyError",
    "null for a text": "TypeError",
}
"""What the server does instead of an answer, and the kind of the failure that it makes."""


@dataclass(slots=True)
class Server:
    """A server of the small protocol: it knows the gold answers, and fails at the questions in `faults`."""

    golds: Mapping[str, str]
    url: str = ""
    faults: dict[str, str] = field(default_factory=dict)
    """Question -> manner."""
    asked: list[str] = field(default_factory=list)
    pause: float = 0.0
    """Seconds before each reply."""


def reply_of(server: Server, question: str) -> bytes:
    """Return the body of an answer; the line behind the first is what a stop string cuts off."""
    broken: dict[str, Any] = {
        "a list": ["Paris"],
        "no text": {"ended": True},
        "null for a text": {"text": None, "ended": True},
    }
    manner = server.faults.get(question)
    if manner == "not JSON":
        return b"<html>busy</html>"
    return json.dumps(broken.get(manner or "", {"text": f"{server.golds[question]}\nand more", "ended": True})).encode()


@contextmanager
def serve(server: Server) -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            prompt = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["prompt"]
            question = next(each for each in server.golds if f"Question: {each}\n" in prompt)
            server.asked.append(question)
            time.sleep(server.pause)
            manner = server.faults.get(question)
            if manner == "connection torn":
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            body = reply_of(server, question)
            self.send_response(500 if manner == "error 500" else 200)
            self.send_header("Content-Length", str(len(body) + 9 if manner == "body cut short" else len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        server.url = f"http://127.0.0.1:{http.server_address[1]}"
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    rows = select_tasks(["xquad/en"], [])[0].examples("test", SAMPLE).rows
    with serve(Server({row.fields["question"]: row.targets[0] for row in rows})) as running:
        yield running


def command(server: Server, out: Path, *more: str) -> list[str]:
    return ["eval", "-m", f"tinyserver:{server.url}", "-t", "xquad/en", "--data", "sample", "-o", str(out), *more]


def results(out: Path) -> dict[str, Any]:
    [path] = out.rglob("results.json")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def samples(out: Path) -> list[dict[str, Any]]:
    [path] = out.rglob("samples.jsonl")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_the_command_of_the_page(server: Server, tmp_path: Path) -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "xlingual", *command(server, tmp_path)],
        env={**os.environ, "XLINGUAL_PLUGINS": str(PLUGINS)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert finished.returncode == 0, finished.stderr
    assert "| xquad/en | 24 | 100.0 [74.1, 100.0] |" in finished.stdout
    assert sorted(server.asked) == sorted(server.golds)


def test_failures_are_counted_and_asked_again(server: Server, xlingual: Xlingual, tmp_path: Path) -> None:
    server.faults = dict(zip(server.golds, MANNERS, strict=False))
    first = xlingual(*command(server, tmp_path))
    assert first.code == 1
    assert "answered 17 of 24 samples; the same command again asks the rest" in first.stderr
    counts, [containment, *_] = results(tmp_path)["counts"], results(tmp_path)["estimates"]
    assert (counts["answered"], counts["failed"], counts["missing"]) == (17, 7, 0)
    # A failure is unscored, never wrong.
    assert (containment["value"], containment["n"], containment["unscored"]) == (100.0, 17, 7)
    kinds = {line["messages"][0]["text"]: line["failure"]["kind"] for line in samples(tmp_path) if line["failure"]}
    for question, manner in server.faults.items():
        assert [kind for prompt, kind in kinds.items() if f"Question: {question}\n" in prompt] == [MANNERS[manner]]

    failing, server.faults, server.asked = set(server.faults), {}, []
    again = xlingual(*command(server, tmp_path))
    assert again.code == 0, again.stderr
    assert set(server.asked) == failing
    assert len(server.asked) == len(failing)
    assert results(tmp_path)["counts"]["failed"] == 0
    assert all(line["answer"] in server.golds.values() and line["finish"] == "stop" for line in samples(tmp_path))

    server.asked = []
    assert xlingual(*command(server, tmp_path)).code == 0
    assert server.asked == []


def test_a_run_that_is_broken_off_asks_no_more(server: Server, xlingual: Xlingual, tmp_path: Path) -> None:
    server.faults, server.pause = dict.fromkeys(server.golds, "error 500"), 0.2
    finished = xlingual(*command(server, tmp_path, "--max-errors", "2", "--batch-size", "1"))
    assert finished.code == 1
    assert "stopped after 3 failed samples; the last: Failure(kind='HTTPError'" in finished.stderr
    # On a busy machine the pool runs ahead of the one who stops it.
    assert 3 <= len(server.asked) < len(server.golds)


def test_a_server_that_is_gone_fails_every_sample(server: Server, xlingual: Xlingual, tmp_path: Path) -> None:
    with serve(Server(server.golds)) as gone:
        pass
    assert xlingual(*command(gone, tmp_path, "--max-errors", "99")).code == 1
    assert {line["failure"]["kind"] for line in samples(tmp_path)} == {"URLError"}


@pytest.mark.parametrize("words", [("-t", "seas"), ("--template", "chat")])
def test_what_the_server_cannot_do_is_a_failure(
    words: tuple[str, ...], server: Server, xlingual: Xlingual, tmp_path: Path
) -> None:
    finished = xlingual(*command(server, tmp_path, "--max-errors", "99", *words))
    assert finished.code == 1
    assert server.asked == []
    lines = [line for path in tmp_path.rglob("samples.jsonl") for line in path.read_text("utf-8").splitlines()]
    assert {json.loads(line)["failure"]["kind"] for line in lines} == {"ValueError"}


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (("--temperature", "0.5"), "--temperature"),
        (("--thinking", "on"), "--thinking"),
        (("--max-thinking-tokens", "9"), "--max-thinking-tokens"),
        (("--dtype", "float32"), "--dtype"),
    ],
)
def test_what_the_adapter_does_not_say_that_it_follows_is_refused(
    xlingual: Xlingual, tmp_path: Path, words: tuple[str, ...], option: str
) -> None:
    """Its answers would be greedy, and the board would say that they were drawn."""
    command = ("eval", "-m", "tinyserver:http://127.0.0.1:9", "-t", "xquad/en", "--data", "sample", "-o", str(tmp_path))
    shown = xlingual(*command, *words)
    assert shown.code == 2
    assert shown.stderr.startswith(f"error: {option}: tinyserver models cannot ")
