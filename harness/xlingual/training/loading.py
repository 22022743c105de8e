"""The base model, ready for training: weights, packed attention, adapters; exact architectures only.

Two gates refuse a model: its configuration (`refuse_unknown`), then the loss of a short pack, which must be the one of
transformers' own forward pass (`matches_reference`).
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
from torch import nn
from torch.distributed.fsdp import FSDPModule

from ..decoder.architecture import length_dependent_ropes, structure_problems
from ..decoder.loading import loading_errors, quiet_loading
from ..errors import EnvironmentFault, ModelError
from ..tune.records import Method, Tuning
from .attention import NAME, pack_documents, register
from .batches import Batch
from .loss import ModelWithLoss
from .settings import TrainingJob

if TYPE_CHECKING:
    from peft import PeftModel

ALL_LINEAR = "all-linear"
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
    from transformers import AutoConfig, AutoModelForCausalLM  # noqa: PLC0415 - slow to import

    where = job.plan.base.name
    with loading_errors(where), quiet_loading():
        config = AutoConfig.from_pretrained(job.weights, local_files_only=True)
        refuse_unknown(config, job.plan.recipe.length, where)
        lm = AutoModelForCausalLM.from_pretrained(
            job.weights, config=config, dtype="auto", attn_implementation="eager", local_files_only=True
        )
    highest = int(job.rows.tokens.max()) if len(job.rows.tokens) else 0
    if highest >= lm.get_input_embeddings().weight.shape[0]:
        raise ModelError(f"token {highest} has no embedding: the tokenizer is of another model", where=where)
    dtype = lm.dtype
    register()
    lm.set_attn_implementation(NAME)
    adapter = None
    if job.plan.recipe.method.kind is not Tuning.FULL:
        adapter = add_adapter(lm, job.plan.recipe.method, where)
        lm = adapter.get_base_model()
    return TrainingModel(model=ModelWithLoss(lm).train(), adapter=adapter, dtype=dtype)


def refuse_unknown(config: object, length: int, where: str) -> None:
    """Raise ModelError for a configuration that packed training on rows of `length` tokens does not compute exactly."""
    problem = next(_problems(config, length), None)
    if problem is not None:
        raise ModelError(f"this architecture cannot be tuned here: it has {problem}", where=where)


def _problems(config: object, length: int) -> Iterator[str]:
    yield from structure_problems(config)
    if getattr(config, "attention_dropout", 0.0):
        yield "dropout of attention"
    for name in ("num_local_experts", "num_experts", "n_routed_experts"):
        if getattr(config, name, None):
            yield f"experts with a loss of their own ({name})"
    if getattr(config, "quantization_config", None):
        yield "quantized weights"
    known = getattr(config, "max_position_embeddings", None)
    if isinstance(known, int) and length > known:
        yield f"{known} positions, and the recipe's length is {length}"
    for rope in length_dependent_ropes(config):
        if rope.original is not None and length > rope.original:
            yield f"rotary embeddings ({rope.kind}) that depend on the longest text beyond {rope.original} tokens"


def add_adapter(lm: nn.Module, method: Method, where: str) -> "PeftModel":
    """Add a trainable adapter to `lm` and freeze the rest; ModelError for target modules that it does not have."""
    try:
        from peft import LoraConfig, get_peft_model  # noqa: PLC0415 - slow to import
    except ImportError as error:
        hint = "pip install 'xlingual[tune]'"
        raise EnvironmentFault("peft is not installed", where=method.kind.value, hint=hint) from error
    head = cast(nn.Module, lm.get_output_embeddings())  # type: ignore[operator]  # of transformers
    names = {name for name, each in lm.named_modules() if isinstance(each, nn.Linear) and each is not head}
    known = {name.rpartition(".")[2] for name in names}
    wanted = method.targets
    if unknown := [each for each in wanted if each != ALL_LINEAR and each not in known]:
        hint = f"choose of {', '.join(sorted(known))}, or {ALL_LINEAR}"
        raise ModelError(f"no linear layer is named {unknown[0]!r}", where=f"{where}: method.targets", hint=hint)
    config = LoraConfig(
        r=method.rank,
        lora_alpha=method.alpha,
        lora_dropout=method.dropout,
        target_modules=ALL_LINEAR if ALL_LINEAR in wanted else list(wanted),
        use_dora=method.kind is Tuning.DORA,
        task_type="CAUSAL_LM",
    )
    with quiet_peft():
        adapted = get_peft_model(lm, config, autocast_adapter_dtype=True)
    return cast("PeftModel", adapted)


@contextmanager
def quiet_peft() -> Iterator[None]:
    """Silence the FutureWarnings of transformers about names that peft still uses."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def matches_reference(model: ModelWithLoss, device: torch.device, dtype: torch.dtype) -> bool:
    """Return whether a pack of short documents has the losses of transformers' forward pass on each document alone.

    This finds what a configuration does not tell: scaled logits, another kind of attention, auxiliary losses.
    """
    vocabulary = model.language_model.config.vocab_size
    lengths = [*PROBE_LENGTHS]
    ids = torch.tensor([(11 + 7 * index) % vocabulary for index in range(sum(lengths))], device=device)
    positions = torch.cat([torch.arange(length, device=device) for length in lengths])
    predictors = (positions[1:] > 0).nonzero()[:, 0]
    batch = Batch(
        input_ids=ids[None],
        position_ids=positions[None],
        documents=pack_documents(lengths, device),
        predictors=predictors,
        labels=ids[predictors + 1],
        loss_weights=torch.ones(len(predictors), device=device),
        source_ids=torch.zeros_like(predictors),
    )
    was_training = model.training
    model.eval()
    with torch.no_grad():
        ours = model(batch)
        model.language_model.set_attn_implementation("eager")
        reference = model(batch, by_document=True)
        model.language_model.set_attn_implementation(NAME)
    if isinstance(model, FSDPModule):
        model.reshard()  # else the weights outside the layers would stay unsharded until the first backward pass
    model.train(was_training)
    return bool((ours - reference).abs().max() <= TOLERANCE[dtype] * max(1.0, float(reference.abs().max())))
