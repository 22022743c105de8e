"""The training loop: the steps of a plan, from the first or from the newest checkpoint, to the exported model."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from ..decoder.loading import memory_faults
from ..errors import Interrupted, ModelError
from ..tune.hold_out.records import ExportedWeights, HeldOutProgress
from ..tune.packing import assign_packs
from ..tune.records import IntArray, TuneRecord
from . import checkpoints, samples, steplog
from .attention import has_varlen_kernel, varlen_parameters
from .batches import build_batch, loss_normalizer
from .checkpoints import ModelAndOptimizer, TrainingState
from .export import TrainingResult, gather_state_dict, make_record, write_adapter, write_merged, write_model
from .held_out import describe_export, evaluated_checkpoint, held_out_loss, load_exported
from .linear import use_onednn_linear
from .loading import TrainingModel, choose_forward, load
from .log_window import LogWindow
from .loss_meter import LossMeter, StepInfo
from .observing import HeldOutLoss, SilentTrainingObserver, TrainingObserver, TrainingSetup
from .optimizers import Optimizers, make_optimizers
from .parallel import World, clip_gradients, shard_model, wrap_layers
from .schedule import Step, StepSchedule, learning_rate
from .settings import TrainingJob, refuse_earlier_end
from .speed import StepFlops, peak_of, step_flops

Stop = Callable[[], int | None]
"""Returns the signal that this rank has received, or None."""


@dataclass(slots=True, kw_only=True)
class Training:
    """A training in progress on one rank."""

    job: TrainingJob
    world: World
    observer: TrainingObserver
    loaded: TrainingModel
    optimizers: Optimizers
    flops: StepFlops
    peak: float | None
    """FLOP/s of one GPU; None where it is not known."""
    loss_meter: LossMeter
    step_schedule: StepSchedule
    lengths: IntArray
    """Tokens of each row."""
    supervised: IntArray
    """Supervised tokens of each row."""
    done: int = 0
    """Steps."""
    saved: int = 0
    """Step of the newest checkpoint."""
    seconds: float = 0.0
    """Spent in steps, resumed runs included."""
    useful_tokens: int = 0
    window: LogWindow = field(default_factory=LogWindow)
    held_out: HeldOutProgress = field(default_factory=HeldOutProgress)


def train(job: TrainingJob, world: World, observer: TrainingObserver, stop: Stop) -> TuneRecord:
    """Train a job to its end and export the model; a collective.

    Raises Interrupted, after a checkpoint, when `stop` of any rank returns a signal; ModelError where the base cannot
    be tuned exactly or the loss is no longer finite; EnvironmentFault where memory runs out.
    """
    hint = "lower --pack-length, add --activation-checkpointing or --cpu-offload, take more GPUs; checkpoints are kept"
    with memory_faults("the memory does not hold the training", where=job.plan.recipe.name, hint=hint):
        return _train(job, world, observer if world.is_rank_zero else SilentTrainingObserver(), stop)


def _train(job: TrainingJob, world: World, observer: TrainingObserver, stop: Stop) -> TuneRecord:
    training = prepare(job, world, observer)
    plan, settings = job.plan, job.settings
    observer.begin(
        TrainingSetup(
            plan=plan,
            start=training.done,
            world_size=world.size,
            device=str(world.device),
            dtype=_dtype_name(world.dtype),
            last=job.last_step,
        )
    )
    try:
        refuse_earlier_end(training.done, job)
        training.window = LogWindow()
        for number in range(training.done, job.last_step):
            if signal := world.all_reduce_max(stop() or 0):
                _checkpoint(training)
                raise Interrupted(signal)
            take_step(training, training.step_schedule.step(number))
            is_last = training.done == job.last_step
            is_checkpoint_due = training.done % settings.checkpoint_every == 0 or is_last
            if is_checkpoint_due or training.done % settings.log_every == 0:
                _log(training, evaluates=is_checkpoint_due)
            if is_checkpoint_due:
                _checkpoint(training)
        return _export(training)
    finally:
        observer.end()


def _dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def prepare(job: TrainingJob, world: World, observer: TrainingObserver) -> Training:
    """Load and shard the model, make the optimizer, restore the newest checkpoint; a collective.

    ModelError where the documents of a pack do not get the loss that the model gives them alone.
    """
    torch.manual_seed(job.plan.recipe.seed)  # adapters are initialised alike on every rank and in every run
    loaded = load(job, world.dtype)
    flops = step_flops(loaded.model, job.plan.recipe.method.kind)
    shard_model(loaded.model, world)
    if not job.settings.compile:
        use_onednn_linear(loaded.model)
    if not choose_forward(loaded.model, world):
        raise ModelError(
            "documents of a batch do not get the loss that the model gives them alone",
            where=job.plan.base.name,
            hint="this architecture cannot be tuned here",
        )
    if loaded.model.padded:
        observer.note("this architecture is not computed as packed sequences: padded batches, slower, take their place")
    elif world.device.type == "cuda" and not has_varlen_kernel(varlen_parameters(), None):
        observer.note("this torch has no attention for packed documents: one call for each, slower; torch 2.13 has it")
    settings = job.settings
    wrap_layers(loaded.model, compiled=settings.compile, checkpointed=settings.activation_checkpointing)
    trained = [each for each in loaded.model.parameters() if each.requires_grad]
    sources = job.plan.recipe.sources
    training = Training(
        job=job,
        world=world,
        observer=observer,
        loaded=loaded,
        optimizers=make_optimizers(trained, job.plan.recipe.schedule, cpu_offload=settings.cpu_offload),
        flops=flops,
        peak=peak_of(world.device),
        loss_meter=LossMeter(
            names=[each.name for each in sources], languages=[each.language for each in sources], world=world
        ),
        step_schedule=StepSchedule(rows=job.rows, schedule=job.plan.recipe.schedule, seed=job.plan.recipe.seed),
        lengths=job.rows.lengths,
        supervised=job.rows.supervised,
    )
    _resume(training)
    return training


def _resume(training: Training) -> None:
    job, world = training.job, training.world
    needs_best = job.plan.recipe.exported_weights is ExportedWeights.BEST
    found = world.broadcast(
        checkpoints.find_latest(job.folder, job.plan.id, needs_best=needs_best) if world.is_rank_zero else None
    )
    if found is None:
        raise TypeError("rank 0 broadcasts what it found")
    for note in found.notes:
        training.observer.note(note)
    state = found.state
    if world.is_rank_zero:
        steplog.cut_back(job.folder / steplog.NAME, state.step if state else 0)
        steplog.cut_back(job.folder / samples.NAME, state.step if state else 0)
    if found.folder is None or state is None:
        return
    checkpoints.restore(found.folder, ModelAndOptimizer(training.loaded.model, training.optimizers), world)
    training.done = training.saved = state.step
    training.seconds, training.useful_tokens = state.seconds, state.useful_tokens
    training.held_out = state.held_out or HeldOutProgress()
    training.loss_meter.epoch = state.epoch
    training.loss_meter.epoch_loss = list(state.epoch_loss)
    training.loss_meter.epoch_tokens = list(state.epoch_tokens)


def take_step(training: Training, step: Step) -> None:
    """Run one optimizer step: forward and backward over its micro-batches (gradient accumulation), clip, update."""
    job, world, model = training.job, training.world, training.loaded.model
    recipe = job.plan.recipe
    started = time.perf_counter()
    lengths, supervised = training.lengths[step.rows].tolist(), training.supervised[step.rows].tolist()
    assignment = assign_packs(step.rows.tolist(), lengths, job.settings.pack_length, world.size)
    normalizer = loss_normalizer(supervised, recipe.schedule.norm, len(recipe.sources))
    rate = learning_rate(recipe.schedule, step.number, job.plan.steps)
    training.loss_meter.begin_step()
    for index, packs in enumerate(assignment.micro_batches):
        batch = build_batch(job.rows, packs[world.rank], normalizer, world.device)
        training.window.data_seconds += time.perf_counter() - started
        # For dropout, of adapters or of the base: a resumed training draws what it would have drawn.
        torch.manual_seed(_combine_seeds(recipe.seed, step.number, index * world.size + world.rank))
        losses = model(batch)
        (losses * batch.loss_weights).sum().backward()
        training.loss_meter.add(batch, losses)
        started = time.perf_counter()
    norm = clip_gradients(model, recipe.schedule.clip, world)
    training.optimizers.step(rate)
    training.done = step.number + 1
    info = StepInfo(
        step=training.done,
        epoch=step.epoch,
        learning_rate=rate,
        rows=len(step.rows),
        tokens=assignment.counts.tokens,
        counts=_by_source(job.rows.sources[step.rows], training.supervised[step.rows], len(recipe.sources)),
    )
    training.loss_meter.end_step(info, norm)
    training.window.add(assignment.counts, lengths, sum(info.counts))


def _combine_seeds(*numbers: int) -> int:
    """Return one seed that depends on all `numbers`."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)


