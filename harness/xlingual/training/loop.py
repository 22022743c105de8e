"""The training: the steps of a plan, from the first or from the newest checkpoint, to the model in its folder."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import torch

from ..errors import Interrupted, ModelError
from ..tune.packing import PackAssignment, assign_packs
from ..tune.records import IntArray, TuneRecord, Tuning
from . import checkpoints, steplog
from .batches import build_batch, supervised_counts, weigh
from .checkpoints import Trained, TrainingState
from .export import Outcome, gather, record_of, write_adapter, write_merged, write_model
from .linear import use_onednn_linear
from .loading import Loaded, agrees, load
from .loss_meter import LossMeter, StepInfo
from .observing import SilentTrainingObserver, Throughput, TrainingObserver, TrainingSetup
from .parallel import World, clip_gradients, shard_model, wrap_layers
from .schedule import Step, StepSchedule, learning_rate
from .settings import TrainingJob
from .speed import Costs, costs_of, peak_of

Stop = Callable[[], int | None]
"""Returns the signal that asks for an end, or None."""
BETAS: Final = (0.9, 0.999)
EPSILON: Final = 1e-8


@dataclass(slots=True)
class LogWindow:
    """What was computed since the last log."""

    began: float = field(default_factory=time.perf_counter)
    steps: int = 0
    tokens: int = 0
    supervised: int = 0
    squares: int = 0
    pads: int = 0
    waited: int = 0
    places: int = 0
    stalled: float = 0.0


@dataclass(slots=True, kw_only=True)
class Training:
    """A training at work on one rank."""

    job: TrainingJob
    world: World
    observer: TrainingObserver
    loaded: Loaded
    optimizer: torch.optim.AdamW
    costs: Costs
    peak: float | None
    loss_meter: LossMeter
    step_schedule: StepSchedule
    lengths: IntArray
    counts: IntArray
    done: int = 0
    saved: int = 0
    """Step of the newest checkpoint."""
    seconds: float = 0.0
    useful_tokens: int = 0
    window: LogWindow = field(default_factory=LogWindow)


def train(job: TrainingJob, world: World, observer: TrainingObserver, stop: Stop) -> TuneRecord:
    """Train a job to its end and write the model; every rank of `world` must call.

    Raises Interrupted, after a checkpoint, when any rank's `stop` names a signal; ModelError where the base cannot be
    tuned exactly or the loss is no number any more.
    """
    watcher = observer if world.is_first else SilentTrainingObserver()
    training = prepare(job, world, watcher)
    plan, settings = job.plan, job.settings
    words = str(world.dtype).removeprefix("torch.")
    watcher.begin(
        TrainingSetup(plan=plan, start=training.done, world_size=world.size, device=str(world.device), dtype=words)
    )
    try:
        training.window = LogWindow()
        for number in range(training.done, plan.steps):
            if signal := world.largest(stop() or 0):
                _checkpoint(training)
                raise Interrupted(signal)
            take_step(training, training.step_schedule.step(number))
            last = training.done == plan.steps
            due = training.done % settings.checkpoint_every == 0 or last
            if due or training.done % settings.log_every == 0:
                _log(training)
            if due:
                _checkpoint(training)
        return _export(training)
    finally:
        watcher.end()


def prepare(job: TrainingJob, world: World, observer: TrainingObserver) -> Training:
    """Load, shard and restore: all that comes before the first step."""
    torch.manual_seed(job.plan.recipe.seed)  # the same adapter on every rank and in every sitting
    loaded = load(job)
    costs = costs_of(loaded.model, job.plan.recipe.method.kind)
    shard_model(loaded.model, world)
    if not job.settings.compile:
        use_onednn_linear(loaded.model)
    if not agrees(loaded.model, world.device, world.dtype):
        raise ModelError(
            "packed documents do not get the loss that the model gives them alone",
            where=job.plan.base.name,
            hint="this architecture cannot be tuned here",
        )
    settings = job.settings
    wrap_layers(loaded.model, compiled=settings.compile, checkpointed=settings.activation_checkpointing)
    trained = [each for each in loaded.model.parameters() if each.requires_grad]
    sources = job.plan.recipe.sources
    training = Training(
        job=job,
        world=world,
        observer=observer,
        loaded=loaded,
        optimizer=make_optimizer(trained, job.plan.recipe.schedule.weight_decay),
        costs=costs,
        peak=peak_of(world.device),
        loss_meter=LossMeter(
            names=[each.name for each in sources], languages=[each.language for each in sources], world=world
        ),
        step_schedule=StepSchedule(rows=job.rows, schedule=job.plan.recipe.schedule, seed=job.plan.recipe.seed),
        lengths=job.rows.lengths,
        counts=supervised_counts(job.rows),
    )
    _resume(training)
    return training


def make_optimizer(parameters: list[torch.nn.Parameter], decay: float) -> torch.optim.AdamW:
    """Return AdamW over parameters that are sharded already; vectors (norms, biases) do not decay."""
    groups = [
        {"params": [each for each in parameters if each.ndim > 1], "weight_decay": decay},
        {"params": [each for each in parameters if each.ndim <= 1], "weight_decay": 0.0},
    ]
    present = [group for group in groups if group["params"]]
    return torch.optim.AdamW(present, lr=0.0, betas=BETAS, eps=EPSILON, fused=True)


def _resume(training: Training) -> None:
    job, world = training.job, training.world
    found = world.share(checkpoints.find(job.folder, job.plan.id) if world.is_first else None)
    if found is None:
        raise TypeError("the first rank shares what it found")
    for note in found.notes:
        training.observer.note(note)
    state = found.state
    if world.is_first:
        steplog.cut_back(job.folder / steplog.NAME, state.step if state else 0)
    if found.folder is None or state is None:
        return
    checkpoints.restore(found.folder, Trained(training.loaded.model, training.optimizer), world)
    training.done = training.saved = state.step
    training.seconds, training.useful_tokens = state.seconds, state.useful_tokens
    training.loss_meter.epoch = state.epoch
    training.loss_meter.epoch_loss = list(state.epoch_loss)
    training.loss_meter.epoch_tokens = list(state.epoch_tokens)


def take_step(training: Training, step: Step) -> None:
    """Learn the rows of one step: forward and backward over its passes, then the optimizer."""
    job, world, model = training.job, training.world, training.loaded.model
    recipe = job.plan.recipe
    began = time.perf_counter()
    lengths, counts = training.lengths[step.rows].tolist(), training.counts[step.rows].tolist()
    work = assign_packs(step.rows.tolist(), lengths, job.settings.pack_length, world.size)
    weighing = weigh(counts, recipe.schedule.norm, len(recipe.sources))
    rate = learning_rate(recipe.schedule, step.number, job.plan.steps)
    for group in training.optimizer.param_groups:
        group["lr"] = rate
    training.loss_meter.begin_step()
    for place, packs in enumerate(work.passes):
        batch = build_batch(job.rows, packs[world.rank], weighing, world.device)
        training.window.stalled += time.perf_counter() - began
        if recipe.method.kind is not Tuning.FULL:  # only adapters have dropout
            torch.manual_seed(_mix(recipe.seed, step.number, place * world.size + world.rank))
        losses = model(batch)
        (losses * batch.weights).sum().backward()
        training.loss_meter.add(batch, losses)
        began = time.perf_counter()
    norm = clip_gradients(model, recipe.schedule.clip, world)
    training.optimizer.step()
    training.optimizer.zero_grad(set_to_none=True)
    training.done = step.number + 1
    by_source = _by_source(job.rows.sources[step.rows], training.counts[step.rows], len(recipe.sources))
    entry = StepInfo(
        step=training.done,
        epoch=step.epoch,
        learning_rate=rate,
        rows=len(step.rows),
        tokens=work.tokens,
        counts=by_source,
    )
    training.loss_meter.end_step(entry, norm)
    _count(training.window, work, lengths, sum(by_source))


def _mix(*numbers: int) -> int:
    """Return one seed for several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)


