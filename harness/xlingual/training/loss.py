"""The loss of a pack: cross-entropy over supervised positions only, in chunks, in float32."""

from collections.abc import Iterable
from itertools import pairwise
from typing import Protocol, cast

import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

from ..decoder.protocols import CausalLMOutput, DecoderModel
from .attention import PackedDocuments
from .batches import Batch

FEWEST_ROWS = 64
"""Of a chunk, however large the vocabulary."""
CHUNK_SCORES = 2**26
"""Scores computed at once, 256 MB in float32: a chunk has so many of them by the size of the vocabulary."""


class HiddenStates(Protocol):
    """What is used of a decoder's output."""

    @property
    def last_hidden_state(self) -> torch.Tensor:
        """(1, tokens, width)."""
        ...


class DecoderLayers(Protocol):
    """The layers of a model, without its head."""

    @property
    def layers(self) -> Iterable[nn.Module]:
        """Those that repeat."""
        ...

    def __call__(
        self,
        *,
        input_ids: torch.Tensor,
        position_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        use_cache: bool,
        documents: PackedDocuments,
    ) -> HiddenStates:
        """Compute a forward pass."""
        ...


class TrainedModel(DecoderModel, Protocol):
    """What is used of a causal language model that is trained."""

    def get_decoder(self) -> DecoderLayers:
        """Return the layers."""
        ...

    def get_output_embeddings(self) -> nn.Module:
        """Return the head."""
        ...

    def __call__(self, *, input_ids: torch.Tensor, use_cache: bool) -> CausalLMOutput:
        """Compute scores of all tokens."""
        ...


class Supervised(nn.Module):
    """A language model whose forward pass returns the loss of each supervised token of a pack."""

    def __init__(self, lm: nn.Module) -> None:
        """`lm` is a causal language model of transformers, its attention set to ours."""
        super().__init__()
        self.lm = lm

    @property
    def language_model(self) -> TrainedModel:
        """The model as what it is, which nn.Module does not say."""
        return cast(TrainedModel, self.lm)

    @property
    def softcap(self) -> float | None:
        """The bound of the final scores, where the architecture has one."""
        return cast("float | None", getattr(self.language_model.config, "final_logit_softcapping", None))

    def forward(self, batch: Batch, *, plainly: bool = False) -> torch.Tensor:
        """Return the cross-entropy of each supervised token, (supervised,), float32.

        `plainly` takes the model's own way, document by document: what ours must agree with.
        """
        if plainly:
            return self._own_losses(batch)
        # A mask of four dimensions is taken as it is: the model makes none of its own.
        mask = torch.zeros(1, 1, 1, 1, device=batch.ids.device)
        hidden = (
            self.language_model.get_decoder()(
                input_ids=batch.ids,
                position_ids=batch.positions,
                attention_mask=mask,
                use_cache=False,
                documents=batch.documents,
            )
            .last_hidden_state[0]
            .index_select(0, batch.places)
        )
        rows = max(CHUNK_SCORES // self.language_model.config.vocab_size, FEWEST_ROWS)
        if len(hidden) <= rows:
            return self._losses(hidden, batch.targets)
        parts = zip(torch.split(hidden, rows), torch.split(batch.targets, rows), strict=True)
        return torch.cat([checkpoint(self._losses, *part, use_reentrant=False) for part in parts])

    def _losses(self, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        scores: torch.Tensor = self.language_model.get_output_embeddings()(hidden).float()
        if self.softcap is not None:
            scores = torch.tanh(scores / self.softcap) * self.softcap
        return cross_entropy(scores, targets, reduction="none")

    def _own_losses(self, batch: Batch) -> torch.Tensor:
        bounds = batch.documents.bounds
        scores = [
            self.language_model(input_ids=batch.ids[:, start:end], use_cache=False).logits[0].float()
            for start, end in pairwise(bounds)
        ]
        return cross_entropy(torch.cat(scores)[batch.places], batch.targets, reduction="none")
