"""`xlingual xllama`: the x-LLaMA pipeline from the command line."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from ..errors import UsageError
from ..identity import content_hash, slug
from ..languages import find_language
from ..lease import lock_folder
from ..pipeline import ALPACA, M_MODEL, SCALES, X_MODEL, Pipeline, PipelineSettings, StageFailed
from ..tune.overrides import SOURCES_KEY, read_override
from ..tune.recipe import find_recipe
from . import printable, run_command
from .options import data_option, offline_option, out_option, takes
from .progress import progress_option
from .signals import orderly_signals
from .tune.options import override_option
from .tune.trainer import Trainer, count_processes, processes_option


@dataclass(frozen=True, slots=True, kw_only=True)
class XllamaOptions:
    """Options of `xllama`."""

    scale: str
    overrides: tuple[str, ...]
    base: str | None
    langs: str | None
    data: str | None
    offline: bool
    out: str
    limit: str | None
    processes: str
    device: str | None
    progress: str


@dataclass(frozen=True, slots=True)
class _StageCommands:
    """Runs the stages as commands of this process; trainings in `--processes` ranks."""

    trainer: Trainer

    def run(self, words: Sequence[str]) -> int:
        return run_command(words)

    def training_words(self, recipe: str | Path) -> list[str]:
        return self.trainer.words(recipe)

    def train(self, recipe: str | Path) -> Path:
        return self.trainer(recipe)

    def say(self, line: str) -> None:
        click.echo(printable(line), err=True)


def run_xllama(options: XllamaOptions) -> int:
    """Run all stages; return 0, or 1 where samples have no answer, or the exit code of the stage that failed."""
    scale = SCALES[options.scale]
    codes = [find_language(word).code for word in (options.langs or ",".join(scale.languages)).split(",") if word]
    _refuse_sources(options.overrides)
    for name in (ALPACA, *(f"{X_MODEL}-{code}" for code in codes), M_MODEL):
        find_recipe(f"{name}{scale.suffix}", options.overrides)
    out = Path(options.out).expanduser() / folder_name(options)
    out.mkdir(parents=True, exist_ok=True)
    settings = PipelineSettings(
        base=options.base,
        data=options.data or scale.data,
        offline=options.offline,
        limit=options.limit,
        device=options.device,
        processes=options.processes,
        progress=options.progress,
        overrides=options.overrides,
    )
    trainer = Trainer(
        out=out / "models",
        base=settings.base,
        data=settings.data,
        offline=settings.offline,
        progress=settings.progress,
        processes=count_processes(settings.processes),
        overrides=settings.overrides,
    )
    with (
        lock_folder(out, lambda line: click.echo(f"note: {line}", err=True)) as lease,
        orderly_signals("the same command again goes on where it stopped"),
    ):
        if lease.note:
            click.echo(f"note: {lease.note}", err=True)
        pipeline = Pipeline(settings=settings, scale=scale, stages=_StageCommands(trainer), languages=codes, out=out)
        try:
            pipeline.run()
        except StageFailed as error:
            click.echo("stopped; the same command again goes on where it stopped", err=True)
            return error.code
    return 1 if pipeline.unanswered else 0


def _refuse_sources(overrides: Sequence[str]) -> None:
    """Raise UsageError for an override of a source: the recipes of the pipeline have different ones."""
    for override in map(read_override, overrides):
        if override.place[0] in (SOURCES_KEY, "name", "x"):
            what = "the recipes of the pipeline differ in it"
            raise UsageError(what, where=override.option, hint="set what all of them have: schedule, method, length")


def folder_name(options: XllamaOptions) -> str:
    """Return the name of the output folder: one for each scale, base and what is set in the recipes."""
    name = f"xllama-{options.scale}"
    if options.overrides:
        name = f"{name}-{content_hash(list(options.overrides))[:8]}"
    return name if options.base is None else slug(f"{name}-{options.base}")


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
        override_option("every recipe"),
        click.Option(["--base"], default=None, help="Model word of the base, instead of the recipes'."),
        click.Option(
            ["--langs", "-l"],
            default=None,
            metavar="zh,ar,...",
            help="Languages of the x-models; default: tr,vi,zh, or all six.",
        ),
        data_option("Folder that the recipes' paths are below and that holds the benchmarks, or 'sample'."),
        offline_option(),
        out_option(),
        click.Option(
            ["--limit"], default=None, metavar="N|A-B", help="Only these examples of each test set; unranked."
        ),
        processes_option(),
        click.Option(["--device"], default=None, help="Of the evaluation: cpu, cuda, cuda:all."),
        progress_option("How to show it."),
    ],
    callback=takes(XllamaOptions, run_xllama),
    help="Run the whole pipeline: evaluate the base; tune it on English instructions, to x-models and to an m-model, "
    "and evaluate each; fit the scaling law to a sweep; split the m-model's translations anew by it, tune and evaluate "
    "that one; look into the answers and layers of all; and write one page. The same command again resumes.",
    epilog="Example: xlingual xllama --scale paper --base meta-llama/Llama-2-7b-hf --data DIR",
)
