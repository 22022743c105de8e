"""`xlingual tune run`: train exactly the plan of a recipe, on one process or on those that torchrun starts."""

import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ...errors import EnvironmentFault, Interrupted
from ...files import pretty_json, read_json
from ...lease import LOCK, lock_folder
from ...redaction import redact_command
from ...serial import from_json, to_json
from ...store import TRACKING, is_earlier, is_half_moved, move_aside
from ...training.observing import SilentTrainingObserver, TrainingObserver, TrainingObservers
from ...training.settings import PROVENANCE, TrainingJob, TrainSettings, export_name, limit_steps
from ...tune.chats import learnt_end
from ...tune.plan import PackLayout
from ...tune.prepare import HELD_OUT, PLAN, ROWS, load_plan, open_base, store_plan, trainable
from ...tune.recipe_records import Recipe, Tuning
from ...tune.records import MixPlan, TuneRecord
from .. import HELP_OPTIONS, printable
from ..options import json_option, out_option, takes
from ..progress import progress_option
from ..signals import noted_signals, orderly_signals
from .audit import dropped_lines, truncation_lines
from .curve import CurveWriter
from .held_out import evaluation_lines
from .options import MixOptions, make_or_load_plan, mix_parameters
from .progress import choose_observer
from .savers import saver_options

if TYPE_CHECKING:
    from ...training.parallel import World


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """Arguments and options of `tune run`."""

    recipe: str
    overrides: tuple[str, ...]
    base: str | None
    data: str | None
    offline: bool
    contamination: str | None
    out: str
    pack_length: int | None
    checkpoint_every: int
    keep: int
    log_every: int
    dtype: str | None
    device: str | None
    compile: bool
    activation_checkpointing: bool
    cpu_offload: bool
    max_steps: int | None
    merge: bool
    samples: int
    fresh: bool
    as_json: bool
    progress: str
    track: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _PreparedRun:
    """What rank 0 has prepared, broadcast to all ranks."""

    plan: MixPlan
    """With the packs of this world size and pack length."""
    folder: str
    weights: str
    tokenizer: str
    end_token: int | None
    """The token that answers end with."""
    finished: bool
    """Whether everything is exported already."""


def run_tune(options: RunOptions) -> int:
    """Prepare, train, and show where the model is."""
    result = train_here(options)
    if isinstance(result, int):
        return result
    _show(*result, options)
    return 0


def run_options(words: Sequence[str]) -> RunOptions:
    """Return the options of `tune run` with the arguments `words`."""
    # The names of the help option are those of the group, for click keeps the option that it makes first.
    return RunOptions(**COMMAND.make_context("run", list(words), help_option_names=HELP_OPTIONS).params)


def train_here(options: RunOptions) -> tuple[TrainingJob, TuneRecord] | int:
    """Prepare and train, or read the record of a finished training; on ranks other than 0, return the exit code."""
    from ...training.parallel import init_distributed  # noqa: PLC0415 (torch)

    with init_distributed(options.device, options.dtype) as world, ExitStack() as cleanup:
        observer = _make_observer(options, cleanup) if world.is_rank_zero else SilentTrainingObserver()
        hint = _resume_hint(options, single_process=world.size == 1)
        with orderly_signals(hint):
            prepared = world.broadcast(_prepare(options, world, observer) if world.is_rank_zero else None)
            if prepared is None:
                raise EnvironmentFault("rank 0 has broadcast nothing", where="torchrun")
            job = _job(options, prepared)
        try:
            with _locked(job.folder, world, observer) as guard:
                job = replace(job, guard=guard)
                record = _read_record(job) if prepared.finished else _train(job, world, observer)
        except Interrupted as error:
            if world.is_rank_zero:
                raise Interrupted(error.signal_number, hint=hint) from error
            return 128 + error.signal_number
        return (job, record) if world.is_rank_zero else 0


def _resume_hint(options: RunOptions, *, single_process: bool) -> str:
    """Return the command that resumes this training: without --fresh, which would start over."""
    if single_process:
        words = [word for word in sys.argv[1:] if word != "--fresh"]
        return "the same command again resumes: " + redact_command(["xlingual", *words])
    return "the same command again resumes" + (", without --fresh" if options.fresh else "")


def _make_observer(options: RunOptions, cleanup: ExitStack) -> TrainingObserver:
    """Return the observer on rank 0: progress, and a tracker where one is asked for.

    `cleanup` closes the tracker: a training that fails before it begins does not call its observer.
    """
    progress = choose_observer("none" if options.as_json else options.progress)
    if options.track is None:
        return progress
    from ...tracking import open_tracker  # noqa: PLC0415 (only where it is asked for)
    from ...training.tracked import TrackedObserver  # noqa: PLC0415 (torch)

    folder = Path(options.out).expanduser() / TRACKING
    tracker = open_tracker(options.track, folder, options.recipe, progress.note)
    cleanup.callback(tracker.close)
    return TrainingObservers([progress, TrackedObserver(tracker)])


