"""Adapters: which layers of a base get one, and peft's view of them."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

from torch import nn

from ..decoder.architecture import text_config
from ..decoder.loading import MAX_REASON
from ..errors import EnvironmentFault, ModelError
from ..tune.recipe_records import Method, Tuning
from .structure import decoder_of, head_of

if TYPE_CHECKING:
    from peft import PeftModel

ALL_LINEAR = "all-linear"


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
    try:
        with quiet_peft():
            adapted = get_peft_model(lm, config, autocast_adapter_dtype=True)
    except (ValueError, TypeError, NotImplementedError) as error:
        reason = " ".join(str(error).split())[:MAX_REASON]
        raise ModelError(f"peft refuses the adapter: {reason}", where=f"{where}: method.targets") from error
    return cast("PeftModel", adapted)


@contextmanager
def quiet_peft() -> Iterator[None]:
    """Silence FutureWarnings of transformers about names that peft still uses, and what peft says of its choices."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        warnings.filterwarnings("ignore", "Model (with|has) `tie_word_embeddings=True`")
        warnings.filterwarnings("ignore", "fan_in_fan_out is set to False")
        yield


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


def refuse_rank(lm: nn.Module, method: Method, where: str) -> None:
    """Raise ModelError for a rank above that of the weights of every linear layer: it adds memory, and nothing else."""
    weights = [each.weight for each in lm.modules() if _is_linear(each)]
    sizes = [min(each.shape) for each in weights if isinstance(each, nn.Parameter) and each.dim() == 2]
    if sizes and method.rank > max(sizes):
        what = f"the rank {method.rank:,} is above that of the weights of every linear layer"
        raise ModelError(what, where=f"{where}: method.rank", hint=f"at most {max(sizes):,}; 8 to 64 are usual")


def _is_linear(module: nn.Module) -> bool:
    """Return whether a module is a linear layer, also as GPT-2 writes it."""
    return isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"


def has_adapter_on_head(lm: nn.Module, method: Method) -> bool:
    """Return whether the adapter of a method changes the head, which `all-linear` leaves out."""
    head = head_of(lm)
    return any(each is head and name.rpartition(".")[2] in method.targets for name, each in lm.named_modules())


def refuse_adapter_on_tied_head(lm: nn.Module, method: Method, where: str) -> None:
    """Raise ModelError where embeddings that are trained are the weights of a head with an adapter of its own."""
    if is_tied_head(lm) and has_adapter_on_head(lm, method):
        what = "an adapter on a head whose embeddings are trained, too, has no place in peft's layout"
        raise ModelError(what, where=f"{where}: method.targets", hint="leave the head out of targets")


def is_tied_head(lm: nn.Module) -> bool:
    """Return whether the head, be there an adapter around it or not, shares the weights of the embeddings."""
    head = head_of(lm)
    embeddings = cast(nn.Module, lm.get_input_embeddings())  # type: ignore[operator]  # of transformers
    return getattr(getattr(head, "base_layer", head), "weight", None) is embeddings.weight
