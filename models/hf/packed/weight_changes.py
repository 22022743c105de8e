"""Changes to the weights of a loaded model that can be undone, to the last bit, until they are kept.

Fusing lays a model's weights out anew, for a forward pass that may turn out not to compute what the model does. Then
the model is to be as it was: the same modules, and weights in which no bit differs.

The weights are never in memory twice. Old ones that lie in a mapped file stay mapped without their pages, which takes
no memory. All others are freed at once, and rebuilt from the new layout if the change is undone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from .memory import is_mapped, mapped_safetensors, release_mapped_pages, return_freed_memory

if TYPE_CHECKING:
    import torch
    from torch import nn


@dataclass(slots=True, eq=False)
class WeightChanges:
    """What was changed in one model, and how it is undone."""

    files: Sequence[range] = field(default_factory=mapped_safetensors)
    """Addresses of the weight files that are mapped into memory."""
    steps: list[Callable[[], None]] = field(default_factory=list)
    """What undoes each change."""

    def replace_weight(
        self, parameter: "nn.Parameter", new: "torch.Tensor", rebuild: "Callable[[], torch.Tensor] | None"
    ) -> None:
        """Let `parameter` hold `new`, and free the old weight.

        `rebuild` returns the old weight, bit by bit, from its new layout. Where there is no such thing, or memory would
        not be saved, the old weight is kept aside instead.
        """
        old = parameter.data
        if rebuild is None or is_mapped(old, self.files) or not old.is_contiguous():
            release_mapped_pages(old, self.files)
            self.steps.append(partial(_set_weight, parameter, old))
        else:
            self.steps.append(partial(_rebuild_weight, parameter, rebuild))
        parameter.data = new

    def replace_module(self, parent: "nn.Module", name: str, new: "nn.Module") -> None:
        """Let `parent` call `new` as its module `name`."""
        self.steps.append(partial(setattr, parent, name, getattr(parent, name)))
        setattr(parent, name, new)

    def keep(self) -> None:
        """Keep the changes; what was kept aside to undo them is freed."""
        self.steps.clear()

    def undo(self) -> None:
        """Undo all changes that were not kept, the last one first.

        The last step that rebuilds from a new layout frees it: by then nobody else should hold it.
        """
        if self.steps:
            while self.steps:
                self.steps.pop()()
            return_freed_memory()


def _set_weight(parameter: "nn.Parameter", weight: "torch.Tensor") -> None:
    parameter.data = weight


def _rebuild_weight(parameter: "nn.Parameter", rebuild: "Callable[[], torch.Tensor]") -> None:
    parameter.data = rebuild()