def _by_source(sources: IntArray, supervised: IntArray, count: int) -> tuple[int, ...]:
    """Return the supervised tokens of each of `count` sources."""
    sums = np.bincount(sources, weights=supervised, minlength=count)
    return tuple(int(each) for each in sums)


def _log(training: Training, *, evaluates: bool = False) -> None:
    """Read the losses of the steps since the last log line, write them down and call the observer; a collective.

    With `evaluates`, held-out rows are evaluated after the last of them.
    """
    reports = training.loss_meter.read()
    if not reports:
        return
    peak = None if training.peak is None else training.peak * training.world.size
    throughput = training.window.throughput(training.flops, peak)
    training.seconds += throughput.seconds
    training.useful_tokens += throughput.packs.tokens
    for each in reports:
        if not abs(each.loss) < float("inf") or not abs(each.gradient_norm) < float("inf"):
            raise ModelError(
                f"the loss of step {each.step} is {each.loss}, the norm of its gradient {each.gradient_norm}",
                where=training.job.plan.recipe.name,
                hint="lower the learning rate; the checkpoints before it are kept",
            )
    if evaluates and (held_out := _evaluate(training)) is not None:
        reports[-1] = replace(reports[-1], held_out=held_out)
    if training.world.is_rank_zero:
        steplog.append(training.job.folder / steplog.NAME, reports, throughput)
        training.observer.logged(reports, throughput)
    if evaluates and training.job.settings.samples:
        samples.translate(training.job, training.loaded.model, training.done, training.world, training.observer)
    training.window = LogWindow()


