"""The states of a layer to one vector a text: sums in float32, whatever the model computes in."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from xlingual.plugin import LogitLens, TextStates

from .logit_lens import FinalProjection, lens_positions

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class PassTokens:
    """The texts of a forward pass, whose tokens lie behind each other."""

    texts: tuple[tuple[int, ...], ...]
    lens: LogitLens | None

    def owners(self) -> "tuple[torch.Tensor, torch.Tensor]":
        """Return the tokens that count for the mean, by their index in the pass, and the text of each.

        All but the first of a text; the one token of a text that has no other.
        """
        import torch  # noqa: PLC0415 - heavy

        counted: list[int] = []
        owners: list[int] = []
        first = 0
        for number, ids in enumerate(self.texts):
            start = first + (len(ids) > 1)
            counted += range(start, first + len(ids))
            owners += [number] * (first + len(ids) - start)
            first += len(ids)
        return torch.tensor(counted), torch.tensor(owners)

    def ends(self) -> list[int]:
        """Return the index of the last token of each text."""
        ends, seen = [], 0
        for ids in self.texts:
            seen += len(ids)
            ends.append(seen - 1)
        return ends

    def decoded(self) -> list[int]:
        """Return the indices of the tokens after which the lens predicts, text by text."""
        if self.lens is None:
            return []
        found, first = [], 0
        for ids in self.texts:
            found += [first + each for each in lens_positions(len(ids), self.lens.positions)]
            first += len(ids)
        return found


class LayerPooling:
    """Takes the states of one layer after the other, and keeps what is left of them for each text."""

    def __init__(self, tokens: PassTokens, projection: FinalProjection | None, device: str) -> None:
        """Prepare for the layers of one pass; `projection` is given where the lens is asked for."""
        import torch  # noqa: PLC0415 - heavy

        self._tokens = tokens
        self._projection = projection
        counted, owners = tokens.owners()
        self._counts = torch.bincount(owners, minlength=len(tokens.texts))[:, None].to(device)
        self._counted, self._owners = counted.to(device), owners.to(device)
        self._ends = torch.tensor(tokens.ends(), device=device)
        self._decoded = torch.tensor(tokens.decoded(), device=device)
        self._means: list[torch.Tensor] = []
        self._lasts: list[torch.Tensor] = []
        self._predictions: list[torch.Tensor] = []

    def add(self, hidden: "torch.Tensor", *, is_last: bool) -> None:
        """Take the states of the next layer, (tokens, width), which may change afterwards."""
        import torch  # noqa: PLC0415 - heavy

        values = hidden.index_select(0, self._counted).float()
        sums = torch.zeros(len(self._tokens.texts), hidden.shape[1], device=hidden.device)
        sums.index_add_(0, self._owners, values)
        self._means.append((sums / self._counts).cpu())
        self._lasts.append(hidden.index_select(0, self._ends).float().cpu())
        if self._projection is not None and self._tokens.lens is not None:
            chosen = hidden.index_select(0, self._decoded)
            self._predictions.append(self._projection.top(chosen, self._tokens.lens.top_k, is_normed=is_last))

    def finish(self) -> list[TextStates]:
        """Return what the layers have made of each text."""
        import torch  # noqa: PLC0415 - heavy

        means, lasts = torch.stack(self._means, 1).numpy(), torch.stack(self._lasts, 1).numpy()
        predictions = torch.stack(self._predictions).numpy() if self._predictions else None
        found: list[TextStates] = []
        first = 0
        for number, ids in enumerate(self._tokens.texts):
            count = 0 if self._tokens.lens is None else len(lens_positions(len(ids), self._tokens.lens.positions))
            decoded = None if predictions is None else predictions[:, first : first + count]
            first += count
            found.append(TextStates(ids=ids, mean=means[number], last=lasts[number], predictions=decoded))
        return found


def split_texts(texts: Sequence[tuple[int, ...]], most: int) -> list[list[tuple[int, ...]]]:
    """Return consecutive texts in passes of at most `most` tokens, at least one text each."""
    passes: list[list[tuple[int, ...]]] = []
    left = 0
    for ids in texts:
        if not passes or len(ids) > left:
            passes.append([])
            left = most
        passes[-1].append(ids)
        left -= len(ids)
    return passes