def _by_source(sources: IntArray, counts: IntArray, number: int) -> tuple[int, ...]:
    sums = np.bincount(sources, weights=counts, minlength=number)
    return tuple(int(each) for each in sums)


def _count(window: LogWindow, work: PackAssignment, lengths: list[int], supervised: int) -> None:
    window.steps += 1
    window.tokens += work.tokens
    window.supervised += supervised
    window.squares += sum(length * length for length in lengths)
    window.pads += 2 * sum(not pack for packs in work.passes for pack in packs)
    window.waited += work.waited
    window.places += work.tokens + work.waited


def _log(training: Training) -> None:
    """Read what the steps since the last log came to, write it down and tell it; every rank must call."""
    reports = training.loss_meter.read()
    if not reports:
        return
    window, world = training.window, training.world
    seconds = max(time.perf_counter() - window.began, 1e-9)
    training.seconds += seconds
    training.useful_tokens += window.tokens
    operations = training.costs.operations(window.tokens, window.supervised, window.squares)
    pace = Throughput(
        steps=window.steps,
        seconds=seconds,
        useful_tokens_per_second=window.tokens / seconds,
        mfu=None if training.peak is None else operations / seconds / (training.peak * world.size),
        pad_share=window.pads / max(window.tokens + window.pads, 1),
        wait_share=window.waited / max(window.places, 1),
        stall_share=window.stalled / seconds,
    )
    for each in reports:
        if not abs(each.loss) < float("inf") or not abs(each.gradient_norm) < float("inf"):
            raise ModelError(
                f"the loss of step {each.step} is {each.loss}, the norm of its gradient {each.gradient_norm}",
                where=training.job.plan.recipe.name,
                hint="lower the learning rate; the checkpoints before it are kept",
            )
    if world.is_first:
        steplog.append(training.job.folder / steplog.NAME, reports, pace)
        training.observer.logged(reports, pace)
    training.window = LogWindow()


def _checkpoint(training: Training) -> None:
    """Store where the training stands; every rank must call."""
    _log(training)
    if training.done == training.saved:
        return
    loss_meter = training.loss_meter
    state = TrainingState(
        plan=training.job.plan.id,
        step=training.done,
        epoch=loss_meter.epoch,
        epoch_loss=tuple(loss_meter.epoch_loss),
        epoch_tokens=tuple(loss_meter.epoch_tokens),
        seconds=training.seconds,
        useful_tokens=training.useful_tokens,
    )
    trained = Trained(training.loaded.model, training.optimizer)
    folder = checkpoints.save(training.job.folder, trained, state, training.job.settings.keep, training.world)
    training.saved = training.done
    training.observer.saved("checkpoint", folder)
    training.window = LogWindow()


def _export(training: Training) -> TuneRecord:
    job, world = training.job, training.world
    outcome = Outcome(
        steps=training.done,
        loss=training.loss_meter.epoch_means(),
        useful_tokens_per_second=training.useful_tokens / max(training.seconds, 1e-9),
        world_size=world.size,
        dtype=str(world.dtype).removeprefix("torch."),
    )
    record = record_of(job, outcome)
    weights = gather(training.loaded.model)
    if world.is_first:
        if training.loaded.adapter is None:
            training.observer.saved("model", write_model(job, training.loaded, weights, record))
        else:
            training.observer.saved("adapter", write_adapter(job, training.loaded, weights, record))
            if job.settings.merge:
                training.observer.saved("model", write_merged(job, record))
    world.barrier()
    return record
