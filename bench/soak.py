"""How the harness grows: 50,000 samples of one run, the resume of nine tenths, and 300 models on one leaderboard.

    python -m bench.soak [--samples 50000] [--models 300] [--server]

Prints a Markdown table. Each row is a command in a process of its own, timed from its start to its end; its memory is
the resident set, sampled while it runs. The model is `echo`, which costs nothing; with `--server` it is a server on
127.0.0.1 that answers at once, 16 requests at a time.
"""

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil

from xlingual.files import pretty_json
from xlingual.identity import content_hash
from xlingual.record_hash import with_hashes
from xlingual.records import RunRecord
from xlingual.serial import from_json, to_json

TASK = """\
description = "Questions for the soak test"
licence = "CC0"
citation = "none"
version = "1"
files = "soak/{language}.{split}.jsonl"
id = "id"
prompt = { instruction = "{task}", input = "{question} " }
answer = "answers"
metrics = ["squad_f1", "containment"]
max_new_tokens = 16

[languages]
en = { task = "Answer the question." }
"""
MEBIBYTE = 2**20
PAUSE = 0.1
"""Seconds between two looks at the memory of a process."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One command."""

    what: str
    seconds: float
    processor: float
    """Seconds of the processor, which other work on the machine does not lengthen."""
    memory: tuple[int, ...]
    """Bytes of the resident set, every PAUSE seconds."""
    out: str

    @property
    def peak(self) -> int:
        """The most bytes."""
        return max(self.memory, default=0)


def write_task(folder: Path, samples: int) -> None:
    """Write a task without code, and its data: one question a line, each another one."""
    (folder / "tasks").mkdir(parents=True, exist_ok=True)
    (folder / "tasks" / "soak.toml").write_text(TASK, encoding="utf-8")
    (folder / "data" / "soak").mkdir(parents=True, exist_ok=True)
    with (folder / "data" / "soak" / "en.test.jsonl").open("w", encoding="utf-8") as file:
        for number in range(samples):
            words = " ".join(str((number * 7919 + place * 104729) % 9973) for place in range(30))
            row = {"id": f"q{number:06}", "question": f"Which of {words} comes first?", "answers": [words[:4].strip()]}
            file.write(json.dumps(row) + "\n")


def measure(what: str, folder: Path, words: Sequence[str]) -> Measured:
    """Run a command of xlingual in `folder`; RuntimeError where it fails."""
    environment = {**os.environ, "XLINGUAL_PLUGINS": str(folder), "XLINGUAL_CACHE": str(folder / "cache")}
    environment |= {"OMP_NUM_THREADS": "1", "OPENAI_API_KEY": "none"}
    begun = time.monotonic()
    memory: list[int] = []
    processor = 0.0
    with (folder / "said").open("w+", encoding="utf-8") as said:
        process = psutil.Popen(
            [sys.executable, "-m", "xlingual", *words], cwd=folder, env=environment, stdout=said, stderr=said
        )
        while process.poll() is None:
            try:
                memory.append(process.memory_info().rss)
                processor = sum(process.cpu_times()[:2])
            except psutil.Error:
                break
            time.sleep(PAUSE)
        code = process.wait()
        seconds = time.monotonic() - begun
        said.seek(0)
        text = said.read()
    if code != 0:
        raise RuntimeError(f"{' '.join(words)} ended with {code}:\n{text}")
    return Measured(what, seconds, processor, tuple(memory), text)


def eval_words(model: str, out: str, limit: int) -> list[str]:
    """Return a run of the first `limit` samples."""
    words = ["eval", "-m", model, "-t", "soak/en", "--data", "data", "-o", out, "--progress", "none", "--json"]
    return [*words, "--limit", str(limit)]


def forget(folder: Path, out: str, share: float) -> int:
    """Take the last answers of a run away, and its results, as a kill would have; return how many answers are left."""
    [journal] = (folder / out).rglob("journal.jsonl")
    lines = journal.read_bytes().splitlines(keepends=True)
    kept = int(len(lines) * share)
    journal.write_bytes(b"".join(lines[:kept]) + lines[kept][:40])
    for path in [*journal.parent.glob("results*"), *journal.parent.glob("samples*")]:
        path.unlink()
    return kept


