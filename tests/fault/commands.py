"""The table of commands that the faults are put through: each is a real command line on small files."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xlingual.plugin import DataSource
from xlingual.scaling.points import points_csv
from xlingual.selection import select_tasks

from ..scaling.simulation import simulate
from .trials import Place, Warm

SAMPLES = 4
ANSWERS = "answers.jsonl"
EVAL = ("eval", "-m", f"scripted:{ANSWERS}", "-t", "xquad/en", "--data", "sample", "--limit", str(SAMPLES))
SECOND = ("eval", "-m", "echo", "-t", "xquad/en", "--data", "sample", "-o", "runs", "--progress", "none")


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command line, what it needs and what it makes."""

    words: tuple[str, ...]
    """FIRST and SECOND stand for the folders of two runs of the stock."""
    inputs: tuple[str, ...]
    """Files and folders of the stock."""
    results: tuple[str, ...] = ()
    """What it writes, below the working folder; (): it only prints."""
    answers: bool = False
    """Whether a model is asked, so that its answers are never to be asked for again."""
    left_out: bool = False
    """Whether it goes on without what it cannot read, and says so."""


COMMANDS = {
    "eval": Command(
        words=(*EVAL, "-o", "out", "--progress", "none"), inputs=(ANSWERS,), results=("out",), answers=True,
    ),
    "judge": Command(
        words=("judge", "FIRST", "--judge", "scripted:verdicts.jsonl", "--kind", "correctness", "--progress", "none"),
        inputs=("runs", "verdicts.jsonl"), results=("runs",), answers=True,
    ),
    "score a run": Command(words=("score", "FIRST", "--data", "sample"), inputs=("runs",), results=("runs",)),
    "score predictions": Command(
        words=("score", "predictions.jsonl", "-t", "xquad/en", "--data", "sample", "--items", "items.jsonl"),
        inputs=("predictions.jsonl",), results=("items.jsonl",),
    ),
    "verify": Command(words=("verify", "runs", "--data", "sample"), inputs=("runs",)),
    "compare": Command(words=("compare", "FIRST", "SECOND"), inputs=("runs",)),
    "board": Command(
        words=("board", "runs", "-w", "pages/board.md"), inputs=("runs",), results=("pages",), left_out=True,
    ),
    "view": Command(words=("view", "runs", "-o", "view.html"), inputs=("runs",), results=("view.html",), left_out=True),
    "analyze content": Command(
        words=("analyze", "content", "FIRST", "SECOND", "--keep", "content.json"), inputs=("runs",),
        results=("content.json",), left_out=True,
    ),
    "scale fit": Command(
        words=("scale", "fit", "points.csv", "--write", "fit.json", "--resamples", "100"), inputs=("points.csv",),
        results=("fit.json",),
    ),
    "scale allocate": Command(words=("scale", "allocate", "fit.json", "--budget", "1000"), inputs=("fit.json",)),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Stock:
    """Files that commands need, made once."""

    folder: Path
    runs: tuple[str, str]

    def words(self, command: Command) -> list[str]:
        """Return the words of a command with the runs in their places."""
        places = dict(zip(("FIRST", "SECOND"), self.runs, strict=True))
        return [places.get(word, word) for word in command.words]


def make_stock(folder: Path, warm: Warm) -> Stock:
    """Make two finished runs and the rest; the warm process has imported what all commands need after it."""
    examples = select_tasks(["xquad/en"], [])[0].examples("test", DataSource(folder=None, sample=True, offline=True))
    names = [(row.id, row.targets[0]) for row in examples.rows]
    lines = {
        ANSWERS: [{"id": name, "prediction": gold if place % 2 else name} for place, (name, gold) in enumerate(names)],
        "predictions.jsonl": [{"id": name, "prediction": gold} for name, gold in names],
        "verdicts.jsonl": [{"id": name, "prediction": "VERDICT: CORRECT"} for name, _ in names],
    }
    place = Place(folder)
    place.clear()
    for name, rows in lines.items():
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (place.work / name).write_text(text, encoding="utf-8")
    points = points_csv(simulate(noise=0.3, generator=np.random.default_rng(1)))
    (place.work / "points.csv").write_text(points, encoding="utf-8")
    first = ["eval", "-m", f"scripted:{ANSWERS}", *SECOND[3:]]
    for words in (first, [*SECOND]):
        ended = warm.learn(words, place)
        if ended.code != 0:
            raise RuntimeError(str(ended))
    runs = sorted(path.parent.relative_to(place.work).as_posix() for path in place.work.rglob("results.json"))
    runs.sort(key=lambda name: "echo" in name)
    stock = Stock(place.work, (runs[0], runs[1]))
    trial = Place(folder.parent / "learning")
    for command in COMMANDS.values():
        trial.fill(
            stock.folder, [name for name in command.inputs if name != "fit.json" or (stock.folder / name).exists()]
        )
        ended = warm.learn(stock.words(command), trial)
        if ended.code != 0:
            raise RuntimeError(f"{stock.words(command)}: {ended}")
        if command.results == ("fit.json",):
            (stock.folder / "fit.json").write_bytes((trial.work / "fit.json").read_bytes())
    return stock
