"""`xlingual tune run`: train exactly the plan of a recipe, on one process or on those that torchrun starts."""

import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ...errors import EnvironmentFault, Interrupted
from ...files import pretty_json, read_json
from ...plugin import Model
from ...serial import from_json, to_json
from ...store import LOCK, is_earlier, lock_folder, move_aside
from ...training.observing import SilentTrainingObserver, TrainingObserver, TrainingObservers
from ...training.settings import PROVENANCE, TrainingJob, TrainSettings
from ...tune.prepare import PLAN, ROWS, Prepared, load_plan, open_base, store_plan, trainable
from ...tune.records import TuneRecord, Tuning
from .. import printable
from ..options import json_option, takes
from ..progress import MODES
from ..signals import noted_signals, orderly_signals
from .options import MixWords, mix_parameters, plan_words
from .progress import choose_watcher

if TYPE_CHECKING:
    from ...training.parallel import World

GPU_PACK_LENGTH = 8192
"""Tokens: below it the weights that FSDP moves take longer than what is computed with them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """The words of the command line."""

    recipe: str
    base: str | None
    data: str | None
    offline: bool
    out: str
    pack_length: int | None
    checkpoint_every: int
    keep: int
    log_every: int
    dtype: str | None
    device: str | None
    compile: bool
    activation_checkpointing: bool
    merge: bool
    fresh: bool
    as_json: bool
    progress: str
    track: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """What the first rank has prepared, for all."""

    folder: str
    weights: str
    tokenizer: str
    finished: bool


def run_tune(options: RunOptions) -> int:
    """Prepare, train, and say where the model is."""
    done = train_here(options)
    if isinstance(done, int):
        return done
    _show(*done, options)
    return 0


def run_options(words: Sequence[str]) -> RunOptions:
    """Return the options of `tune run WORDS`."""
    return RunOptions(**COMMAND.make_context("run", list(words)).params)


def train_here(options: RunOptions) -> tuple[TrainingJob, TuneRecord] | int:
    """Prepare and train, or read what has been trained; on other ranks than the first, return the exit code."""
    from ...training.parallel import join_world  # noqa: PLC0415 (torch)

    with join_world(options.device, options.dtype) as world, ExitStack() as endings:
        observer = _choose_observer(options, endings) if world.is_first else SilentTrainingObserver()
        hint = _how_to_go_on(options, alone=world.size == 1)
        with orderly_signals(hint):
            place = world.share(_prepare(options, observer) if world.is_first else None)
            if place is None:
                raise EnvironmentFault("the first rank has shared nothing", where="torchrun")
            job = _job(options, place, world)
        try:
            with _held(job.folder, world, observer):
                record = _read_record(job) if place.finished else _train(job, world, observer)
        except Interrupted as error:
            if world.is_first:
                raise Interrupted(error.signal_number, hint=hint) from error
            return 128 + error.signal_number
        return (job, record) if world.is_first else 0


def _how_to_go_on(options: RunOptions, *, alone: bool) -> str:
    """Return what resumes this training; with --fresh it would begin once more."""
    if alone:
        words = [word for word in sys.argv[1:] if word != "--fresh"]
        return "the same command again resumes: " + shlex.join(["xlingual", *words])
    return "the same command again resumes" + (", without --fresh" if options.fresh else "")


def _choose_observer(options: RunOptions, endings: ExitStack) -> TrainingObserver:
    """Return who watches on the first rank: progress, and a tracker where one is asked for.

    `endings` closes the tracker: a training that never begins has no observer's end.
    """
    watcher = choose_watcher("none" if options.as_json else options.progress)
    if options.track is None:
        return watcher
    from ...tracking import open_tracker  # noqa: PLC0415 (only where it is asked for)
    from ...training.tracked import TrackedObserver  # noqa: PLC0415 (torch)

    folder = Path(options.out).expanduser() / "tracking"
    tracker = open_tracker(options.track, folder, options.recipe, watcher.note)
    endings.callback(tracker.close)
    return TrainingObservers([watcher, TrackedObserver(tracker)])


def _prepare(options: RunOptions, observer: TrainingObserver) -> _Place:
    """Plan, store, and fetch the base: what only the first rank does."""
    words = MixWords(recipe=options.recipe, base=options.base, data=options.data, offline=options.offline)
    prepared, model = plan_words(words)
    if prepared.folder is None:
        prepared = store_plan(prepared, Path(options.out).expanduser())
    if prepared.folder is None:
        raise EnvironmentFault("the plan was not stored", where=options.out)
    with lock_folder(prepared.folder) as note:
        if note:
            observer.note(note)
        if options.fresh:
            _discard(prepared.folder)
    finished = all(path.is_dir() for path in _outputs(prepared, merge=options.merge))
    return _place(prepared.folder, model, finished=finished)


def _place(folder: Path, model: Model, *, finished: bool) -> _Place:
    base = trainable(model)
    return _Place(
        folder=str(folder), weights=str(base.weights()), tokenizer=str(base.tokenizer_files()), finished=finished
    )


def _outputs(prepared: Prepared, *, merge: bool) -> list[Path]:
    """Return the folders that a finished training has."""
    name = prepared.plan.recipe.name
    folder = prepared.folder or Path()
    if prepared.plan.recipe.method.kind is Tuning.FULL:
        return [folder / name]
    return [folder / f"{name}-adapter", *([folder / name] if merge else [])]


def _discard(folder: Path) -> None:
    """Keep what an earlier training wrote: `--fresh` trains again, it does not destroy."""
    stay = (PLAN, ROWS, LOCK)
    earlier = [path for path in folder.iterdir() if path.name not in stay and not is_earlier(path)]
    move_aside(folder, earlier)


def _job(options: RunOptions, place: _Place, world: "World") -> TrainingJob:
    """Return the job as this rank reads it; on another machine than the first rank's, the base is fetched again."""
    folder = Path(place.folder)
    if not (folder / PLAN).is_file():
        raise EnvironmentFault(
            "this machine does not see the run folder", where=str(folder), hint="name a shared folder with --out"
        )
    prepared = load_plan(folder)
    plan = prepared.plan
    weights, tokenizer = Path(place.weights), Path(place.tokenizer)
    if not (weights / "config.json").is_file():
        base = trainable(open_base(options.base or plan.recipe.base, offline=options.offline))
        weights, tokenizer = base.weights(), base.tokenizer_files()
    default = max(GPU_PACK_LENGTH, plan.pack_length) if world.device.type == "cuda" else plan.pack_length
    settings = TrainSettings(
        pack_length=max(options.pack_length or default, plan.recipe.length),
        checkpoint_every=options.checkpoint_every,
        keep=options.keep,
        log_every=options.log_every,
        dtype=options.dtype,
        device=options.device,
        compile=options.compile,
        activation_checkpointing=options.activation_checkpointing,
        merge=options.merge,
    )
    return TrainingJob(
        plan=plan, rows=prepared.rows, weights=weights, tokenizer=tokenizer, folder=folder, settings=settings
    )


