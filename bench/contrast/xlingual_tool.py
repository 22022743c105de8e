"""xlingual as a tool of the contrast: a task of one TOML file."""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from .places import Command, Place, Published, documents_of

TASK = """\
description = "Sums"
licence = "CC0"
citation = "none"
version = "1"
files = "sums/{language}.{split}.jsonl"
id = "id"
prompt = { instruction = "{task}", input = "{question}\\n{cue} " }
answer = "answer"
metrics = ["squad_em"]
max_new_tokens = 8

[languages]
en = { task = "Answer with a number.", cue = "Answer:" }
"""


@dataclass(frozen=True, slots=True)
class Xlingual:
    """The command `xlingual`."""

    python: str = sys.executable
    name: str = "xlingual"

    def _command(self, place: Place, *arguments: str) -> Command:
        path = os.environ.get("PYTHONPATH", "")
        environment = {"XLINGUAL_PLUGINS": str(place.root / "mine"), "PYTHONPATH": path}
        program = (self.python, "-m", "xlingual")
        return Command(name="xlingual", program=program, arguments=arguments, environment=environment)

    def version(self) -> str:
        """Return its version."""
        return "of this repository"

    def prepare(self, place: Place) -> None:
        """Write its task file."""
        (place.root / "mine" / "tasks").mkdir(parents=True)
        (place.root / "mine" / "tasks" / "sums.toml").write_text(TASK, encoding="utf-8")

    def _eval(self, place: Place, model: str, *more: str) -> Command:
        words = ("eval", "-m", model, "-t", "sums/en", "--data", str(place.data), "--out", str(place.out))
        return self._command(place, *words, *more)

    def ask(self, place: Place, url: str) -> Command:
        """Return the command of a run."""
        return self._eval(place, f"openai:m@{url}", "--concurrency", "1")

    def resume(self, place: Place, url: str) -> list[Command]:
        """Return the same command."""
        return [self.ask(place, url)]

    def _results(self, place: Place) -> list[Path]:
        return sorted(path for path in place.out.rglob("results.json") if "before-" not in str(path))

    def published(self, place: Place) -> list[Published]:
        """Return its results."""
        found = []
        for path in self._results(place):
            record = json.loads(path.read_text(encoding="utf-8"))
            [score] = [each for each in record["estimates"] if each["metric"] == "squad_em"]
            counts = record["counts"]
            whole = not counts["failed"] and not counts["missing"]
            found.append(Published(n=score["n"], score=score["value"], is_complete=whole))
        return found

    def store(self, place: Place) -> Path | None:
        """Return the journal."""
        return next(place.out.rglob("journal.jsonl"), None)

    def edit(self, place: Place) -> None:
        """Set the score of a finished run to 99.9."""
        [path] = self._results(place)
        record = json.loads(path.read_text(encoding="utf-8"))
        for each in record["estimates"]:
            if each["metric"] == "squad_em":
                each["value"] = 99.9
        path.write_text(json.dumps(record), encoding="utf-8")

    def show(self, place: Place) -> list[Command]:
        """Return `board` and `verify`."""
        board = self._command(place, "board", str(place.out), "--board", "all")
        return [board, self._command(place, "verify", str(place.out), "--data", str(place.data))]

    def local(self, place: Place, model: Path) -> Command:
        """Return a run of a model folder."""
        return self._eval(place, f"hf:{model}", "--device", "cpu")

    def nested(self, place: Place, url: str, text: str) -> Command:
        """Return a run of a task file with a value nested deep."""
        path = place.root / "mine" / "tasks" / "sums.toml"
        path.write_text(TASK.replace('metrics = ["squad_em"]', f"metrics = {text}"), encoding="utf-8")
        return self.ask(place, url)

    def documents(self, place: Place) -> list[object]:
        """Return results and samples."""
        return documents_of([*self._results(place), *sorted(place.out.rglob("samples.jsonl"))])
