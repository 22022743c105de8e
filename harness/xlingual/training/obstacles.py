"""Why a base cannot be tuned, as far as its configuration tells: `tune plan` says it before a row is encoded.

    {"num_local_experts": 8}             experts with a loss of their own (num_local_experts)
    {"model_type": "bert"}               attention to later tokens (is_decoder is not set)
    targets = ["q_proj"], of GPT-2       no linear layer is named 'q_proj'

The model is built without memory, on torch's meta device, so that its layers can be looked at.
"""

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import nn

from ..decoder.architecture import length_dependent_ropes, text_config
from ..decoder.loading import auto_class, loading_errors, quiet_loading
from ..errors import ModelError
from ..tune.recipe_records import Recipe, Tuning
from .adapters import adapter_targets, add_adapter, refuse_rank
from .structure import decoder_of, head_of, layers_of

EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts", "moe_num_experts", "num_moe_experts")
"""Fields that hold the number of experts."""

LATER_TOKENS = "attention to later tokens"
ODD_KINDS = {
    "blt": "tokens that are grouped to patches by another model",
    "cpmant": "a prompt of its own before every text",
    "hrm_text": "attention that takes the whole prompt at once",
    "reformer": "attention that is grouped by hashes, of texts of some lengths only",
    "xlm": LATER_TOKENS,
    "xlnet": LATER_TOKENS,
}
"""Kinds (`model_type`) of models whose forward pass on several documents is not that on each, and what is odd."""


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
        refuse_rank(lm, recipe.method, where)
        if find_spec("peft") is not None:
            add_adapter(lm, recipe.method, where)


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
    if hasattr(text, "add_cross_attention") and getattr(text, "is_decoder", None) is False:
        yield f"{LATER_TOKENS} (is_decoder is not set)"
    if (odd := ODD_KINDS.get(str(getattr(text, "model_type", "")))) is not None:
        yield odd
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