@contextmanager
def _held(folder: Path, world: "World", observer: TrainingObserver) -> Iterator[None]:
    """Hold the run folder's lock, on the first rank."""
    if not world.is_first:
        yield
        return
    with lock_folder(folder) as note:
        if note:
            observer.note(note)
        yield


def _train(job: TrainingJob, world: "World", observer: TrainingObserver) -> TuneRecord:
    from ...training.loop import train  # noqa: PLC0415 (torch)

    with noted_signals() as stop:
        return train(job, world, observer, stop)


def _read_record(job: TrainingJob) -> TuneRecord:
    folder = job.model_folder if job.model_folder.is_dir() else job.adapter_folder
    path = folder / PROVENANCE
    return from_json(TuneRecord, read_json(path), where=str(path))


def _show(job: TrainingJob, record: TuneRecord, options: RunOptions) -> None:
    is_full = job.plan.recipe.method.kind is Tuning.FULL
    whole = job.model_folder if is_full or options.merge else None
    adapter = None if is_full else job.adapter_folder
    if options.as_json:
        document = {
            "schema": 1,
            "model": None if whole is None else str(whole),
            "adapter": None if adapter is None else str(adapter),
            "record": to_json(record),
        }
        click.echo(pretty_json(document), nl=False)
        return
    losses = ", ".join(f"{name} {loss:.4f}" for name, loss in record.loss.items())
    click.echo(printable(f"trained {record.steps:,} steps; loss of the last epoch: {losses}"))
    if adapter is not None:
        click.echo(printable(f"adapter: {adapter}"))
    if whole is None:
        click.echo("the same command with --merge writes the whole model, which xlingual eval takes")
    else:
        click.echo(printable(f"model: {whole}"))
        click.echo(printable("next: " + shlex.join(["xlingual", "eval", "--model", str(whole)])))


_OPTIONS: list[click.Parameter] = [
    *mix_parameters(),
    click.Option(["--out", "-o"], default="runs", show_default=True, metavar="DIR", help="Folder of all runs."),
    click.Option(
        ["--pack-length"],
        type=click.IntRange(1),
        default=None,
        help="Most tokens computed at once; default: 4 rows, on a GPU 8192.",
    ),
    click.Option(["--checkpoint-every"], type=click.IntRange(1), default=100, show_default=True, help="Steps."),
    click.Option(["--keep"], type=click.IntRange(1), default=2, show_default=True, help="Checkpoints that stay."),
    click.Option(["--log-every"], type=click.IntRange(1), default=10, show_default=True, help="Steps."),
    click.Option(
        ["--dtype"],
        type=click.Choice(("float32", "bfloat16")),
        default=None,
        help="Of what is computed, not of trained weights; default: float32 on CPU, bfloat16 on GPU.",
    ),
    click.Option(["--device"], type=click.Choice(("cpu", "cuda")), default=None, help="Default: cuda if there is one."),
    click.Option(["--compile"], is_flag=True, help="Compile every layer: a slow start, then faster steps on a GPU."),
    click.Option(["--activation-checkpointing"], is_flag=True, help="Less memory, a third more work."),
    click.Option(["--merge"], is_flag=True, help="Write the whole model of an adapter, too."),
    click.Option(["--fresh"], is_flag=True, help="Train from the first step; earlier results are moved aside."),
    json_option(),
    click.Option(
        ["--progress"], type=click.Choice(MODES), default="auto", show_default=True, help="How to show progress."
    ),
    click.Option(
        ["--track"],
        default=None,
        metavar="comet-ml[:online]",
        help="Mirror settings, losses by step and the record to Comet ML: an offline archive below OUT/tracking, or "
        "sent at once.",
    ),
]


COMMAND = click.Command(
    "run",
    params=_OPTIONS,
    callback=takes(RunOptions, run_tune),
    help="Train exactly the plan of a recipe, or of a run folder. The same command again resumes from the newest "
    "complete checkpoint, on any number of processes: torchrun --nproc-per-node 8 -m xlingual tune run RECIPE.",
    epilog="Example: xlingual tune run x-llama-zh --data DIR",
)