def _evaluate(training: Training) -> HeldOutLoss | None:
    """Return the loss on the held-out rows after this step, None where there are none; a collective."""
    job, world, model = training.job, training.world, training.loaded.model
    if job.held_out is None:
        return None
    found = held_out_loss(job, model, job.held_out, world)
    training.held_out = training.held_out.after(evaluated_checkpoint(training.done, found))
    return found


def _checkpoint(training: Training) -> None:
    """Write a checkpoint, unless this step has one; a collective."""
    _log(training)
    if training.done == training.saved:
        return
    meter = training.loss_meter
    state = TrainingState(
        plan=training.job.plan.id,
        step=training.done,
        epoch=meter.epoch,
        epoch_loss=tuple(meter.epoch_loss),
        epoch_tokens=tuple(meter.epoch_tokens),
        seconds=training.seconds,
        useful_tokens=training.useful_tokens,
        held_out=training.held_out if training.job.held_out is not None else None,
    )
    trained = ModelAndOptimizer(training.loaded.model, training.optimizers)
    training.job.guard()
    folder = checkpoints.save(training.job.folder, trained, state, training.job.settings.keep, training.world)
    training.saved = training.done
    training.observer.saved("checkpoint", folder)
    training.window = LogWindow()


def _export(training: Training) -> TuneRecord:
    """Write the model or adapter on rank 0; a collective."""
    training.job.guard()
    job, world = training.job, training.world
    trained = ModelAndOptimizer(training.loaded.model, training.optimizers)
    exported = load_exported(job, trained, training.held_out, world)
    if exported is not None:
        is_whole = job.last_step == job.plan.steps
        training.observer.note(describe_export(exported, training.held_out, is_whole=is_whole))
    result = TrainingResult(
        steps=training.done,
        loss=training.loss_meter.epoch_means(),
        useful_tokens_per_second=training.useful_tokens / max(training.seconds, 1e-9),
        world_size=world.size,
        dtype=_dtype_name(world.dtype),
        exported=exported,
    )
    record = make_record(job, result)
    weights = gather_state_dict(training.loaded.model)
    if world.is_rank_zero:
        if training.loaded.adapter is None:
            training.observer.saved("model", write_model(job, training.loaded, weights, record))
        else:
            training.observer.saved("adapter", write_adapter(job, training.loaded, weights, record))
            if job.settings.merge:
                training.observer.saved("model", write_merged(job, record))
    world.barrier()
    return record
