"""inspect_ai as a tool of the contrast: its own command line, a task of one Python file, and `eval-retry` to resume."""

import json
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .places import Command, Place, Published

TASK = """\
from inspect_ai import Task, task
from inspect_ai.dataset import FieldSpec, json_dataset
from inspect_ai.scorer import exact
from inspect_ai.solver import generate, prompt_template


@task
def sums(word: str = "number"):
    fields = FieldSpec(input="question", target="answer", id="id")
    template = prompt_template("Answer with a number.\\n{prompt}\\nAnswer:")
    return Task(dataset=json_dataset("data/sums/en.test.jsonl", fields), solver=[template, generate()], scorer=exact())
"""


@dataclass(frozen=True, slots=True)
class Inspect:
    """The command `inspect`."""

    python: str = sys.executable
    name: str = "inspect"

    def _command(self, *arguments: str) -> Command:
        program = (str(Path(self.python).with_name("inspect")),)
        environment = {"LOCAL_API_KEY": "none", "LOCAL_BASE_URL": "http://127.0.0.1:9/v1"}
        return Command(name="inspect", program=program, arguments=arguments, environment=environment)

    def version(self) -> str:
        """Return the version of the package."""
        words = [self.python, "-c", "import importlib.metadata as m; print(m.version('inspect_ai'))"]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()

    def prepare(self, place: Place) -> None:
        """Write its task file."""
        (place.root / "sums.py").write_text(TASK, encoding="utf-8")

    def _eval(self, place: Place, *more: str) -> Command:
        return self._command(
            "eval", "sums.py", *more, "--log-dir", str(place.out), "--max-connections", "1", "--max-samples", "1",
            "--max-retries", "3", "--max-tokens", "8", "--display", "plain",
        )  # fmt: skip

    def ask(self, place: Place, url: str) -> Command:
        """Return the command of a run."""
        return self._eval(place, "--model", "openai-api/local/m", "--model-base-url", url)

    def resume(self, place: Place, url: str) -> list[Command]:
        """Return `log recover` for a log that was left behind, or `eval-retry` for one that was closed."""
        logs = self._logs(place)
        if not logs:
            return [self.ask(place, url)]
        log, more = logs[-1], list[Command]()
        if self._header(log).get("status") == "started":
            more = [self._command("log", "recover", str(log))]
            recovered = log.with_name(f"{log.stem}-recovered.eval")
            log = recovered
        retry = self._command(
            "eval-retry", str(log), "--log-dir", str(place.out), "--max-connections", "1", "--max-samples", "1",
            "--max-retries", "3", "--display", "plain",
        )  # fmt: skip
        return [*more, retry]

    def _logs(self, place: Place) -> list[Path]:
        logs = [*place.out.glob("*.eval"), *place.out.glob("*.json")]
        return sorted(logs, key=lambda path: path.stat().st_mtime)

    def _dump(self, log: Path, *more: str) -> dict[str, Any]:
        """Return what `inspect log dump` prints; empty where it fails."""
        words = [str(Path(self.python).with_name("inspect")), "log", "dump", *more, str(log)]
        finished = subprocess.run(words, capture_output=True, text=True, check=False)
        try:
            found: dict[str, Any] = json.loads(finished.stdout)
        except ValueError:
            return {}
        return found

    def _header(self, log: Path) -> dict[str, Any]:
        return self._dump(log, "--header-only")

    def published(self, place: Place) -> list[Published]:
        """Return the results in its logs."""
        found = []
        for log in self._logs(place):
            header = self._header(log)
            results = header.get("results") or {}
            scores = results.get("scores") or []
            if scores:
                value = scores[0]["metrics"]["mean"]["value"]
                n, whole = results["completed_samples"], header["status"] == "success"
                found.append(Published(n=n, score=100 * value, is_complete=whole))
        return found

    def store(self, place: Place) -> Path | None:
        """Return the newest log."""
        return next(reversed(self._logs(place)), None)

    def edit(self, place: Place) -> None:
        """Set the score of a finished run to 99.9, in its log as JSON, the other form of logs."""
        [log] = self._logs(place)
        words = [str(Path(self.python).with_name("inspect")), "log", "convert", "--to", "json", str(log)]
        subprocess.run([*words, "--output-dir", str(place.out)], capture_output=True, check=True)
        log.unlink()
        [log] = self._logs(place)
        record = json.loads(log.read_text(encoding="utf-8"))
        record["results"]["scores"][0]["metrics"]["mean"]["value"] = 0.999
        log.write_text(json.dumps(record), encoding="utf-8")

    def show(self, place: Place) -> list[Command]:
        """Return the commands that show a log and list logs."""
        [log] = self._logs(place)
        return [
            self._command("log", "dump", "--header-only", str(log)),
            self._command("log", "list", "--log-dir", str(place.out), "--json"),
        ]

    def local(self, place: Place, model: Path) -> Command:
        """Return a run of a model folder."""
        return self._eval(place, "--model", "hf/local", "-M", f"model_path={model}", "-M", "device=cpu")

    def nested(self, place: Place, url: str, text: str) -> Command:
        """Return a run with a file of arguments with a value nested deep."""
        (place.root / "arguments.yaml").write_text(f"word: {text}\n", encoding="utf-8")
        command = self.ask(place, url)
        return replace(command, arguments=(*command.arguments, "--task-config", str(place.root / "arguments.yaml")))

    def documents(self, place: Place) -> list[object]:
        """Return its whole logs."""
        return [self._dump(log) for log in self._logs(place)]
