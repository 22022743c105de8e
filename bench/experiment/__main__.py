"""CoIT against English-only tuning at equal supervised tokens: two languages, two seeds, all of XQuAD.

    python -m bench.experiment --base DIR --data ../shared/data --out OUT [--tokens 60000] [--write docs/experiment.md]

Hours on two cores. The same command goes on where it was stopped: trainings and evaluations resume by themselves, and
what is finished is not trained again. OUT belongs to one base, one data folder, one number of tokens and one choice of
test examples; languages and seeds may be added. What differs between the models of a seed is the mix alone;
`recipes.py` has it. The number of rows of a mix's last source is chosen so that its supervised tokens are within 1% of
`--tokens`. Steps differ, for each has 16 rows.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from xlingual.files import write_atomically

from .recipes import ENGLISH, LANGUAGES, make_data, write_recipe
from .report import Run, Setting, page, read_runs, with_section

CLOSE = 0.01
"""Share of `--tokens` by which the supervised tokens of a mix may be off; those of two mixes by twice that."""
TRIES = 12
REFUSED = 3
"""Exit code of a plan that asks for more rows than there are."""
NEW_TOKENS = 96
COMPARED = {"flores101": ("chrf++",), "xquad": ("mlqa_f1", "containment")}


class CommandFailed(SystemExit):
    """A command of xlingual has failed, and has said why."""

    def __init__(self, command: str, exit_code: int) -> None:
        """Name it; the same experiment again goes on from there."""
        super().__init__(f"xlingual {command}: exit code {exit_code}; the same command goes on from here")
        self.exit_code = exit_code


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="bench.experiment", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base", required=True, help="model word of the base")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tokens", type=int, default=60_000, help="supervised, of each mix")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--languages", nargs="+", choices=LANGUAGES, default=list(LANGUAGES))
    parser.add_argument("--questions", help="of XQuAD; default: all")
    parser.add_argument("--sentences", default="300", help="of Flores-101 devtest")
    parser.add_argument("--write", type=Path, help="write the section of this page anew")
    return parser.parse_args(words)


def main(words: Sequence[str]) -> None:
    """Train, evaluate, compare, and print the tables."""
    options = parse(words)
    recipes = options.out / "recipes"
    recipes.mkdir(parents=True, exist_ok=True)
    keep_settings(options)
    make_data(options.data, options.out / "data")
    options.data = options.out / "data"
    runs = {"base": evaluate(options, "base", options.base, options.languages)}
    plans: dict[str, dict[str, Any]] = {}
    controls: dict[str, str] = {}
    for seed in options.seeds:
        for language in (ENGLISH, *options.languages):
            recipe = fit_rows(options, language, seed)
            name = recipe.stem
            trained = train(options, recipe)
            plans[name] = trained["record"]["plan"]
            # The base and the control stand beside every CoIT model, which is asked in its own language alone.
            asked = options.languages if language == ENGLISH else [language]
            runs[name] = evaluate(options, name, trained["model"], asked)
            if language != ENGLISH:
                controls[name] = f"{ENGLISH}-{seed}"
    comparisons = {name: compare(options, name, control) for name, control in controls.items()}
    setting = Setting(Path(options.base).name, options.tokens, options.questions, options.sentences)
    section = page(setting, runs, plans, comparisons, controls)
    print(section)
    if options.write:
        write_atomically(options.write, with_section(options.write.read_text(encoding="utf-8"), section))


def keep_settings(options: argparse.Namespace) -> None:
    """Write down what the models and scores of `--out` are of; SystemExit where it holds those of other settings."""
    file = options.out / "settings.json"
    wanted = {each: str(vars(options)[each]) for each in ("base", "tokens", "questions", "sentences")}
    wanted["data"] = str(options.data.resolve())
    if not file.is_file():
        write_atomically(file, json.dumps(wanted, indent=1))
    kept = json.loads(file.read_text(encoding="utf-8"))
    if changed := [f"{each} {kept.get(each)}" for each in wanted if wanted[each] != kept.get(each)]:
        raise SystemExit(f"{file}: made with {', '.join(changed)}: choose another --out, or the same settings")


def fit_rows(options: argparse.Namespace, language: str, seed: int) -> Path:
    """Return the recipe whose supervised tokens are within CLOSE of `--tokens`; what was found is kept in rows.json."""
    kept = options.out / "rows.json"
    known: dict[str, int] = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else {}
    key = f"{language} {seed} {options.tokens}"

    def write(rows: int) -> Path:
        return write_recipe(options.out / "recipes", language, seed, options.base, rows)

    found: list[int] = []

    def count(rows: int) -> int | None:
        try:
            found.append(supervised_tokens(plan(options, write(rows))))
        except CommandFailed as error:
            # What a plan of fewer rows was not refused for.
            if not found or error.exit_code != REFUSED:
                raise
            return None
        return found[-1]

    if key not in known:
        known[key] = search(options.tokens, count)
        write_atomically(kept, json.dumps(known, indent=1))
    return write(known[key])


def search(goal: int, count: Callable[[int], int | None], first: int = 200) -> int:
    """Return a number of rows that have `goal` tokens within CLOSE.

    `count` grows with the rows; it is None where there are not so many.

    By the secant of the last two tries, kept between the most rows that were too few and the fewest that were too many.
    """
    before, tokens_before, rows = 0, 0, first
    too_few, too_many = 0, sys.maxsize
    for _ in range(TRIES):
        tokens = count(rows)
        if tokens is None:
            too_many = rows
            rows = (too_few + too_many) // 2
            continue
        if abs(tokens - goal) <= CLOSE * goal:
            return rows
        if tokens < goal:
            too_few = max(too_few, rows)
        else:
            too_many = min(too_many, rows)
        if too_many - too_few < 2:
            break
        slope = (tokens - tokens_before) / (rows - before) if tokens_before else tokens / rows
        before, tokens_before = rows, tokens
        # A slope of 0: these rows have no token to learn.
        wanted = round(rows + (goal - tokens) / slope) if slope > 0 else 2 * rows
        rows = min(max(wanted, too_few + 1), too_many - 1)
    raise SystemExit(f"no number of rows has {goal} supervised tokens within {CLOSE:.0%}; {rows} rows were tried last")


def supervised_tokens(document: dict[str, Any]) -> int:
    """Return the supervised tokens of a plan."""
    return int(document["plan"]["supervised"])


def plan(options: argparse.Namespace, recipe: Path) -> dict[str, Any]:
    """Return what `tune plan --json` prints."""
    found: dict[str, Any] = json.loads(xlingual("tune", "plan", str(recipe), "--data", str(options.data), "--json"))
    return found


def train(options: argparse.Namespace, recipe: Path) -> dict[str, Any]:
    """Train, or go on, or find the finished training; return what `tune run --json` prints."""
    words = ["tune", "run", str(recipe), "--data", str(options.data), "--out", str(options.out / "models")]
    found: dict[str, Any] = json.loads(xlingual(*words, "--merge", "--checkpoint-every", "20", "--json"))
    return found


def evaluate(options: argparse.Namespace, name: str, model: str, languages: Sequence[str]) -> dict[str, Run]:
    """Evaluate on XQuAD and Flores-101 in these languages; return the runs by task."""
    out = options.out / "runs" / name
    for language in languages:
        for task, limit in ((f"xquad/{language}", options.questions), (f"flores101/en-{language}", options.sentences)):
            words = ["eval", "-m", model, "-t", task, "--data", str(options.data), "--out", str(out)]
            xlingual(*words, "--max-new-tokens", str(NEW_TOKENS), *(["--limit", limit] if limit else []), "--json")
    return read_runs(out)


def compare(options: argparse.Namespace, name: str, control: str) -> list[dict[str, Any]]:
    """Return the comparisons of a CoIT model with its control on the tasks of its language."""
    language = name.split("-")[1]
    found: list[dict[str, Any]] = []
    for task in (f"xquad/{language}", f"flores101/en-{language}"):
        files = [str(read_runs(options.out / "runs" / each)[task].file) for each in (name, control)]
        metrics = [word for each in COMPARED[task.partition("/")[0]] for word in ("--metric", each)]
        found += json.loads(xlingual("compare", *files, *metrics, "--json"))["comparisons"]
    return found


def xlingual(*words: str) -> str:
    """Run a command and return what it prints on standard output; CommandFailed, once it has said what was wrong."""
    print("$ xlingual " + " ".join(words), file=sys.stderr, flush=True)
    done = subprocess.run([sys.executable, "-m", "xlingual", *words], check=False, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise CommandFailed(words[0], done.returncode)
    return done.stdout


if __name__ == "__main__":
    main(sys.argv[1:])