def _prepare(options: RunOptions, world: "World", observer: TrainingObserver) -> _PreparedRun:
    """Plan, store, and fetch the base: on rank 0 only."""
    mix = MixOptions(
        recipe=options.recipe,
        overrides=options.overrides,
        base=options.base,
        data=options.data,
        offline=options.offline,
        contamination=options.contamination,
    )
    layout = PackLayout(pack_length=options.pack_length, ranks=world.size, on_gpu=world.device.type == "cuda")
    prepared, model = make_or_load_plan(mix, layout, lambda recipe: _refuse_here(recipe, options, world))
    if prepared.folder is None:
        prepared = store_plan(prepared, Path(options.out).expanduser())
    for line in (*truncation_lines(prepared.plan), *dropped_lines(prepared.plan)):
        observer.note(line)
    steps = limit_steps(prepared.plan, options.max_steps)
    every, samples = options.checkpoint_every, options.samples
    for line in evaluation_lines(prepared.plan, steps=steps, checkpoint_every=every, samples=samples):
        observer.note(line)
    folder = prepared.folder
    if folder is None:
        raise EnvironmentFault("the plan was not stored", where=options.out)
    with lock_folder(folder, observer.note) as lease:
        if lease.note:
            observer.note(lease.note)
        if options.fresh or is_half_moved(folder):
            lease.check()
            _discard(folder)
    base = trainable(model)
    return _PreparedRun(
        plan=prepared.plan,
        folder=str(folder),
        weights=str(base.weights()),
        tokenizer=str(base.tokenizer_files()),
        end_token=learnt_end(base, by_turn=prepared.plan.is_by_turn),
        finished=all(path.is_dir() for path in _outputs(prepared.plan, folder, options)),
    )


def _refuse_here(recipe: Recipe, options: RunOptions, world: "World") -> None:
    """Raise where this machine cannot train by `recipe`, before a row is encoded."""
    from ...training.optimizers import refuse_optimizer  # noqa: PLC0415 (torch)
    from ...training.quantization import refuse_quantization  # noqa: PLC0415 (torch)

    refuse_optimizer(recipe, world.device, cpu_offload=options.cpu_offload)
    refuse_quantization(recipe, world)


def _outputs(plan: MixPlan, folder: Path, options: RunOptions) -> list[Path]:
    """Return the folders that a finished training has exported."""
    name = export_name(plan, options.max_steps)
    if plan.recipe.method.kind is Tuning.FULL:
        return [folder / name]
    return [folder / f"{name}-adapter", *([folder / name] if options.merge else [])]


def _discard(folder: Path) -> None:
    """Move what an earlier training wrote to a folder of its own: `--fresh` deletes nothing."""
    kept = (PLAN, ROWS, HELD_OUT, LOCK)
    move_aside(folder, [path for path in folder.iterdir() if path.name not in kept and not is_earlier(path)])


def _job(options: RunOptions, prepared: _PreparedRun) -> TrainingJob:
    """Return the job of this rank; a machine that does not have the base yet fetches it."""
    folder, plan = Path(prepared.folder), prepared.plan
    if not (folder / PLAN).is_file():
        raise EnvironmentFault(
            "this machine does not see the run folder", where=str(folder), hint="name a shared folder with --out"
        )
    stored = load_plan(folder)
    weights, tokenizer = Path(prepared.weights), Path(prepared.tokenizer)
    if not (weights / "config.json").is_file():
        base = trainable(open_base(options.base or plan.recipe.base, offline=options.offline))
        weights, tokenizer = base.weights(), base.tokenizer_files()
    settings = TrainSettings(
        pack_length=plan.pack_length,
        checkpoint_every=options.checkpoint_every,
        keep=options.keep,
        log_every=options.log_every,
        dtype=options.dtype,
        device=options.device,
        compile=options.compile,
        activation_checkpointing=options.activation_checkpointing,
        cpu_offload=options.cpu_offload,
        max_steps=options.max_steps,
        merge=options.merge,
        samples=options.samples,
    )
    return TrainingJob(
        plan=plan,
        rows=stored.rows,
        weights=weights,
        tokenizer=tokenizer,
        folder=folder,
        settings=settings,
        held_out=stored.held_out,
        end_token=prepared.end_token,
    )


