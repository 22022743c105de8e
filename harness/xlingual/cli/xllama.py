"""`xlingual xllama`: base -> Alpaca -> x-models -> m-model -> law -> allocated m-model -> one page.

Every stage is a command of ours that can be typed by hand and is written to commands.txt; a stage that is finished
has nothing left to do, so that the same command again goes on where it stopped.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click

from ..identity import slug
from ..languages import find_language
from ..plugin import ModelOptions
from ..selection import open_model
from ..serial import from_json
from ..store import lock_folder, read_json, write_atomically
from ..training.settings import PROVENANCE
from ..tune.recipe import find_recipe
from ..tune.records import MixPlan, TuneRecord
from . import printable, run_command
from .options import data_option, offline_option, takes
from .progress import MODES
from .signals import orderly_signals
from .training import Trainer, count_processes, processes_option


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How large the story is told."""

    suffix: str
    """Of the recipes' names."""
    languages: tuple[str, ...]
    tasks: str
    """Families, comma-separated."""
    board: str
    data: str | None
    law: str
    """Recipe file that the law is measured with, without ".toml"."""
    sizes: tuple[int, ...]
    """Pairs of the sweep."""
    seeds: tuple[int, ...]
    budget: float
    """Part of the m-model's pairs that is split anew: of all the pairs there are, there is but one split."""
    max_new_tokens: int | None


SCALES = {
    "mini": Scale(
        suffix="-mini",
        languages=("tr", "vi", "zh"),
        tasks="xquad,flores101",
        board="sample",
        data="sample",
        law="translate-mini",
        sizes=(8, 15, 30, 60),
        seeds=(0,),
        budget=1.0,
        max_new_tokens=32,
    ),
    "paper": Scale(
        suffix="",
        languages=("ar", "el", "hi", "tr", "vi", "zh"),
        tasks="xquad,mlqa,flores101",
        board="paper",
        data=None,
        law="x-llama",
        sizes=(10_000, 20_000, 50_000, 100_000, 200_000),
        seeds=(0,),
        budget=0.25,
        max_new_tokens=None,
    ),
}
CONTROL, CROSS, MANY = "alpaca-en", "x-llama", "m-llama"
METRIC = "chrf++"


class StageFailed(Exception):
    """A stage has ended with an exit code that ends the pipeline; its message has been shown."""

    def __init__(self, code: int) -> None:
        """`code` as of the command."""
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True, kw_only=True)
class XllamaOptions:
    """The words of the command line."""

    scale: str
    base: str | None
    langs: str | None
    data: str | None
    offline: bool
    out: str
    limit: str | None
    processes: str
    device: str | None
    progress: str


def run_xllama(options: XllamaOptions) -> int:
    """Run all stages; 0, or 1 where samples have no answer, or the exit code of the stage that failed."""
    scale = SCALES[options.scale]
    data = options.data or scale.data
    codes = [find_language(word).code for word in (options.langs or ",".join(scale.languages)).split(",") if word]
    for code in codes:
        find_recipe(f"{CROSS}-{code}{scale.suffix}")
    out = Path(options.out).expanduser() / folder_name(options)
    out.mkdir(parents=True, exist_ok=True)
    with lock_folder(out) as note, orderly_signals("the same command again goes on where it stopped"):
        if note:
            click.echo(f"note: {note}", err=True)
        story = Story(options=options, scale=scale, data=data, languages=codes, out=out)
        try:
            story.tell()
        except StageFailed as error:
            click.echo("stopped; the same command again goes on where it stopped", err=True)
            return error.code
    return 1 if story.unanswered else 0


def folder_name(options: XllamaOptions) -> str:
    """Return the name of the folder that everything goes to: another for another scale or base."""
    name = f"xllama-{options.scale}"
    return name if options.base is None else slug(f"{name}-{options.base}")


