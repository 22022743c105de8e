"""Why a base cannot be tuned, as far as its configuration tells: `tune plan` says it before a row is encoded.

    {"num_local_experts": 8}             experts with a loss of their own (num_local_experts)
    {"model_type": "bert"}               attention to later tokens (is_decoder is not set)
    targets = ["q_proj"], of GPT-2       no linear layer is named 'q_proj'

The model is built without memory, on torch's meta device, so that its layers can be looked at.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import nn

from ..decoder.architecture import length_dependent_ropes, text_config
from ..decoder.loading import auto_class, loading_errors, quiet_loading
from ..errors import ModelError
from ..tune.records import Method, Recipe, Tuning
from .structure import decoder_of, head_of, layers_of

ALL_LINEAR = "all-linear"
EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts", "num_moe_experts")
"""Fields that hold the number of experts."""


def refuse_base(folder: Path, recipe: Recipe, where: str) -> None:
    """Raise ModelError where the configuration in `folder` tells that the base cannot be tuned by `recipe`."""
    from transformers import AutoConfig  # noqa: PLC0415 - slow to import

    with loading_errors(where), quiet_loading():
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        refuse_unknown(config, recipe.length, where)
        with torch.device("meta"):
            lm = auto_class(config).from_config(config)
    refuse_structure(lm, where)
    if recipe.method.kind is not Tuning.FULL:
        adapter_targets(lm, recipe.method, where)


def refuse_unknown(config: object, length: int, where: str) -> None:
    """Raise ModelError for a configuration that training on rows of `length` tokens does not compute exactly."""
    problem = next(_problems(config, length), None)
    if problem is not None:
        raise ModelError(f"this architecture cannot be tuned here: it has {problem}", where=where)


def _problems(config: object, length: int) -> Iterator[str]:
    if getattr(config, "is_encoder_decoder", False):
        yield "an encoder"
    if getattr(config, "quantization_config", None):
        yield "quantized weights"
    text = text_config(config)
    if getattr(text, "is_decoder", True) is False:
        yield "attention to later tokens (is_decoder is not set)"
    if getattr(text, "layerdrop", None):
        yield "layers that are left out at random (layerdrop), which ranks would not do alike"
    for name in EXPERTS:
        if _is_many(getattr(text, name, None)):
            yield f"experts with a loss of their own ({name})"
    known = getattr(text, "max_position_embeddings", None)
    if isinstance(known, int) and length > known:
        yield f"{known} positions, and the recipe's length is {length}"
    for rope in length_dependent_ropes(text):
        if rope.original is not None and length > rope.original:
            yield f"rotary embeddings ({rope.kind}) that depend on the longest text beyond {rope.original} tokens"


def _is_many(value: object) -> bool:
    """Return whether a field names experts: a number above 1, or a list of such numbers, one for each layer."""
    if isinstance(value, Sequence):
        return any(_is_many(each) for each in value)
    return isinstance(value, int) and value > 1


def refuse_structure(lm: nn.Module, where: str) -> None:
    """Raise ModelError for a model without the parts that training needs to know."""
    problem = None
    if head_of(lm) is None:
        problem = "no head that maps hidden states to a vocabulary"
    elif decoder_of(lm) is lm:
        problem = "no decoder apart from its head"
    elif not layers_of(lm):
        problem = "no list of layers"
    if problem is not None:
        raise ModelError(f"this architecture cannot be tuned here: it has {problem}", where=where)


def adapter_targets(lm: nn.Module, method: Method, where: str) -> str | list[str]:
    """Return the modules that get an adapter, as peft takes them; ModelError for one that the model does not have.

    In a multimodal model they are named in full, for its other parts may have layers of the same names.
    """
    head, decoder = head_of(lm), decoder_of(lm)
    below = {id(each) for each in decoder.modules()} | {id(head)}
    names = {name: each for name, each in lm.named_modules() if _is_linear(each) and id(each) in below}
    known = {name.rpartition(".")[2] for name in names}
    for wanted in method.targets:
        if wanted != ALL_LINEAR and wanted not in known:
            hint = f"choose of {', '.join(sorted(known))}, or {ALL_LINEAR}"
            raise ModelError(f"no linear layer is named {wanted!r}", where=f"{where}: method.targets", hint=hint)
    if text_config(lm.config) is lm.config:
        return ALL_LINEAR if ALL_LINEAR in method.targets else list(method.targets)
    if ALL_LINEAR in method.targets:
        return [name for name, each in names.items() if each is not head]
    return [name for name in names if name.rpartition(".")[2] in method.targets]


def _is_linear(module: nn.Module) -> bool:
    """Return whether a module is a linear layer, also as GPT-2 writes it."""
    return isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"


def has_adapter_on_head(lm: nn.Module, method: Method) -> bool:
    """Return whether the adapter of a method changes the head, which `all-linear` leaves out."""
    head = head_of(lm)
    return any(each is head and name.rpartition(".")[2] in method.targets for name, each in lm.named_modules())
