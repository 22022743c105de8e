"""The x-LLaMA pipeline: base -> Alpaca -> x-models -> m-model -> scaling law -> allocated m-model -> report.

Every stage is a command of `xlingual` that a user can type, and is written to commands.txt. A finished stage does
nothing when it is run again, so the same command resumes the pipeline.
"""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from .files import read_json, write_atomically
from .plugin import ModelOptions
from .selection import open_model
from .serial import from_json
from .training.settings import PROVENANCE
from .tune.recipe import find_recipe
from .tune.records import MixPlan, TuneRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineScale:
    """The recipes, benchmarks and sizes that the pipeline runs with."""

    suffix: str
    """Of the names of recipes."""
    languages: tuple[str, ...]
    tasks: str
    """Families, comma-separated."""
    board: str
    data: str | None
    law: str
    """Recipe file of the scaling law's sweep, without ".toml"."""
    sizes: tuple[int, ...]
    """Sentence pairs of each point of the sweep."""
    seeds: tuple[int, ...]
    budget: float
    """Share of the m-model's sentence pairs that is allocated; all pairs there are could be split in one way only."""
    max_new_tokens: int | None
    all_layers: bool
    """Whether the layers of all models are looked into; else those of base, English model and m-model."""


SCALES = {
    "mini": PipelineScale(
        suffix="-mini",
        languages=("tr", "vi", "zh"),
        tasks="xquad,flores101",
        board="sample",
        data="sample",
        law="translate-mini",
        sizes=(6, 12, 24, 48),
        seeds=(0,),
        budget=1.0,
        max_new_tokens=32,
        all_layers=False,
    ),
    "paper": PipelineScale(
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
        all_layers=True,
    ),
}
ALPACA, X_MODEL, M_MODEL = "alpaca-en", "x-llama", "m-llama"
"""Names of recipes, without suffix and language; ALPACA, English alone, is the baseline."""
METRIC = "chrf++"


class StageFailed(Exception):
    """The command of a stage has failed, and has shown its message; the pipeline stops."""

    def __init__(self, code: int) -> None:
        """`code` is the exit code of the command."""
        super().__init__(code)
        self.code = code


