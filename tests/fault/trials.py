"""Commands that are run with a fault, by a warm process; and what must hold however they end."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .layer import Fault

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 120
"""A command of the suite takes less than one second; a loaded machine is given time."""
BUG = 70


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    code: int | None
    """Its exit code, -SIGNAL, None where it had to be killed."""
    out: str
    err: str
    calls: tuple[str, ...]
    """Calls that were counted, KIND PATH; that of the fault begins with "!"."""
    peak: int
    """The most memory that it held, in KiB."""

    @property
    def hit(self) -> str | None:
        """The call of the fault; None where there were fewer."""
        return next((line for line in self.calls if line.startswith("!")), None)

    def __str__(self) -> str:
        """For assertions: what happened."""
        return f"exit code {self.code} after {self.hit}\n{self.out}{self.err}"


@dataclass(frozen=True, slots=True)
class Place:
    """Folders of one trial: the command works in `work`; what it prints is beside that."""

    root: Path
    apart: Path | None = None
    """Where what it prints goes; None: into `root`."""

    @property
    def said(self) -> Path:
        """The folder of what it prints, which no fault concerns."""
        return self.apart or self.root / "said"

    @property
    def work(self) -> Path:
        """The working folder, which holds everything that the command reads and writes."""
        return self.root / "work"

    def clear(self) -> None:
        """Begin anew."""
        shutil.rmtree(self.root, ignore_errors=True)
        shutil.rmtree(self.said, ignore_errors=True)
        for folder in (self.work / "cache", self.work / "tmp", self.said):
            folder.mkdir(parents=True)

    def fill(self, stock: Path, names: Sequence[str]) -> None:
        """Begin anew, with copies of files and folders of `stock`."""
        self.clear()
        for name in names:
            source, target = stock / name, self.work / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target)
            else:
                shutil.copy2(source, target)


class Warm:
    """A process that forks commands."""

    def __init__(self, before: Sequence[str] = ()) -> None:
        """`before` are words in front of the interpreter, `unshare` and its options."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("XLINGUAL_")}
        paths = [str(ROOT / "harness"), *filter(None, [environment.get("PYTHONPATH")])]
        environment |= {
            "PYTHONPATH": os.pathsep.join(paths),
            "OMP_NUM_THREADS": "1",
            "TOKENIZERS_PARALLELISM": "false",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self.process = subprocess.Popen(
            [*before, sys.executable, "-m", "tests.fault.warm"], cwd=ROOT, env=environment, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def send(self, message: dict[str, object]) -> Any:  # noqa: ANN401 - what the process answers
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def start(self, words: Sequence[str], place: Place, **how: Any) -> int:  # noqa: ANN401 - fields of a job
        """Start a command; return its pid. `how`: see `run`."""
        fault = how.pop("fault", Fault())
        job: dict[str, object] = {
            "words": list(words),
            "folder": str(place.work),
            "environment": {
                "HOME": str(place.work / "home"),
                "XLINGUAL_CACHE": str(place.work / "cache"),
                "TMPDIR": str(place.work / "tmp"),
                "XLINGUAL_SCRIPTED_LOG": str(place.said / "asked"),
                "OPENAI_API_KEY": "none",
                **how.pop("environment", {}),
            },
            "fault": asdict(fault),
            "watched": [str(each) for each in how.pop("watched", [place.work] if fault.at else [])],
            "output": how.pop("output", str(place.said / "out")),
            "error": how.pop("error", str(place.said / "err")),
            "trace": str(place.said / how.pop("trace", "trace")),
            "file_size": how.pop("file_size", 0),
            "modules": how.pop("modules", None),
        }
        if how:
            raise TypeError(f"unknown: {sorted(how)}")
        for name in ("out", "err"):
            (place.said / name).write_text("", encoding="utf-8")
        return int(self.send({"start": job})["pid"])

    def wait(self, pid: int, place: Place, trace: str = "trace") -> Ended:
        """Wait for the end of a command."""
        answer = self.send({"wait": pid, "seconds": SECONDS})
        said = {name: read(place.said / name) for name in ("out", "err", trace)}
        return Ended(answer["code"], said["out"], said["err"], tuple(said[trace].splitlines()), answer["peak"])

    def run(self, words: Sequence[str], place: Place, **how: Any) -> Ended:  # noqa: ANN401 - fields of a job
        """Run a command to its end.

        `how`: `fault`; `watched`, the folders whose calls are counted; `output` and `error`, a path, "closed" or
        "pipe"; `environment`; `file_size`, the largest file in bytes; `modules`, a file for the names of all modules.
        """
        return self.wait(self.start(words, place, **how), place)

    def learn(self, words: Sequence[str], place: Place) -> Ended:
        """Run a command undisturbed, and import whatever it did, so that the next ones are quick."""
        names = place.said / "modules"
        ended = self.run(words, place, modules=str(names))
        self.send({"import": read(names).split()})
        return ended

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(timeout=60)


@contextmanager
def warm_process(*before: str) -> Iterator[Warm]:
    """Keep a warm process for as long as the context is open."""
    warm = Warm(before)
    try:
        yield warm
    finally:
        warm.close()


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def expect_order(ended: Ended, codes: Sequence[int]) -> None:
    """Fail unless the command ended with one of `codes`, and said why in one line where that is an error."""
    assert ended.code in codes, str(ended)
    assert ended.code != BUG, str(ended)
    assert "Traceback" not in ended.err, str(ended)
    assert "this is a bug" not in ended.err, str(ended)
    errors = [line for line in ended.err.splitlines() if line.startswith("error:")]
    told = ended.code in (0, 1) or (ended.code == 3 and not errors and "unreadable: " in ended.out)
    assert len(errors) == (not told), str(ended)


TIMES = re.compile(r'"(finished_at|at|seconds|started_at|made_at)": ?"?[^",}]*"?')


def snapshot(folder: Path) -> dict[str, str]:
    """Return what a command left, by path: each file as text, without times and what depends on them.

    A journal is what it says: the newest answer of each key.
    """
    found: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_dir() or path.name in ("notes.log", "lock") or path.name.startswith((".", "journal-damaged")):
            continue
        found[name] = _content(path)
    return found


def _content(path: Path) -> str:
    data = path.read_bytes()
    if path.name == "journal.jsonl":
        answers = [json.loads(line)["response"] for line in data.splitlines()]
        return json.dumps({each["key"]: each for each in answers}, sort_keys=True)
    if path.suffix not in (".json", ".jsonl", ".md", ".html", ".csv", ".toml"):
        return data.hex()
    text = data.decode("utf-8")
    if path.name.startswith(("results", "judge", "provenance")) and path.suffix == ".json":
        return json.dumps(_timeless(json.loads(text)), sort_keys=True)
    return TIMES.sub("TIME", text)


_VOLATILE = frozenset({"finished_at", "seconds", "peak_memory", "useful_tokens_per_second", "tokens_per_second"})


def _timeless(value: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, Mapping):
        kept = {name: _timeless(each) for name, each in value.items() if name not in _VOLATILE}
        if isinstance(kept.get("hashes"), dict):
            kept["hashes"].pop("record", None)
        return kept
    return [_timeless(each) for each in value] if isinstance(value, list) else value


def stored_keys(folder: Path) -> set[str]:
    """Return the keys of all whole lines of the journals below `folder` that have an answer."""
    keys = set()
    for path in folder.rglob("journal.jsonl"):
        for line in path.read_bytes().split(b"\n")[:-1]:
            try:
                response = json.loads(line)["response"]
            except ValueError:
                continue
            if response["failure"] is None:
                keys.add(response["key"])
    return keys