@dataclass(slots=True, kw_only=True)
class Story:
    """The stages, in order."""

    options: XllamaOptions
    scale: Scale
    data: str | None
    languages: Sequence[str]
    out: Path
    commands: list[str] = field(default_factory=list)
    unanswered: bool = False
    """Whether an evaluation has left samples without an answer."""

    def tell(self) -> None:
        """Run every stage; what the sweep needs is looked at first, for it comes after hours."""
        self._begin("check the points of the law")
        self._run([*self._sweep(), "--dry-run"])
        base = self.options.base or find_recipe(f"{CONTROL}{self.scale.suffix}").base
        self.evaluate(base)
        control = self.tune(f"{CONTROL}{self.scale.suffix}")
        for code in self.languages:
            self.tune(f"{CROSS}-{code}{self.scale.suffix}")
        many = self.tune(f"{MANY}{self.scale.suffix}")
        self.measure()
        self.tune(str(self.allocate(_plan_of(many))), shown=f"{MANY}{self.scale.suffix}-allocated")
        self.report(control.name)

    def tune(self, recipe: str, *, shown: str | None = None) -> Path:
        """Train a recipe and evaluate the model; return its folder."""
        trainer = Trainer(
            out=self.out / "models",
            base=self.options.base,
            data=self.data,
            offline=self.options.offline,
            progress=self.options.progress,
            processes=count_processes(self.options.processes),
        )
        self._begin(f"tune {shown or recipe}")
        self._note(["xlingual", "tune", "run", *trainer.words(recipe)])
        model = trainer(recipe)
        self.evaluate(str(model))
        return model

    def evaluate(self, model: str) -> None:
        """Ask a model all test sets."""
        self._begin(f"evaluate {Path(model).name}")
        words = ["eval", "--model", model, "--tasks", self.scale.tasks, "--langs", ",".join(["en", *self.languages])]
        words += ["--out", str(self.out / "runs"), "--progress", self.options.progress]
        most = self.scale.max_new_tokens
        for option, value in (
            ("--data", self.data),
            ("--limit", self.options.limit),
            ("--device", self.options.device),
            ("--max-new-tokens", None if most is None else str(most)),
        ):
            words += [] if value is None else [option, value]
        self.unanswered |= self._run([*words, *self._offline()]) == 1

    def measure(self) -> None:
        """Measure the points of the law, and fit it."""
        self._begin("measure the points of the law")
        self._run(self._sweep())
        self._begin("fit the law")
        points = str(self.out / "sweep" / "points.csv")
        self._run(["scale", "fit", points, "--write", str(self._fit), "--plot", str(self.out / "plots")])

    def allocate(self, many: MixPlan) -> Path:
        """Split the m-model's pairs in the law's languages, or a part of them, anew; return the recipe."""
        self._begin("split the budget")
        directions = {use.name: use.direction for use in many.recipe.sources}
        found = {
            each.language: each
            for each in many.sources
            if directions[each.name] is not None and each.language in self.languages
        }
        recipe = self.out / f"{MANY}{self.scale.suffix}-allocated.toml"
        budget = max(1, round(self.scale.budget * sum(each.draws for each in found.values())))
        available = ",".join(f"{code}={each.available}" for code, each in found.items())
        words = ["scale", "allocate", str(self._fit), "--budget", str(budget), "--available", available]
        words += ["--recipe", f"{MANY}{self.scale.suffix}", "--write", str(recipe)]
        self._run([*words, "--keep", str(self._split), "--plot", str(self.out / "plots")])
        return recipe

    def report(self, baseline: str) -> None:
        """Write the page."""
        self._begin("write the report")
        listing = self.out / "commands.txt"
        words = ["report", str(self.out / "runs"), "--board", self.scale.board, "--baseline", baseline]
        words += ["--tuned", str(self.out / "models"), "--fit", str(self._fit), "--allocation", str(self._split)]
        words += ["--include-limited"] if self.options.limit else []
        words += ["--title", f"x- and m-models from {self._base_name()}", "--commands", str(listing)]
        words += ["--write", str(self.out / "report.html")]
        write_atomically(listing, "\n".join([*self.commands, shlex.join(["xlingual", *words])]) + "\n")
        self._run(words)

    def _sweep(self) -> list[str]:
        """Write the sweep's file and return the words that run it."""
        path = self.out / "sweep.toml"
        lines = [
            f'recipe = "{self.scale.law}"',
            'source = "translation"',
            f'metric = "{METRIC}"',
            f"languages = {_toml(self.languages)}",
            f"sizes = {list(self.scale.sizes)}",
            f"seeds = {list(self.scale.seeds)}",
        ]
        if self.scale.max_new_tokens is not None:
            lines.append(f"max_new_tokens = {self.scale.max_new_tokens}")
        write_atomically(path, "\n".join(lines) + "\n")
        words = ["scale", "sweep", str(path), "--out", str(self.out), "--progress", self.options.progress]
        words += ["--processes", self.options.processes]
        for option, value in (("--base", self.options.base), ("--data", self.data), ("--device", self.options.device)):
            words += [] if value is None else [option, value]
        return [*words, *self._offline()]

    @property
    def _fit(self) -> Path:
        return self.out / "fit.json"

    @property
    def _split(self) -> Path:
        return self.out / "split.json"

    def _base_name(self) -> str:
        word = self.options.base or find_recipe(f"{CONTROL}{self.scale.suffix}").base
        model = open_model(word, ModelOptions(offline=self.options.offline))
        try:
            return model.spec.name
        finally:
            model.close()

    def _offline(self) -> list[str]:
        return ["--offline"] if self.options.offline else []

    def _run(self, words: Sequence[str]) -> int:
        """Run a command of ours; StageFailed for any exit code but 0 and 1."""
        self._note(["xlingual", *words])
        click.echo(printable(f"xlingual {shlex.join(words)}"), err=True)
        code = run_command(words)
        if code > 1:
            raise StageFailed(code)
        return code

    def _note(self, words: Sequence[str]) -> None:
        self.commands.append(shlex.join(words))

    def _begin(self, what: str) -> None:
        click.echo(printable(f"\n== {what}"), err=True)


