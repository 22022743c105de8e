"""Runs to judge, made by models for tests, and judges whose replies a test chooses."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from xlingual.cli import run_command
from xlingual.judging.judged import JudgedRun, find_runs
from xlingual.judging.records import JudgeReport
from xlingual.judging.reports import read_reports

PARIS = "Paris is the capital of France, and it lies on the Seine."


def write_lines(path: Path, lines: Sequence[Mapping[str, object]]) -> Path:
    path.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    return path


def evaluate(out: Path, model: str, *words: str) -> Path:
    """Run a model and return the folder of its first run."""
    before = set(out.rglob("results*.json"))
    code = run_command(["eval", "-m", model, *words, "-o", str(out), "--progress", "none"])
    found = sorted(set(out.rglob("results*.json")) - before)
    if code not in (0, 1) or not found:
        raise RuntimeError(f"eval ended with {code}")
    return found[0].parent


def answer_questions(folder: Path, name: str, answers: Mapping[str, str], task: str = "xquad/en") -> Path:
    """Return the run of a model that gives `answers` by example id on the packaged sample; the rest fail."""
    script = write_lines(folder / f"{name}.jsonl", [{"id": key, "prediction": text} for key, text in answers.items()])
    return evaluate(folder / "runs", f"scripted:{script}", "-t", task, "--data", "sample")


def read_one(folder: Path) -> JudgedRun:
    return find_runs([str(folder)])[0][0]


def ids(run: JudgedRun) -> list[str]:
    return [each.name for each in run.answers]


@dataclass
class Judge:
    """A judge from a script, run by the command line."""

    folder: Path
    replies: dict[str, str] = field(default_factory=dict)
    name: str = "judge"

    def word(self) -> str:
        lines = [{"id": key, "prediction": text} for key, text in self.replies.items()]
        return f"scripted:{write_lines(self.folder / f'{self.name}.jsonl', lines)}"

    def run(self, *words: str) -> int:
        return run_command(["judge", *words, "--judge", self.word(), "--progress", "none"])

    def report(self, root: Path | None = None) -> JudgeReport:
        [found] = read_reports([root or self.folder / "runs"]).reports
        return found


def replies_for(names: Sequence[str], say: Callable[[str], str]) -> dict[str, str]:
    return {name: say(name) for name in names}


def read_samples(root: Path, pattern: str = "judge_*/samples*.jsonl") -> list[dict[str, object]]:
    [path] = root.rglob(pattern)
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
