"""A stand-in for vLLM's server, put into a fake environment by the tests: same command line, same API, no model.

It runs as `python -m vllm.entrypoints.cli.main serve MODEL ...` and does as $FAKE_VLLM says: "" (answers), "fail" (ends
at once), "sleep" (is never healthy), "crash-N" (every process dies over its Nth answer), "crash-once-N". What happens
is noted in the folder $FAKE_VLLM_NOTES.
"""

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

NOTES = Path(os.environ["FAKE_VLLM_NOTES"])
WORDS = os.environ.get("FAKE_VLLM", "").split("-")
LOCK = threading.Lock()
ARGUMENTS = sys.argv[1:]
answered = 0


def note(name: str, text: str) -> None:
    with (NOTES / name).open("a", encoding="utf-8") as stream:
        stream.write(text + "\n")


def tokens_of(prompt: str) -> list[str]:
    return [] if prompt == "silent" else ["\n\n", *prompt, " ", *prompt][: 12 + len(prompt)]


def option(name: str) -> str:
    return ARGUMENTS[ARGUMENTS.index(name) + 1]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in http.server
        """Say nothing."""

    def do_GET(self) -> None:
        self.reply(503 if WORDS[0] == "sleep" else 200, {})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        chat = "messages" in body
        prompt = body["messages"][-1]["content"] if chat else body["prompt"]
        self.count(prompt)
        rendered = "".join(each["content"] + "\n" for each in body["messages"]) if chat else prompt
        read = len(Tokenizer.from_file(f"{ARGUMENTS[1]}/tokenizer.json").encode(rendered).ids)
        if body["model"] != option("--served-model-name"):
            self.reply(404, {"error": {"message": "no such model"}})
        elif read > 128:
            self.reply(400, {"error": {"message": "too long"}})
        else:
            self.reply(200, answer(prompt, body, chat, read))

    def count(self, prompt: str) -> None:
        global answered  # noqa: PLW0603 - one server, one counter
        with LOCK:
            answered += 1
            note("asked", json.dumps(prompt))
            once = WORDS[1:2] == ["once"]
            if WORDS[0] == "crash" and answered == int(WORDS[-1]) and not (once and (NOTES / "crashed").exists()):
                note("crashed", str(os.getpid()))
                os._exit(9)

    def reply(self, status: int, document: object) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def answer(prompt: str, body: dict[str, Any], chat: bool, read: int) -> dict[str, Any]:
    tokens = tokens_of(prompt)
    kept = tokens[: body.get("max_completion_tokens", body.get("max_tokens"))]
    text = "".join(kept)
    places = [(place, each) for each in body.get("stop", ()) if (place := text.find(each)) >= 0]
    reason = "stop" if places or len(kept) == len(tokens) else "length"
    cut = text[: min(places)[0]] if places else text
    content = {"message": {"content": cut}} if chat else {"text": cut}
    stopped = min(places)[1] if places else None
    usage = {"prompt_tokens": read, "completion_tokens": len(kept)}
    return {"choices": [{"finish_reason": reason, "stop_reason": stopped, **content}], "usage": usage}


def main() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    note("launched", json.dumps([os.getpid(), child.pid, ARGUMENTS]))
    note("environment", " ".join(sorted(os.environ)))
    if WORDS[0] == "fail":
        sys.exit(f"RuntimeError: no GPU found; key {os.environ.get('FAKE_CANARY')}")
    ThreadingHTTPServer(("127.0.0.1", int(option("--port"))), Handler).serve_forever()


if __name__ == "__main__":
    main()