@contextmanager
def _locked(folder: Path, world: "World", observer: TrainingObserver) -> Iterator[Callable[[], None]]:
    """Hold the lease of the run folder, on rank 0; yields what checks it."""
    if not world.is_rank_zero:
        yield lambda: None
        return
    with lock_folder(folder, observer.note) as lease:
        if lease.note:
            observer.note(lease.note)
        yield lease.check


def _train(job: TrainingJob, world: "World", observer: TrainingObserver) -> TuneRecord:
    from ...training.loop import train  # noqa: PLC0415 (torch)

    if job.held_out is not None and world.is_rank_zero:
        observer = TrainingObservers([observer, CurveWriter(job.folder, observer)])
    with noted_signals() as stop:
        return train(job, world, observer, stop)


def _read_record(job: TrainingJob) -> TuneRecord:
    folder = job.model_folder if job.model_folder.is_dir() else job.adapter_folder
    path = folder / PROVENANCE
    return from_json(TuneRecord, read_json(path), where=str(path))


def _show(job: TrainingJob, record: TuneRecord, options: RunOptions) -> None:
    is_full = job.plan.recipe.method.kind is Tuning.FULL
    model = job.model_folder if is_full or options.merge else None
    adapter = None if is_full else job.adapter_folder
    if options.as_json:
        document = {
            "schema": 1,
            "model": None if model is None else str(model),
            "adapter": None if adapter is None else str(adapter),
            "record": to_json(record),
        }
        click.echo(pretty_json(document), nl=False)
        return
    losses = ", ".join(f"{name} {loss:.4f}" for name, loss in record.loss.items())
    if record.max_steps is None:
        click.echo(printable(f"trained {record.steps:,} steps; loss of the last epoch: {losses}"))
    else:
        whole = f"{record.steps:,} of {record.plan.steps:,} steps"
        click.echo(printable(f"stopped by --max-steps after {whole}; loss of the last epoch so far: {losses}"))
        click.echo("the same command without it goes on from there")
    if record.exported is not None:
        found = record.exported.checkpoint
        chosen = record.exported.chosen.value + (" so far" if record.max_steps is not None else "")
        click.echo(f"exported: step {found.step:,} ({chosen}), held-out loss {found.loss:.4f}")
    if adapter is not None:
        click.echo(printable(f"adapter: {adapter}"))
    if model is None:
        click.echo("the same command with --merge writes the whole model, which xlingual eval takes")
    else:
        click.echo(printable(f"model: {model}"))
        click.echo(printable("next: " + shlex.join(["xlingual", "eval", "--model", str(model)])))


_OPTIONS: list[click.Parameter] = [
    *mix_parameters(),
    out_option(),
    click.Option(
        ["--pack-length"],
        type=click.IntRange(1),
        default=None,
        help="Tokens a pack, the most that a rank computes at once; default: 4 rows, on a GPU at least 8192.",
    ),
    click.Option(["--checkpoint-every"], type=click.IntRange(1), default=100, show_default=True, help="Steps."),
    click.Option(
        ["--keep"],
        type=click.IntRange(1),
        default=2,
        show_default=True,
        help="Newest checkpoints to keep; with held-out rows, the best is kept besides.",
    ),
    click.Option(["--log-every"], type=click.IntRange(1), default=10, show_default=True, help="Steps."),
    click.Option(
        ["--dtype"],
        type=click.Choice(("float32", "bfloat16")),
        default=None,
        help="Of what is computed, not of trained weights; default: float32 on CPU, bfloat16 on GPU.",
    ),
    click.Option(["--device"], type=click.Choice(("cpu", "cuda")), default=None, help="Default: cuda if there is one."),
    click.Option(["--compile"], is_flag=True, help="Compile every layer: a slow start, then faster steps on a GPU."),
    *saver_options(),
    click.Option(
        ["--max-steps"],
        type=click.IntRange(1),
        default=None,
        help="Stop after this step, with a checkpoint; the learning rates stay those of the whole plan.",
    ),
    click.Option(
        ["--samples"],
        type=click.IntRange(0, 64),
        default=0,
        show_default=True,
        help="Held-out sentences to translate at each checkpoint, into samples.jsonl; needs hold_out in the recipe.",
    ),
    click.Option(["--merge"], is_flag=True, help="Write the whole model of an adapter, too."),
    click.Option(["--fresh"], is_flag=True, help="Train from the first step; earlier results are moved aside."),
    json_option(),
    progress_option(),
    click.Option(
        ["--track"],
        default=None,
        metavar="comet-ml|wandb|mlflow[:online]",
        help="Mirror settings, losses by step and the record to Comet ML, Weights & Biases or MLflow: offline below "
        "OUT/tracking, or with :online sent at once.",
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