def many_models(folder: Path, models: int) -> Path:
    """Return a folder with the runs of `models` models on the packaged sample of XQuAD: one under many names.

    Each has a fingerprint and hashes of its own, so that the leaderboard checks and ranks every one.
    """
    words = ["eval", "-m", "echo", "-t", "xquad", "--data", "sample", "-o", "one", "--progress", "none", "--json"]
    measure("echo", folder, words)
    root = folder / "many"
    for path in sorted((folder / "one").rglob("results.json")):
        record = from_json(RunRecord, json.loads(path.read_text(encoding="utf-8")))
        samples = (path.parent / "samples.jsonl").read_text(encoding="utf-8")
        plan = json.loads((path.parent / "run.json").read_text(encoding="utf-8"))
        for number in range(models):
            fingerprint = content_hash(["soak", number])
            model = replace(record.model, name=f"model-{number:03}", fingerprint=fingerprint)
            target = root / f"model-{number:03}-{fingerprint[:8]}" / path.parent.name
            target.mkdir(parents=True)
            copy = with_hashes(replace(record, model=model), samples)
            (target / "results.json").write_text(pretty_json(to_json(copy)), encoding="utf-8")
            (target / "samples.jsonl").write_text(samples, encoding="utf-8")
            plan["model"] = to_json(model)
            (target / "run.json").write_text(json.dumps(plan), encoding="utf-8")
    return root


class _Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name in http.server
        """Say nothing."""

    def do_GET(self) -> None:
        """List no models."""
        self._send(404, b"{}")

    def do_POST(self) -> None:
        """Answer at once."""
        self.rfile.read(int(self.headers["Content-Length"]))
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "42"}}
        usage = {"prompt_tokens": 40, "completion_tokens": 1, "total_tokens": 41}
        self._send(200, json.dumps({"choices": [choice], "usage": usage}).encode())

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def echo_server() -> Iterator[str]:
    """Serve answers on 127.0.0.1; yields the word for --model."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Echo)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"openai:soak@http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()


def soak_samples(folder: Path, model: str, samples: int) -> Iterator[Measured]:
    """Yield a run of a quarter, of a half and of all samples, and the resume of nine tenths."""
    more = ["--concurrency", "16"] if model.startswith("openai:") else []
    for part in (samples // 4, samples // 2, samples):
        yield measure(f"{part:,} samples", folder, [*eval_words(model, f"out-{part}", part), *more])
    forget(folder, f"out-{samples}", 0.9)
    yield measure(f"resume with {samples * 9 // 10:,} of them answered", folder,
                  [*eval_words(model, f"out-{samples}", samples), *more])  # fmt: skip


def soak_board(folder: Path, models: int) -> Measured:
    """Return a leaderboard of many models in seven languages, whose runs are all read and checked."""
    many_models(folder, models)
    return measure(f"{models} models on one board", folder, ["board", "many", "-b", "sample", "-w", "board.md"])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--samples", type=int, default=50_000)
    parser.add_argument("--models", type=int, default=300)
    parser.add_argument("--server", action="store_true", help="ask a server on 127.0.0.1 instead of the echo model")
    words = parser.parse_args()
    print("| command | seconds | most memory, MiB |\n| --- | --: | --: |")
    with tempfile.TemporaryDirectory() as name, echo_server() as server:
        folder = Path(name)
        write_task(folder, words.samples)
        for each in soak_samples(folder, server if words.server else "echo", words.samples):
            print(f"| {each.what} | {each.seconds:.1f} | {each.peak / MEBIBYTE:.0f} |", flush=True)
        if words.models:
            each = soak_board(folder, words.models)
            print(f"| {each.what} | {each.seconds:.1f} | {each.peak / MEBIBYTE:.0f} |", flush=True)


if __name__ == "__main__":
    main()