class StageRunner(Protocol):
    """Runs the commands of the stages: the command line, or a test double."""

    def run(self, words: Sequence[str]) -> int:
        """Run a command of `xlingual` and return its exit code."""
        ...

    def training_words(self, recipe: str | Path) -> list[str]:
        """Return the arguments of `tune run` that `train` runs."""
        ...

    def train(self, recipe: str | Path) -> Path:
        """Train a recipe, unless it is trained already; return the model's folder."""
        ...

    def say(self, line: str) -> None:
        """Show a line to the user."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineSettings:
    """Options that are passed to the commands of the stages; None: their default."""

    base: str | None
    data: str | None
    offline: bool
    limit: str | None
    device: str | None
    processes: str
    """World size of trainings: a number, or "auto"."""
    progress: str
    overrides: tuple[str, ...] = ()
    """What is set in every recipe, each KEY=VALUE."""


@dataclass(slots=True, kw_only=True)
class Pipeline:
    """The stages, in order."""

    settings: PipelineSettings
    scale: PipelineScale
    stages: StageRunner
    languages: Sequence[str]
    out: Path
    commands: list[str] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    """Words of the models that were evaluated, the base first."""
    unanswered: bool = False
    """Whether an evaluation has left samples without an answer."""

    def run(self) -> None:
        """Run every stage; the sweep is checked first, for it comes after hours of training."""
        self._begin("check the points of the law")
        self._run([*self._sweep(), "--dry-run"])
        self.evaluate(self._base_word())
        baseline = self.tune(f"{ALPACA}{self.scale.suffix}")
        for code in self.languages:
            self.tune(f"{X_MODEL}-{code}{self.scale.suffix}")
        m_model = self.tune(f"{M_MODEL}{self.scale.suffix}")
        self.measure()
        self.tune(str(self.allocate(_plan_of(m_model))), shown=f"{M_MODEL}{self.scale.suffix}-allocated")
        self.analyze(baseline.name, [self._base_word(), str(baseline), str(m_model)])
        self.report(baseline.name)

    def tune(self, recipe: str, *, shown: str | None = None) -> Path:
        """Train a recipe and evaluate the model; return its folder."""
        self._begin(f"tune {shown or recipe}")
        self._note(["xlingual", "tune", "run", *self.stages.training_words(recipe)])
        model = self.stages.train(recipe)
        self.evaluate(str(model))
        return model

    def evaluate(self, model: str) -> None:
        """Evaluate a model on all test sets."""
        self._begin(f"evaluate {Path(model).name}")
        self.models.append(model)
        words = ["eval", "--model", model, "--tasks", self.scale.tasks, "--langs", ",".join(["en", *self.languages])]
        words += ["--out", str(self.out / "runs"), "--progress", self.settings.progress]
        most = self.scale.max_new_tokens
        words += option_words(
            {
                "--data": self.settings.data,
                "--limit": self.settings.limit,
                "--device": self.settings.device,
                "--max-new-tokens": None if most is None else str(most),
            }
        )
        self.unanswered |= self._run([*words, *self._offline()]) == 1

    def measure(self) -> None:
        """Train and score the points of the sweep, and fit the scaling law."""
        self._begin("measure the points of the law")
        self._run(self._sweep())
        self._begin("fit the law")
        points = str(self.out / "sweep" / "points.csv")
        self._run(["scale", "fit", points, "--write", str(self._fit), "--plot", str(self.out / "plots")])

    def allocate(self, plan: MixPlan) -> Path:
        """Allocate the m-model's sentence pairs, or a share of them, over languages by the law; return the recipe."""
        self._begin("split the budget")
        directions = {use.name: use.direction for use in plan.recipe.sources}
        found = {
            each.language: each
            for each in plan.sources
            if directions[each.name] is not None and each.language in self.languages
        }
        recipe = self.out / f"{M_MODEL}{self.scale.suffix}-allocated.toml"
        budget = max(1, round(self.scale.budget * sum(each.draws for each in found.values())))
        available = ",".join(f"{code}={each.available}" for code, each in found.items())
        words = ["scale", "allocate", str(self._fit), "--budget", str(budget), "--at-least", "1"]
        words += ["--available", available, "--recipe", f"{M_MODEL}{self.scale.suffix}", "--write", str(recipe)]
        self._run([*words, "--keep", str(self._split), "--plot", str(self.out / "plots")])
        return recipe

    def analyze(self, baseline: str, main: Sequence[str]) -> None:
        """Look into the answers of all models and the layers of all, or of the `main` ones.

        The report goes without what cannot be done.
        """
        self._begin("look into answers and layers")
        runs, folder = str(self.out / "runs"), self.out / "runs" / "analysis"
        content = ["analyze", "content", runs, "--baseline", baseline, "--keep", str(folder / "content.json")]
        models = dict.fromkeys(self.models if self.scale.all_layers else main)
        space = ["analyze", "space", *models, "--langs", ",".join(["en", *self.languages])]
        device = self.settings.device
        one = None if device is None or "," in device or device.endswith(":all") else device
        space += ["--out", str(folder), *option_words({"--data": self.settings.data, "--device": one})]
        for words in (content, [*space, *self._offline()]):
            try:
                self._run(words)
            except StageFailed:
                self.stages.say("the report goes without it")

    def report(self, baseline: str) -> None:
        """Write the HTML report."""
        self._begin("write the report")
        listing = self.out / "commands.txt"
        words = ["report", str(self.out / "runs"), "--board", self.scale.board, "--baseline", baseline]
        words += ["--tuned", str(self.out / "models"), "--fit", str(self._fit), "--allocation", str(self._split)]
        words += ["--include-limited"] if self.settings.limit else []
        words += ["--title", f"x- and m-models from {self._base_name()}", "--commands", str(listing)]
        words += ["--write", str(self.out / "report.html")]
        write_atomically(listing, "\n".join([*self.commands, shlex.join(["xlingual", *words])]) + "\n")
        self._run(words)

    def _sweep(self) -> list[str]:
        """Write the sweep's TOML file and return the arguments of `scale sweep`."""
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
        words = ["scale", "sweep", str(path), "--out", str(self.out), "--progress", self.settings.progress]
        words += ["--processes", self.settings.processes]
        settings = self.settings
        words += [word for override in settings.overrides for word in ("--set", override)]
        words += option_words({"--base": settings.base, "--data": settings.data, "--device": settings.device})
        return [*words, *self._offline()]

    @property
    def _fit(self) -> Path:
        return self.out / "fit.json"

    @property
    def _split(self) -> Path:
        return self.out / "split.json"

    def _base_word(self) -> str:
        return self.settings.base or find_recipe(f"{ALPACA}{self.scale.suffix}", self.settings.overrides).base

    def _base_name(self) -> str:
        model = open_model(self._base_word(), ModelOptions(offline=self.settings.offline))
        try:
            return model.spec.name
        finally:
            model.close()

    def _offline(self) -> list[str]:
        return ["--offline"] if self.settings.offline else []

    def _run(self, words: Sequence[str]) -> int:
        """Run a command of `xlingual`; StageFailed for any exit code but 0 and 1."""
        self._note(["xlingual", *words])
        self.stages.say(f"xlingual {shlex.join(words)}")
        code = self.stages.run(words)
        if code > 1:
            raise StageFailed(code)
        return code

    def _note(self, words: Sequence[str]) -> None:
        self.commands.append(shlex.join(words))

    def _begin(self, what: str) -> None:
        self.stages.say(f"\n== {what}")


def option_words(values: Mapping[str, str | None]) -> list[str]:
    """Return options and their values as arguments; an option without a value is left out."""
    return [word for option, value in values.items() if value is not None for word in (option, value)]


def _plan_of(model: Path) -> MixPlan:
    path = model / PROVENANCE
    return from_json(TuneRecord, read_json(path), where=str(path)).plan


def _toml(words: Sequence[str]) -> str:
    return "[" + ", ".join(f'"{word}"' for word in words) + "]"
