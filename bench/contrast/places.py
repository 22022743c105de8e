"""Where a tool is run, and how: a folder of its own for each fault, nothing of the user's, no hub."""

import json
import os
import re
import shlex
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from .server import QUESTIONS

SECONDS = 240.0
"""After which a command is given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The folder of one fault for one tool."""

    root: Path

    @property
    def out(self) -> Path:
        """What the tool writes: results, logs, answers."""
        return self.root / "out"

    @property
    def data(self) -> Path:
        """The questions."""
        return self.root / "data"

    def prepare(self) -> None:
        """Write the questions, the same for every tool."""
        self.out.mkdir(parents=True, exist_ok=True)
        (self.data / "sums").mkdir(parents=True)
        rows = [
            {"id": f"q{number}", "question": f"What is {number} plus 5?", "answer": str(number + 5)}
            for number in range(QUESTIONS)
        ]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (self.data / "sums" / "en.test.jsonl").write_text(text, encoding="utf-8")


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """The words of a command, and what it needs of the environment."""

    name: str
    """Of the program, as a person types it."""
    program: tuple[str, ...]
    """How it is started here."""
    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def words(self) -> list[str]:
        """All words."""
        return [*self.program, *self.arguments]

    def shown(self, place: Place, url: str) -> str:
        """Return the command as a person types it, without what is of this machine."""
        line = shlex.join([self.name, *self.arguments])
        line = re.sub(r"\S*\d{4}-\d\d-\d\dT\S*\.(eval|json)", "LOG", line)
        line = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT", line.replace(url, "URL"))
        return line.replace(f"{place.root}/", "").replace(str(place.root), ".")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What became of a command."""

    code: int | None
    """As a shell tells it, 128 + N for signal N; None where it was given up."""
    out: str
    err: str

    @property
    def text(self) -> str:
        """All that it printed."""
        return self.out + self.err


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A result that a tool shows to its users."""

    n: int
    score: float | None
    """Percent."""
    is_complete: bool
    """Whether the tool calls it a whole and successful run."""


class Tool(Protocol):
    """An evaluation harness and its documented ways."""

    @property
    def name(self) -> str:
        """Return what it is called."""

    def version(self) -> str:
        """Return its version."""

    def prepare(self, place: Place) -> None:
        """Write its task file."""

    def ask(self, place: Place, url: str) -> Command:
        """Return the command of a run, with what its documentation offers against lost answers."""

    def resume(self, place: Place, url: str) -> list[Command]:
        """Return the documented commands after a run that was cut off."""

    def published(self, place: Place) -> list[Published]:
        """Return its results."""

    def store(self, place: Place) -> Path | None:
        """Return the file that holds the answers."""

    def edit(self, place: Place) -> None:
        """Set the score of a finished run to 99.9."""

    def show(self, place: Place) -> list[Command]:
        """Return the documented commands that read finished results."""

    def local(self, place: Place, model: Path) -> Command:
        """Return the command of a run of a chat model on this machine."""

    def nested(self, place: Place, url: str, text: str) -> Command:
        """Return a command that reads a file of its own with a value `text`."""

    def documents(self, place: Place) -> list[object]:
        """Return all JSON documents of a finished run."""


def environment_of(place: Place, command: Command) -> dict[str, str]:
    """Return the environment of a command: this one's, without the user's settings, and offline."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("XLINGUAL_", "INSPECT_", "HF_"))}
    return {
        **kept,
        "HOME": str(place.root),
        "XDG_DATA_HOME": str(place.root / "share"),
        "XDG_CACHE_HOME": str(place.root / "cache"),
        "HF_HOME": str(place.root / "hub"),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "COLUMNS": "200",
        **command.environment,
    }


def start(place: Place, command: Command, words: Sequence[str] | None = None) -> "subprocess.Popen[bytes]":
    """Start a command; what it prints goes to files, which no reader can block."""
    number = len(list(place.root.glob("printed-*.out")))
    out, err = (place.root / f"printed-{number}.{kind}" for kind in ("out", "err"))
    with out.open("wb") as first, err.open("wb") as second:
        return subprocess.Popen(
            words or command.words, cwd=place.root, env=environment_of(place, command), stdin=subprocess.DEVNULL,
            stdout=first, stderr=second,
        )  # fmt: skip


def end(place: Place, process: "subprocess.Popen[bytes]", number: int | None = None) -> Ended:
    """Wait for a process, and return what it printed as the `number`-th of its place, or as the newest."""
    code: int | None
    try:
        code = process.wait(SECONDS)
        code = code if code >= 0 else 128 - code
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        code = None
    number = len(list(place.root.glob("printed-*.out"))) - 1 if number is None else number
    out, err = (
        (place.root / f"printed-{number}.{kind}").read_text(encoding="utf-8", errors="replace")
        for kind in ("out", "err")
    )
    return Ended(code=code, out=out, err=err)


def run(place: Place, command: Command, words: Sequence[str] | None = None) -> Ended:
    """Run a command to its end."""
    return end(place, start(place, command, words))


def run_all(place: Place, commands: Sequence[Command]) -> list[Ended]:
    """Run commands one after the other."""
    return [run(place, each) for each in commands]


def documents_of(paths: Sequence[Path]) -> list[object]:
    """Return the documents of JSON files and of files with one on each line."""
    found: list[object] = []
    for path in paths:
        text = path.read_text(encoding="utf-8")
        parts = text.splitlines() if path.suffix == ".jsonl" else [text]
        found += [json.loads(part) for part in parts if part.strip()]
    return found
