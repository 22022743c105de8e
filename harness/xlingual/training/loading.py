"""The base model, ready for training: weights, adapters, the way of its forward pass; exact architectures only.

Two gates refuse a model: its configuration (`obstacles`), then the loss of a few short documents, which must be the one
of transformers' own forward pass (`choose_forward`): as a packed sequence, else as a padded batch.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import torch
from torch.distributed.fsdp import FSDPModule

from ..decoder.architecture import structure_problems
from ..decoder.loading import auto_class, is_out_of_memory, loading_errors, quiet_loading
from ..errors import ModelError
from ..tune.recipe_records import Tuning
from .adapters import add_adapter, refuse_adapter_on_tied_head
from .attention import NAME, pack_documents, register
from .batches import Batch
from .loss import ModelWithLoss
from .obstacles import refuse_structure, refuse_unknown
from .parallel import World
from .quantization import prepare_quantized, quantization_options
from .settings import TrainingJob
from .structure import decoder_config, freeze_other_parts, unfreeze_embeddings

if TYPE_CHECKING:
    from peft import PeftModel

TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.05}
"""Nats, and a share of the largest loss: how far the loss of a token may be from transformers' own."""
PROBE_LENGTHS = (19, 8, 13)
"""Tokens of the documents that are compared."""

LAYER_ERRORS = (ArithmeticError, AssertionError, AttributeError, LookupError, ModelError, RuntimeError, TypeError,
                ValueError)  # fmt: skip
"""What the layers of a model raise that does not take a packed sequence or a mask."""


@dataclass(frozen=True, slots=True, eq=False)
class TrainingModel:
    """A model in training mode, not sharded yet."""

    model: ModelWithLoss
    adapter: "PeftModel | None"
    """peft's view of the same modules; None in full tuning."""
    dtype: torch.dtype
    """Of the base model's files, and of the exported model."""


def load(job: TrainingJob, dtype: torch.dtype = torch.float32) -> TrainingModel:
    """Load the base of a job into CPU memory; ModelError for an architecture that cannot be trained exactly.

    A base that the recipe quantizes goes to the device at once, and computes its matrix products in `dtype`.
    """
    from transformers import AutoConfig  # noqa: PLC0415 - slow to import

    where = job.plan.base.name
    with loading_errors(where), quiet_loading():
        config = AutoConfig.from_pretrained(job.weights, local_files_only=True)
        refuse_unknown(config, job.plan.recipe.length, where)
        lm = auto_class(config).from_pretrained(
            job.weights,
            config=config,
            dtype="auto",
            attn_implementation="eager",
            local_files_only=True,
            **quantization_options(job.plan.recipe.method, dtype),
        )
        prepare_quantized(lm)
    encoded = [each.tokens for each in (job.rows, job.held_out) if each is not None and len(each.tokens)]
    highest = max((int(each.max()) for each in encoded), default=0)
    if highest >= lm.get_input_embeddings().weight.shape[0]:
        raise ModelError(f"token {highest} has no embedding: the tokenizer is of another model", where=where)
    dtype = lm.dtype
    refuse_structure(lm, where)
    freeze_other_parts(lm)
    register()
    adapter = None
    if job.plan.recipe.method.kind is not Tuning.FULL:
        adapter = add_adapter(lm, job.plan.recipe.method, where)
        lm = adapter.get_base_model()
        if job.plan.recipe.vocabulary is not None:
            refuse_adapter_on_tied_head(lm, job.plan.recipe.method, where)
            unfreeze_embeddings(lm)
    return TrainingModel(model=ModelWithLoss(lm).train(), adapter=adapter, dtype=dtype)


def choose_forward(model: ModelWithLoss, world: World) -> bool:
    """Let the model compute packed sequences, or padded batches where only these are exact; a collective.

    Return whether one of both has the losses of transformers' forward pass on each document alone. A configuration does
    not tell: there are other kinds of attention, recurrent layers, positions that count through the pack.
    """
    can_pack = not any(structure_problems(decoder_config(model.lm)))
    for padded in (False, True):
        is_exact = (padded or can_pack) and matches_reference(model, world.device, world.dtype, padded=padded)
        if not world.all_reduce_max(int(not is_exact)):
            return True
    return False


def matches_reference(model: ModelWithLoss, device: torch.device, dtype: torch.dtype, *, padded: bool = False) -> bool:
    """Return whether short documents together have the losses of transformers' forward pass on each one alone."""
    batch = _probe(model.vocabulary, device)
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            model.language_model.set_attn_implementation("eager")
            reference = model(batch, by_document=True)
            is_causal = _are_equal(model(_with_another_last_token(batch), by_document=True)[:-1], reference[:-1], dtype)
            ours = _try_losses(model, batch, padded=padded)
    finally:
        if isinstance(model, FSDPModule):
            model.reshard()  # else the weights outside the layers would stay unsharded until the first backward pass
        model.train(was_training)
    return is_causal and ours is not None and _are_equal(ours, reference, dtype)


def _are_equal(losses: torch.Tensor, reference: torch.Tensor, dtype: torch.dtype) -> bool:
    return bool((losses - reference).abs().max() <= TOLERANCE[dtype] * max(1.0, float(reference.abs().max())))


def _with_another_last_token(batch: Batch) -> Batch:
    """Return a batch in which only the loss of the last token may differ, where no token attends to later ones."""
    ids = batch.input_ids.clone()
    ids[0, -1] = (ids[0, -1] + 1) % ids.max()
    return replace(batch, input_ids=ids)


def _try_losses(model: ModelWithLoss, batch: Batch, *, padded: bool) -> torch.Tensor | None:
    """Return the losses of a batch, None where the layers of the model raise, or call no attention function."""
    model.padded = padded
    can_set: Callable[[], bool] | None = getattr(model.lm, "_can_set_attn_implementation", None)
    if not padded and can_set is not None and not can_set():
        return None
    try:
        model.language_model.set_attn_implementation("eager" if padded else NAME)
        return cast(torch.Tensor, model(batch))
    except LAYER_ERRORS as error:
        if is_out_of_memory(error):
            raise
        return None


def _probe(vocabulary: int, device: torch.device) -> Batch:
    """Return a pack of short documents, all of whose tokens but the first are supervised."""
    lengths = [*PROBE_LENGTHS]
    ids = torch.tensor([(11 + 7 * index) % vocabulary for index in range(sum(lengths))], device=device)
    positions = torch.cat([torch.arange(length, device=device) for length in lengths])
    predictors = (positions[1:] > 0).nonzero()[:, 0]
    return Batch(
        input_ids=ids[None],
        position_ids=positions[None],
        documents=pack_documents(lengths, device),
        predictors=predictors,
        labels=ids[predictors + 1],
        loss_weights=torch.ones(len(predictors), device=device),
        source_ids=torch.zeros_like(predictors),
    )
