"""The loss on held-out rows, teacher-forced, and the checkpoint that it chooses for the export.

Rows are packed as in training and computed by the same forward pass, without dropout and without gradients; losses are
float32, their sums float64. Nothing here draws a random number or changes a weight: a training that is evaluated learns
what it would learn without, to the bit.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.distributed.fsdp import FSDPModule

from ..errors import DataError, ModelError
from ..tune.hold_out.records import EvaluatedCheckpoint, ExportedCheckpoint, HeldOutProgress
from ..tune.packing import assign_packs
from ..tune.records import EncodedRows
from . import checkpoints
from .batches import build_batch, loss_normalizer
from .checkpoints import ModelAndOptimizer
from .loss import ModelWithLoss
from .loss_meter import losses_by_name
from .observing import HeldOutLoss
from .parallel import World
from .settings import TrainingJob


def held_out_loss(job: TrainingJob, model: ModelWithLoss, rows: EncodedRows, world: World) -> HeldOutLoss:
    """Return the loss on `rows`, over all ranks; a collective. ModelError where it is not finite."""
    uses = job.plan.recipe.sources
    lengths, norm = rows.lengths.tolist(), job.plan.recipe.schedule.norm
    packs = assign_packs(range(len(rows)), lengths, job.settings.pack_length, world.size)
    normalizer = loss_normalizer(rows.supervised.tolist(), norm, len(uses))
    sums = torch.zeros(len(uses) + 1, dtype=torch.float64, device=world.device)
    with evaluating(model):
        for each in packs.micro_batches:
            batch = build_batch(rows, each[world.rank], normalizer, world.device)
            sums.index_add_(0, batch.source_ids, model(batch).double())
    totals = world.all_reduce_sum(sums).tolist()[:-1]
    counts = [int(rows.supervised[rows.sources == place].sum()) for place in range(len(uses))]
    found = HeldOutLoss(
        loss=sum(totals) / max(sum(counts), 1),
        supervised=sum(counts),
        by_source=losses_by_name([use.name for use in uses], totals, counts),
        by_language=losses_by_name([use.language for use in uses], totals, counts),
    )
    if not abs(found.loss) < float("inf"):
        what = f"the loss on held-out rows is {found.loss}"
        hint = "lower the learning rate; the checkpoints before it are kept"
        raise ModelError(what, where=job.plan.recipe.name, hint=hint)
    return found


@contextmanager
def evaluating(model: ModelWithLoss) -> Iterator[None]:
    """Run the model without dropout and gradients, and leave it as it was."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        if isinstance(model, FSDPModule):
            model.reshard()  # weights outside the layers stay unsharded after a forward pass
        model.train(was_training)


def evaluated_checkpoint(step: int, found: HeldOutLoss) -> EvaluatedCheckpoint:
    """Return what a checkpoint keeps of the evaluation of its step."""
    return EvaluatedCheckpoint(
        step=step,
        loss=found.loss,
        by_source={name: each.loss for name, each in found.by_source.items()},
        by_language={name: each.loss for name, each in found.by_language.items()},
    )


def load_exported(
    job: TrainingJob, trained: ModelAndOptimizer, progress: HeldOutProgress, world: World
) -> ExportedCheckpoint | None:
    """Load the weights that are exported into the model, unless it has them; a collective.

    Returns which checkpoint they are of; None where no rows are held out. Raises DataError where it is gone.
    """
    chosen = job.plan.recipe.exported_weights
    checkpoint = progress.exported(chosen)
    if checkpoint is None:
        return None
    if progress.latest is not None and checkpoint.step != progress.latest.step:
        folder = checkpoints.checkpoint_folder(job.folder, checkpoint.step)
        problem = world.broadcast(checkpoints.problem_of(folder) if world.is_rank_zero else None)
        if problem is not None:
            raise DataError(f"is the best checkpoint, and {problem}", where=str(folder), hint="--fresh trains anew")
        checkpoints.restore(folder, trained, world)
    return ExportedCheckpoint(chosen=chosen, checkpoint=checkpoint)


def describe_export(exported: ExportedCheckpoint, progress: HeldOutProgress, *, is_whole: bool = True) -> str:
    """Return a line on the step that the exported model is of; steps are still to come where it is not `is_whole`."""
    found, best, latest = exported.checkpoint, progress.best, progress.latest
    so_far = "" if is_whole else " so far"
    line = f"the exported model is that of step {found.step:,}: held-out loss {found.loss:.4f}"
    if latest is not None and latest.step != found.step:
        line += f", the lowest{so_far}; the last step{so_far}, {latest.step:,}, has {latest.loss:.4f}"
    if best is not None and best.step != found.step:
        line += f'; the lowest was {best.loss:.4f} at step {best.step:,}, and the recipe says export = "last"'
    return line
