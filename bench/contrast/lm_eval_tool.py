"""lm-eval as a tool of the contrast: its own command line, a task of one YAML file, and `--use_cache` to resume."""

import importlib.metadata
import json
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from .places import Command, Place, Published, documents_of

TASK = """\
task: sums
dataset_path: json
dataset_kwargs:
  data_files:
    test: {file}
test_split: test
output_type: generate_until
doc_to_text: "Answer with a number.\\n{{{{question}}}}\\nAnswer:"
doc_to_target: "{{{{answer}}}}"
generation_kwargs:
  until: ["\\n"]
  max_gen_toks: 8
  do_sample: false
metric_list:
  - metric: exact_match
    aggregation: mean
    higher_is_better: true
"""


@dataclass(frozen=True, slots=True)
class LmEval:
    """The command `lm-eval`."""

    python: str = sys.executable
    name: str = "lm-eval"

    def _command(self, *arguments: str) -> Command:
        program = (str(Path(self.python).with_name("lm-eval")),)
        return Command(name="lm-eval", program=program, arguments=arguments)

    def version(self) -> str:
        """Return the version of the package."""
        if self.python == sys.executable:
            return importlib.metadata.version("lm_eval")
        words = [self.python, "-c", "import importlib.metadata as m; print(m.version('lm_eval'))"]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()

    def prepare(self, place: Place) -> None:
        """Write its task file."""
        (place.root / "tasks").mkdir()
        text = TASK.format(file=place.data / "sums" / "en.test.jsonl")
        (place.root / "tasks" / "sums.yaml").write_text(text, encoding="utf-8")

    def _run(self, place: Place, model: str, arguments: str) -> Command:
        return self._command(
            "run", "--model", model, "--model_args", arguments, "--tasks", "sums",
            "--include_path", str(place.root / "tasks"), "--output_path", str(place.out), "--log_samples",
            "--use_cache", str(place.out / "cache"), "--apply_chat_template",
        )  # fmt: skip

    def ask(self, place: Place, url: str) -> Command:
        """Return the command of a run, with the cache of answers."""
        path, _, query = url.partition("?")
        address = f"{path}/chat/completions" + (f"?{query}" if query else "")
        return self._run(place, "local-chat-completions", f"model=m,base_url={address},num_concurrent=1,max_retries=3")

    def resume(self, place: Place, url: str) -> list[Command]:
        """Return the same command: the cache gives the answers that it holds."""
        return [self.ask(place, url)]

    def _results(self, place: Place) -> list[Path]:
        return sorted(place.out.rglob("results_*.json"))

    def published(self, place: Place) -> list[Published]:
        """Return its results."""
        found = []
        for path in self._results(place):
            record = json.loads(path.read_text(encoding="utf-8"))
            value = record["results"]["sums"].get("exact_match,none")
            score = None if value is None or isinstance(value, str) else 100 * value
            found.append(Published(n=record["n-samples"]["sums"]["effective"], score=score, is_complete=True))
        return found

    def store(self, place: Place) -> Path | None:
        """Return the SQLite file of the cache."""
        return next(place.out.glob("cache_rank*.db"), None)

    def edit(self, place: Place) -> None:
        """Set the score of a finished run to 99.9."""
        [path] = self._results(place)
        record = json.loads(path.read_text(encoding="utf-8"))
        record["results"]["sums"]["exact_match,none"] = 0.999
        path.write_text(json.dumps(record), encoding="utf-8")

    def show(self, place: Place) -> list[Command]:  # noqa: ARG002 - of the protocol
        """Return nothing: of its commands `run`, `ls` and `validate`, none reads results."""
        return []

    def local(self, place: Place, model: Path) -> Command:
        """Return a run of a model folder."""
        command = self._run(place, "hf", f"pretrained={model},dtype=float32")
        return replace(command, arguments=(*command.arguments, "--device", "cpu"))

    def nested(self, place: Place, url: str, text: str) -> Command:
        """Return a run of a task file with a value nested deep."""
        path = place.root / "tasks" / "sums.yaml"
        whole = path.read_text(encoding="utf-8")
        path.write_text(whole.replace('until: ["\\n"]', f"until: {text}"), encoding="utf-8")
        return self.ask(place, url)

    def documents(self, place: Place) -> list[object]:
        """Return results and samples."""
        return documents_of([*self._results(place), *sorted(place.out.rglob("samples_*.jsonl"))])
