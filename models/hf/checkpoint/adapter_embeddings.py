"""Embeddings of a base that an adapter changes: with tokens added, or with weights that its head shares.

A LoRA that was trained with two new tokens holds both embeddings whole, 322 rows where the base has 320: the base is
resized to them first, as peft wants it. In a model with tied embeddings, a LoRA on the head changes the head alone: it
gets weights of its own first, for a merge would change the embeddings with it. All of it can be undone.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from xlingual.decoder.architecture import text_config

if TYPE_CHECKING:
    import torch

EMBEDDINGS = {"embed_tokens", "wte", "word_embeddings", "embed_in", "lm_head", "embed_out"}
"""Names of embeddings and heads in the architectures that peft knows."""
SIZES = ("num_embeddings", "out_features")
"""Fields of their modules that hold the rows."""


class Resizable(Protocol):
    """What is used of a model whose embeddings are resized."""

    def get_input_embeddings(self) -> "torch.nn.Module":
        """Return the embeddings."""
        ...

    def get_output_embeddings(self) -> "torch.nn.Module | None":
        """Return the head."""
        ...

    def resize_token_embeddings(self, new_num_tokens: int, *, mean_resizing: bool) -> object:
        """Give embeddings and head so many rows."""
        ...


@dataclass(frozen=True, slots=True)
class EmbeddingChange:
    """What an adapter's file holds of embedding and head."""

    touched: bool
    """Whether it holds anything of them."""
    rows: int | None
    """Of those that it holds whole."""


def embedding_change(weights: Path) -> EmbeddingChange:
    """Return what an adapter's file holds of embedding and head."""
    from safetensors import safe_open  # noqa: PLC0415 - imports torch

    with safe_open(str(weights), framework="pt") as file:
        names = [name for name in file.keys() if set(name.split(".")) & EMBEDDINGS]  # noqa: SIM118 - no dict
        whole = [name for name in names if name.endswith(".weight") and "lora" not in name]
        shapes = [file.get_slice(name).get_shape() for name in whole]
    return EmbeddingChange(bool(names), max((shape[0] for shape in shapes if len(shape) > 1), default=None))


def prepare_embeddings(model: object, change: EmbeddingChange) -> Iterator[Callable[[], None]]:
    """Make embedding and head such that the adapter's fit, and yield what undoes each step."""
    import torch  # noqa: PLC0415 - heavy

    if not change.touched:
        return
    rows = change.rows
    resizable = cast(Resizable, model)
    # peft notes in the configuration that they are no longer tied.
    yield from _kept_config(getattr(model, "config"))  # noqa: B009 - not in the protocol
    embeddings, head = resizable.get_input_embeddings(), resizable.get_output_embeddings()
    modules = [each for each in (embeddings, head) if each is not None]
    if rows is not None:
        # The file of the adapter may overwrite them.
        for module in dict.fromkeys(modules):
            yield from _kept(module)
        if rows != cast("torch.Tensor", embeddings.weight).shape[0]:
            resizable.resize_token_embeddings(rows, mean_resizing=False)
    if head is not None and head.weight is embeddings.weight:
        shared = head.weight
        yield lambda: setattr(head, "weight", shared)
        head.weight = torch.nn.Parameter(cast("torch.Tensor", shared).detach().clone(), requires_grad=False)


def _kept(module: "torch.nn.Module") -> Iterator[Callable[[], None]]:
    """Copy the weights of a module, and yield what restores them, and its size."""
    for _, parameter in module.named_parameters(recurse=False):
        yield _restore_data(parameter, parameter.data, parameter.detach().clone())
    for name in SIZES:
        if hasattr(module, name):
            yield _restore_field(module, name, getattr(module, name))


def _restore_data(parameter: "torch.Tensor", data: "torch.Tensor", copy: "torch.Tensor") -> Callable[[], None]:
    def step() -> None:
        parameter.data = data.copy_(copy)

    return step


def _restore_field(module: object, name: str, value: object) -> Callable[[], None]:
    return lambda: setattr(module, name, value)


def _kept_config(config: object) -> Iterator[Callable[[], None]]:
    for each in {id(each): each for each in (config, text_config(config))}.values():
        for name in ("vocab_size", "tie_word_embeddings"):
            if hasattr(each, name):
                yield _restore_field(each, name, getattr(each, name))
