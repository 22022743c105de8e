"""QLoRA: an adapter over a base whose linear layers are kept in 4 bits by bitsandbytes, through transformers.

The base is quantized when it is loaded, from its own files. It is frozen; adapters are float32, as over any base. FSDP
does not shard 4-bit weights, so one process trains. What is exported is the adapter; `--merge` adds it to the weights
of the base's files, not to the 4-bit ones.
"""

from importlib.util import find_spec

import torch
from torch import nn

from ..errors import DataError, EnvironmentFault
from ..tune.recipe_records import Method, Recipe
from .optimizers import EXTRA, import_bitsandbytes
from .parallel import World

WHERE = "method.quantize"
REPACKS = "support_avx512bf16_for_cpu"
"""Field of a 4-bit layer of bitsandbytes."""


def refuse_quantization(recipe: Recipe, world: World) -> None:
    """Raise EnvironmentFault or DataError where this machine cannot train over a base that is quantized."""
    if recipe.method.quantize is None:
        return
    import_bitsandbytes(WHERE)
    if find_spec("accelerate") is None:
        raise EnvironmentFault("accelerate is not installed, which loads 4-bit weights", where=WHERE, hint=EXTRA)
    if world.size > 1:
        what = f"4-bit weights are not sharded, and these are {world.size} processes"
        raise DataError(what, where=WHERE, hint="train with one process, or leave quantize out")


def quantization_options(method: Method, dtype: torch.dtype) -> dict[str, object]:
    """Return what transformers' `from_pretrained` takes for a method; matrix products are computed in `dtype`."""
    if method.quantize is None:
        return {}
    from transformers import BitsAndBytesConfig  # noqa: PLC0415 - slow to import

    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=method.quantize.value,
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
    return {"quantization_config": config}


def is_quantized(model: nn.Module) -> bool:
    """Return whether weights of a model are kept in 4 bits."""
    return any(type(each).__name__ == "Params4bit" for each in model.parameters())


def prepare_quantized(lm: nn.Module) -> None:
    """Take from a quantized model what is for generation: accelerate's hooks, and layers that repack their weights.

    On some CPUs a layer of bitsandbytes that is not in training mode rounds the scales of its weights to bfloat16.
    """
    if not is_quantized(lm):
        return
    from accelerate.hooks import remove_hook_from_module  # noqa: PLC0415 - of the extra

    remove_hook_from_module(lm, recurse=True)
    for module in lm.modules():
        if hasattr(module, REPACKS):
            setattr(module, REPACKS, False)
