"""The base model, ready for training: weights, adapters, the way of its forward pass; exact architectures only.

Two gates refuse a model: its configuration (`obstacles`), then the loss of a few short documents, which must be the one
of transformers' own forward pass (`choose_forward`): as a packed sequence, else as a padded batch.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
from torch import nn
from torch.distributed.fsdp import FSDPModule

from ..decoder.architecture import structure_problems
from ..decoder.loading import auto_class, is_out_of_memory, loading_errors, quiet_loading
from ..errors import EnvironmentFault, ModelError
from ..tune.records import Method, Tuning
from .attention import NAME, pack_documents, register
from .batches import Batch
from .loss import ModelWithLoss
from .obstacles import adapter_targets, refuse_structure, refuse_unknown
from .parallel import World
from .settings import TrainingJob
from .structure import decoder_config, freeze_other_parts

if TYPE_CHECKING:
    from peft import PeftModel

TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.05}
"""Nats, and a share of the largest loss: how far the loss of a token may be from transformers' own."""
PROBE_LENGTHS = (19, 8, 13)
"""Tokens of the documents that are compared."""


@dataclass(frozen=True, slots=True, eq=False)
class TrainingModel:
    """A model in training mode, not sharded yet."""

    model: ModelWithLoss
    adapter: "PeftModel | None"
    """peft's view of the same modules; None in full tuning."""
    dtype: torch.dtype
    """Of the base model's files, and of the exported model."""


def load(job: TrainingJob) -> TrainingModel:
    """Load the base of a job into CPU memory; ModelError for an architecture that cannot be trained exactly."""
    from transformers import AutoConfig  # noqa: PLC0415 - slow to import

    where = job.plan.base.name
    with loading_errors(where), quiet_loading():
        config = AutoConfig.from_pretrained(job.weights, local_files_only=True)
        refuse_unknown(config, job.plan.recipe.length, where)
        lm = auto_class(config).from_pretrained(
            job.weights, config=config, dtype="auto", attn_implementation="eager", local_files_only=True
        )
    highest = int(job.rows.tokens.max()) if len(job.rows.tokens) else 0
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
    return TrainingModel(model=ModelWithLoss(lm).train(), adapter=adapter, dtype=dtype)


def add_adapter(lm: nn.Module, method: Method, where: str) -> "PeftModel":
    """Add a trainable adapter to `lm` and freeze the rest; ModelError for target modules that it does not have."""
    try:
        from peft import LoraConfig, get_peft_model  # noqa: PLC0415 - slow to import
    except ImportError as error:
        hint = "pip install 'xlingual[tune]'"
        raise EnvironmentFault("peft is not installed", where=method.kind.value, hint=hint) from error
    targets = adapter_targets(lm, method, where)
    config = LoraConfig(
        r=method.rank,
        lora_alpha=method.alpha,
        lora_dropout=method.dropout,
        target_modules=targets,
        use_dora=method.kind is Tuning.DORA,
        task_type="CAUSAL_LM",
    )
    with quiet_peft():
        adapted = get_peft_model(lm, config, autocast_adapter_dtype=True)
    return cast("PeftModel", adapted)


@contextmanager
def quiet_peft() -> Iterator[None]:
    """Silence FutureWarnings of transformers about names that peft still uses, and what peft says of its own choices."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.filterwarnings("ignore", "Model with `tie_word_embeddings=True`")
        warnings.filterwarnings("ignore", "fan_in_fan_out is set to False")
        yield


def choose_forward(model: ModelWithLoss, world: World) -> bool:
    """Let the model compute documents as packed sequences, or as padded batches where only these are exact; a collective.

    Return whether one of both has the losses of transformers' forward pass on each document alone. A configuration does
    not tell: there are other kinds of attention, recurrent layers, positions that count through the pack.
    """
    can_pack = not any(structure_problems(decoder_config(model.lm)))
    for padded in (False, True):
        is_exact = (padded or can_pack) and matches_reference(model, world.device, world.dtype, padded=padded)
        if not world.all_reduce_max(int(not is_exact)):
            return True
    return False


def matches_reference(
    model: ModelWithLoss, device: torch.device, dtype: torch.dtype, *, padded: bool = False
) -> bool:
    """Return whether short documents together have the losses of transformers' forward pass on each one alone."""
    batch = _probe(model.vocabulary, device)
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            model.language_model.set_attn_implementation("eager")
            reference = model(batch, by_document=True)
            ours = _try_losses(model, batch, padded=padded)
    finally:
        if isinstance(model, FSDPModule):
            model.reshard()  # else the weights outside the layers would stay unsharded until the first backward pass
        model.train(was_training)
    if ours is None:
        return False
    return bool((ours - reference).abs().max() <= TOLERANCE[dtype] * max(1.0, float(reference.abs().max())))


def _try_losses(model: ModelWithLoss, batch: Batch, *, padded: bool) -> torch.Tensor | None:
    """Return the losses of a batch, None where the layers of the model raise."""
    model.padded = padded
    try:
        model.language_model.set_attn_implementation("eager" if padded else NAME)
        return cast(torch.Tensor, model(batch))
    except Exception as error:
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
