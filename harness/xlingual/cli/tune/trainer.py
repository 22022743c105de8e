"""A training as a step of other commands (sweeps, the pipeline): in this process, or in one for each GPU."""

import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from ...errors import EnvironmentFault, Interrupted
from ...pipeline import option_words
from ...tune.prepare import PLAN
from .. import printable
from .run import run_options, train_here


@dataclass(frozen=True, slots=True, kw_only=True)
class Trainer:
    """Runs `xlingual tune run` with `--merge`, so that a whole model is exported."""

    out: Path
    base: str | None
    data: str | None
    offline: bool
    progress: str
    processes: int
    overrides: tuple[str, ...] = ()
    """What is set in every recipe that is trained by its name or file, each KEY=VALUE; stored plans are as they are."""

    def __call__(self, recipe: str | Path) -> Path:
        """Train a recipe, or the plan in a run folder, unless it is trained already; return the model's folder.

        Raises what `tune run` raises.
        """
        words = self.words(recipe)
        click.echo(printable(f"xlingual tune run {shlex.join(words)}"), err=True)
        if self.processes > 1:
            _train_in_processes(words, self.processes)
        done = train_here(run_options(words))
        if isinstance(done, int):
            raise EnvironmentFault("this process is one of several", where="torchrun", hint="--processes starts them")
        return done[0].model_folder

    def words(self, recipe: str | Path) -> list[str]:
        """Return the arguments of `tune run`."""
        words = ["--merge", "--out", str(self.out), "--progress", self.progress]
        words += option_words({"--base": self.base, "--data": self.data})
        if not (Path(recipe) / PLAN).is_file():
            words += [word for override in self.overrides for word in ("--set", override)]
        return [*words, *(["--offline"] if self.offline else []), "--", str(recipe)]


def count_processes(word: str) -> int:
    """Return the world size of trainings: "auto" is one process for each GPU, or one."""
    if word != "auto":
        return int(word)
    from ...training.parallel import count_gpus  # noqa: PLC0415 (torch)

    return max(1, count_gpus())


def processes_option() -> click.Option:
    """`--processes N|auto`."""
    return click.Option(
        ["--processes"],
        default="auto",
        show_default=True,
        metavar="N",
        callback=_whole_or_auto,
        help="That train together, as by torchrun; auto: one for each GPU.",
    )


def _whole_or_auto(_context: click.Context, _option: click.Parameter, word: str) -> str:
    if word != "auto" and not (word.isascii() and word.isdigit() and 0 < int(word) < 1025):
        raise click.BadParameter(f"{word!r} is neither auto nor a number of processes")
    return word


def _train_in_processes(words: Sequence[str], processes: int) -> None:
    """Train in `processes` ranks, as by torchrun; Interrupted or EnvironmentFault where one of them fails."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [*launcher, "-m", "xlingual", "tune", "run", *words]
    code = subprocess.run(command, check=False).returncode  # noqa: S603 (our own interpreter; no shell reads the words)
    if code in (130, 143, -2, -15):
        raise Interrupted(abs(code) % 128, hint="the same command again resumes")
    if code:
        raise EnvironmentFault(f"the training ended with exit code {code}", where="tune run", hint="see above")
