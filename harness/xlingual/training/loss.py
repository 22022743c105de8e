"""The loss of a pack: cross-entropy in float32 over supervised tokens only, the logits of one chunk at a time."""

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

MIN_CHUNK_TOKENS = 64
"""Of a chunk, however large the vocabulary."""
CHUNK_LOGITS = 2**26
"""Logits of a chunk, 256 MB in float32: its tokens are so many divided by the size of the vocabulary."""


class HiddenStates(Protocol):
    """The part of a decoder's output that is used."""

    @property
    def last_hidden_state(self) -> torch.Tensor:
        """(1, tokens, width)."""
        ...


class DecoderLayers(Protocol):
    """A decoder without its output layer (head)."""

    @property
    def layers(self) -> Iterable[nn.Module]:
        """Its transformer layers, from the first on."""
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
        """Run a forward pass."""
        ...


class TrainedModel(DecoderModel, Protocol):
    """The part of a causal language model of transformers that training uses."""

    def get_decoder(self) -> DecoderLayers:
        """Return the decoder."""
        ...

    def get_output_embeddings(self) -> nn.Module:
        """Return the head."""
        ...

    def __call__(self, *, input_ids: torch.Tensor, use_cache: bool) -> CausalLMOutput:
        """Compute the logits of all tokens."""
        ...


class ModelWithLoss(nn.Module):
    """A language model whose forward pass returns the loss of each supervised token of a pack.

    The loss is part of the forward pass of FSDP's root module: there the weights of the head are unsharded.
    """

    def __init__(self, lm: nn.Module) -> None:
        """`lm` is a causal language model of transformers, with the attention of `attention.NAME`."""
        super().__init__()
        self.lm = lm

    @property
    def language_model(self) -> TrainedModel:
        """`lm` with the type that nn.Module does not show."""
        return cast(TrainedModel, self.lm)

    @property
    def softcap(self) -> float | None:
        """The bound of the logits, where the architecture has one."""
        return cast("float | None", getattr(self.language_model.config, "final_logit_softcapping", None))

    def forward(self, batch: Batch, *, by_document: bool = False) -> torch.Tensor:
        """Return the cross-entropy of each supervised token, (supervised,), float32.

        `by_document` runs transformers' own forward pass on one document at a time: the reference.
        """
        if by_document:
            return self._reference_losses(batch)
        # transformers takes a mask of four dimensions as it is, and builds none of its own.
        mask = torch.zeros(1, 1, 1, 1, device=batch.input_ids.device)
        hidden = (
            self.language_model.get_decoder()(
                input_ids=batch.input_ids,
                position_ids=batch.position_ids,
                attention_mask=mask,
                use_cache=False,
                documents=batch.documents,
            )
            .last_hidden_state[0]
            .index_select(0, batch.predictors)
        )
        tokens = max(CHUNK_LOGITS // self.language_model.config.vocab_size, MIN_CHUNK_TOKENS)
        if len(hidden) <= tokens:
            return self._losses(hidden, batch.labels)
        chunks = zip(torch.split(hidden, tokens), torch.split(batch.labels, tokens), strict=True)
        return torch.cat([checkpoint(self._losses, *chunk, use_reentrant=False) for chunk in chunks])

    def _losses(self, hidden: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.language_model.get_output_embeddings()(hidden).float()
        if self.softcap is not None:
            logits = torch.tanh(logits / self.softcap) * self.softcap
        return cross_entropy(logits, labels, reduction="none")

    def _reference_losses(self, batch: Batch) -> torch.Tensor:
        logits = [
            self.language_model(input_ids=batch.input_ids[:, start:end], use_cache=False).logits[0].float()
            for start, end in pairwise(batch.documents.boundaries)
        ]
        return cross_entropy(torch.cat(logits)[batch.predictors], batch.labels, reduction="none")