def _plan_of(model: Path) -> MixPlan:
    path = model / PROVENANCE
    return from_json(TuneRecord, read_json(path), where=str(path)).plan


def _toml(words: Sequence[str]) -> str:
    return "[" + ", ".join(f'"{word}"' for word in words) + "]"


COMMAND = click.Command(
    "xllama",
    params=[
        click.Option(
            ["--scale"],
            type=click.Choice(tuple(SCALES)),
            default="mini",
            show_default=True,
            help="mini: the packaged model and sample, on any laptop. paper: LLaMA-7B, the paper's recipes and real "
            "benchmarks, for a machine with GPUs.",
        ),
        click.Option(["--base"], default=None, help="Model word of the base, instead of the recipes'."),
        click.Option(
            ["--langs", "-l"],
            default=None,
            metavar="zh,ar,...",
            help="Languages of the x-models; default: tr,vi,zh, or all six.",
        ),
        data_option("Folder that the recipes' paths are below and that holds the benchmarks, or 'sample'."),
        offline_option(),
        click.Option(["--out", "-o"], default="runs", show_default=True, metavar="DIR", help="Folder of all runs."),
        click.Option(
            ["--limit"], default=None, metavar="N|A-B", help="Only these examples of each test set; unranked."
        ),
        processes_option(),
        click.Option(["--device"], default=None, help="Of the evaluation: cpu, cuda, cuda:all."),
        click.Option(
            ["--progress"], type=click.Choice(MODES), default="auto", show_default=True, help="How to show it."
        ),
    ],
    callback=takes(XllamaOptions, run_xllama),
    help="Tell the whole story: evaluate the base; tune it on English instructions, to x-models and to an m-model, "
    "and evaluate each; fit the scaling law to a sweep; split the m-model's translations anew by it, tune and evaluate "
    "that one; and write one page. The same command again goes on where it stopped.",
    epilog="Example: xlingual xllama --scale paper --base meta-llama/Llama-2-7b-hf --data DIR",
)
