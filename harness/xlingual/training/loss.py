"""The loss of a pack: cross-entropy in float32 over supervised tokens only, the logits of one chunk at a time."""

from functools import partial
from itertools import pairwise
from typing import Protocol, cast

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from ..decoder.protocols import CausalLMOutput, DecoderModel
from .attention import set_current
from .batches import Batch
from .fused_loss import fused_cross_entropy
from .structure import decoder_config, head_of, logits_of, trained_above

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

    def __call__(
        self,
        *,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        use_cache: bool,
        **packed: object,
    ) -> HiddenStates:
        """Run a forward pass; `packed` are the positions and documents of a packed sequence."""
        ...


class TrainedModel(DecoderModel, Protocol):
    """The part of a causal language model of transformers that training uses."""

    def get_decoder(self) -> DecoderLayers:
        """Return the decoder."""
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
        self.padded = False
        """Whether documents are computed as a padded batch, with the attention of transformers."""

    @property
    def language_model(self) -> TrainedModel:
        """`lm` with the type that nn.Module does not show."""
        return cast(TrainedModel, self.lm)

    @property
    def vocabulary(self) -> int:
        """The number of logits of a token."""
        return decoder_config(self.lm).vocab_size

    def forward(self, batch: Batch, *, by_document: bool = False, next_tokens: bool = False) -> torch.Tensor:
        """Return the cross-entropy of each supervised token, (supervised,), float32.

        Its backward pass takes the gradient of the losses' sum with the weights of `batch`, and no other.
        `by_document` runs transformers' own forward pass on one document at a time: the reference. `next_tokens`
        returns the most likely token after each predictor instead, (predictors,).
        """
        if by_document:
            return self._reference_losses(batch)
        states = self._padded_states(batch) if self.padded else self._packed_states(batch)
        hidden = states.index_select(0, batch.predictors)
        if next_tokens:
            return logits_of(self.lm, hidden).argmax(-1)
        tokens = max(CHUNK_LOGITS // self.vocabulary, MIN_CHUNK_TOKENS)
        if torch.is_grad_enabled() and head_of(self.lm) is not None:
            compute, trained = partial(logits_of, self.lm), trained_above(self.lm)
            return fused_cross_entropy(compute, hidden, batch.labels, batch.loss_weights, trained, tokens)
        chunks = zip(torch.split(hidden, tokens), torch.split(batch.labels, tokens), strict=True)
        return torch.cat([self._losses(*chunk) for chunk in chunks])

    def _packed_states(self, batch: Batch) -> torch.Tensor:
        """Return the last hidden states of a packed sequence, (tokens, width)."""
        # transformers takes a mask of four dimensions as it is, and builds none of its own.
        mask = torch.zeros(1, 1, 1, 1, device=batch.input_ids.device)
        set_current(batch.documents)
        output = self.language_model.get_decoder()(
            input_ids=batch.input_ids,
            position_ids=batch.position_ids,
            attention_mask=mask,
            use_cache=False,
            documents=batch.documents,
        )
        return output.last_hidden_state[0]

    def _padded_states(self, batch: Batch) -> torch.Tensor:
        """Return the same, (tokens, width), of the documents as a batch that is padded on the right."""
        ends = batch.documents.cu_seqlens
        places = torch.arange(batch.documents.max_seqlen, device=ends.device)
        is_token = places[None] < (ends[1:] - ends[:-1])[:, None]
        ids = batch.input_ids.new_zeros(is_token.shape)
        ids[is_token] = batch.input_ids[0]
        mask = is_token.to(ids.dtype)
        output = self.language_model.get_decoder()(input_ids=ids, attention_mask=mask, use_cache=False)
        return output.last_hidden_state[is_token]

    def _losses(self, hidden: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return cross_entropy(logits_of(self.lm, hidden).float(), labels, reduction="none")

    def _reference_losses(self, batch: Batch) -> torch.Tensor:
        logits = [
            self.language_model(input_ids=batch.input_ids[:, start:end], use_cache=False).logits[0].float()
            for start, end in pairwise(batch.documents.boundaries)
        ]
        return cross_entropy(torch.cat(logits)[batch.predictors], batch.labels, reduction="none")
