"""The formula of COMET: from source, hypothesis and reference to a number, about 0 to 1.

Each text is encoded by XLM-R; the states of all layers are mixed by learnt weights (Rei et al. 2020, section 2.3) and
averaged over the tokens. Of the three vectors h, r and s the estimator takes h, r, h*r, |h-r|, h*s and |h-s| (Rei et
al. 2022). A unified model (Wan et al. 2022) reads hypothesis and source as one text and takes the vector of its first
token.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from ...decoder.loading import is_out_of_memory, loading_errors
from ...errors import EnvironmentFault, ModelError
from ...identity import repair_surrogates
from .encoder import CometEncoder, encoder_weights
from .model_record import ACTIVATIONS, TOKENIZER, WEIGHTS, CometRecord, EncoderShape
from .tokenizer_file import read_tokenizer

_FUNCTIONS: Mapping[str, Callable[[Tensor], Tensor]] = dict(
    zip(ACTIVATIONS, (torch.tanh, torch.sigmoid, functional.relu, functional.gelu), strict=True)
)
BATCH_TOKENS = {"cpu": 2048, "cuda": 32768}
"""Tokens of texts that are encoded together, padding included."""
ESTIMATED_TOGETHER = 1024
_SPECIAL = ("<s>", "<pad>", "</s>")
_TINY = 1e-12
"""Added to variances."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """What is scored."""

    source: str
    hypothesis: str
    reference: str
    """Not read by a unified model."""


def sparsemax(scores: Tensor) -> Tensor:
    """Return the point of the simplex that is nearest to `scores`, one dimension (Martins and Astudillo 2016)."""
    ordered = scores.sort(descending=True).values
    excess = ordered.cumsum(dim=0) - 1
    counts = torch.arange(1, len(scores) + 1, dtype=scores.dtype, device=scores.device)
    support = int((counts * ordered > excess).sum())
    return (scores - excess[support - 1] / support).clamp(min=0)


def needed_weights(shape: EncoderShape, widths: Sequence[int]) -> dict[str, tuple[int, ...]]:
    """Return the names of the tensors that a scorer reads, and their shapes; `widths` are those of its estimator."""
    names = encoder_weights(shape)
    names |= {"mix.scalars": (shape.layers + 1,), "mix.gamma": (1,)}
    for place, (columns, rows) in enumerate(pairwise(widths)):
        names |= {f"estimator.{place}.weight": (rows, columns), f"estimator.{place}.bias": (rows,)}
    return names


@dataclass(frozen=True, slots=True)
class Sizes:
    """What the shapes of a model's tensors follow from."""

    encoder: EncoderShape
    unified: bool
    hidden: tuple[int, ...]
    """Of the estimator, without input and output."""


def check_tensors(tensors: Mapping[str, Tensor], sizes: Sizes, where: str) -> None:
    """Raise ModelError where a tensor is missing, has another shape than the sizes say, or is not needed."""
    features = sizes.encoder.width * (1 if sizes.unified else 6)
    needed = needed_weights(sizes.encoder, (features, *sizes.hidden, 1))
    for name, size in needed.items():
        found = tensors.get(name)
        if found is None:
            raise ModelError(f"the tensor {name} is missing", where=where)
        if tuple(found.shape) != size:
            raise ModelError(f"the tensor {name} has shape {tuple(found.shape)}, not {size}", where=where)
        if not found.is_floating_point():
            raise ModelError(f"the tensor {name} holds {found.dtype}, not floating-point numbers", where=where)
    if unknown := sorted(set(tensors) - set(needed)):
        raise ModelError(f"the tensor {unknown[0]} is not known", where=where)


class CometScorer:
    """A loaded COMET model."""

    def __init__(self, folder: Path, record: CometRecord, *, device: str, dtype: torch.dtype) -> None:
        """Load a converted model; ModelError for damaged files, EnvironmentFault where memory does not hold it."""
        self._record, self._device = record, device
        self._watch: Callable[[int, int], object] | None = None
        with loading_errors(str(folder)), torch.inference_mode():
            loaded = load_file(folder / WEIGHTS)
            sizes = Sizes(record.encoder, unified=record.unified, hidden=record.hidden_sizes)
            check_tensors(loaded, sizes, str(folder / WEIGHTS))
            weights = {name: each.to(device, dtype) for name, each in loaded.items()}
            del loaded
            self._encoder = CometEncoder(weights, record.encoder)
        self._tokenizer = read_tokenizer(folder / TOKENIZER)
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._start, self._padding, self._end = self._special_ids(folder)
        scalars = weights["mix.scalars"].float()
        mix = sparsemax(scalars) if record.transformation == "sparsemax" else scalars.softmax(dim=0)
        self._mix = [float(each) for each in mix]
        """Layers after the last one with a weight are never computed."""
        self._gamma = weights["mix.gamma"]
        count = len(record.hidden_sizes) + 1
        self._estimator = [(weights[f"estimator.{at}.weight"], weights[f"estimator.{at}.bias"]) for at in range(count)]

    def _special_ids(self, folder: Path) -> tuple[int, int, int]:
        start, padding, end = (self._tokenizer.token_to_id(token) for token in _SPECIAL)
        if start is None or padding is None or end is None or padding != self._record.encoder.padding:
            raise ModelError(f"lacks one of the tokens {', '.join(_SPECIAL)}", where=str(folder / TOKENIZER))
        if (size := self._tokenizer.get_vocab_size()) > self._record.encoder.vocabulary:
            what = f"has {size} tokens, of which the encoder knows {self._record.encoder.vocabulary}"
            raise ModelError(what, where=str(folder / TOKENIZER))
        return start, padding, end

    def score(
        self,
        segments: Sequence[Segment],
        *,
        batch_size: int | None = None,
        watch: Callable[[int, int], object] | None = None,
    ) -> list[float]:
        """Return the score of every segment; `batch_size` texts are encoded together, None: as many as suit the device.

        `watch` is told how many texts were encoded, of how many. EnvironmentFault where the memory does not hold one.
        """
        if not segments:
            return []
        self._watch = watch
        with torch.inference_mode():
            read = self._unified if self._record.unified else self._apart
            return [score for part in read(segments, batch_size) for score in self._estimate(part).float().tolist()]

    def _apart(self, segments: Sequence[Segment], batch_size: int | None) -> Iterator[Tensor]:
        """Yield the features of segments whose texts are encoded one by one, each text once."""
        places: dict[str, int] = {}
        rows = [
            [places.setdefault(text, len(places)) for text in (each.hypothesis, each.reference, each.source)]
            for each in segments
        ]
        limit = self._record.encoder.longest_text - 2
        inputs = [[self._start, *ids[:limit], self._end] for ids in self._tokenize(list(places))]
        vectors = self._encode(inputs, batch_size)
        for start in range(0, len(rows), ESTIMATED_TOGETHER):
            chosen = torch.tensor(rows[start : start + ESTIMATED_TOGETHER], device=self._device)
            h, r, s = vectors[chosen].unbind(dim=1)
            yield torch.cat([h, r, h * r, (h - r).abs(), h * s, (h - s).abs()], dim=1)

    def _unified(self, segments: Sequence[Segment], batch_size: int | None) -> Iterator[Tensor]:
        """Yield the features of segments whose hypothesis and source are read as one text, each pair once."""
        places: dict[tuple[str, str], int] = {}
        rows = [places.setdefault((each.hypothesis, each.source), len(places)) for each in segments]
        limit = self._record.encoder.longest_text - 2
        texts = self._tokenize([text for pair in places for text in pair])
        # The original drops padding tokens that stand in a text, and cuts both texts before it joins them.
        parts = [[each for each in ids[:limit] if each != self._padding] for ids in texts]
        most = self._record.encoder.longest_input
        inputs = [
            [self._start, *hypothesis, self._end, self._end, *source, self._end][:most]
            for hypothesis, source in zip(parts[::2], parts[1::2], strict=True)
        ]
        vectors = self._encode(inputs, batch_size)
        for start in range(0, len(rows), ESTIMATED_TOGETHER):
            yield vectors[torch.tensor(rows[start : start + ESTIMATED_TOGETHER], device=self._device)]

    def _tokenize(self, texts: list[str]) -> list[list[int]]:
        sound = [repair_surrogates(text) for text in texts]
        return [each.ids for each in self._tokenizer.encode_batch(sound, add_special_tokens=False)]

    def _encode(self, inputs: Sequence[Sequence[int]], batch_size: int | None) -> Tensor:
        """Return the vector of every input, shape (inputs, width); longest first, so that memory runs out at once."""
        order = sorted(range(len(inputs)), key=lambda place: -len(inputs[place]))
        budget = BATCH_TOKENS[torch.device(self._device).type]
        found: list[Tensor] = []
        done = 0
        while done < len(order):
            longest = len(inputs[order[done]])
            size = batch_size or max(1, budget // longest)
            try:
                found.append(self._encode_batch([inputs[place] for place in order[done : done + size]]))
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                if size == 1:
                    what = f"the memory of {self._device} does not hold one text of {longest} tokens"
                    hint = "XLINGUAL_COMET_DEVICE=cpu scores without the GPU"
                    raise EnvironmentFault(what, where=self._record.name, hint=hint) from error
                budget, batch_size = max(1, size // 2) * longest, None
                continue
            done = min(done + size, len(order))
            if self._watch is not None:
                self._watch(done, len(order))
        vectors = torch.cat(found)
        ordered = torch.empty_like(vectors)
        ordered[torch.tensor(order, device=vectors.device)] = vectors
        return ordered

    def _encode_batch(self, inputs: Sequence[Sequence[int]]) -> Tensor:
        longest = max(map(len, inputs))
        ids = torch.full((len(inputs), longest), self._padding)
        mask = torch.zeros(ids.shape, dtype=torch.bool)
        for place, row in enumerate(inputs):
            ids[place, : len(row)] = torch.tensor(row)
            mask[place, : len(row)] = True
        ids, mask = ids.to(self._device), mask.to(self._device)
        last = max(place for place, weight in enumerate(self._mix) if weight > 0)
        mixed = self._gamma.new_zeros(len(inputs), self._record.encoder.width)
        for place, states in enumerate(self._encoder.states(ids, mask)):
            if self._mix[place] > 0:
                mixed += self._mix[place] * self._pool(states, ids, mask)
            if place == last:
                break
        return self._gamma * mixed

    def _pool(self, states: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
        """Return one vector a text, shape (texts, width): of the first token, or the mean over tokens.

        A padding token that stands in a text counts, with a vector of zeros, as in the original.
        """
        if self._record.layer_norm:
            states = _normalise(states, mask)
        if self._record.unified:
            return states[:, 0]
        counted = ids.ne(self._padding).to(states.dtype)
        summed = torch.einsum("btw,bt->bw", states, counted)
        return summed / mask.sum(dim=1, keepdim=True)

    def _estimate(self, features: Tensor) -> Tensor:
        """Return the scores, shape (rows,)."""
        activation = _FUNCTIONS[self._record.activation]
        for weight, bias in self._estimator[:-1]:
            features = activation(functional.linear(features, weight, bias))
        scores = functional.linear(features, *self._estimator[-1]).squeeze(1)
        final = self._record.final_activation
        return scores if final is None else _FUNCTIONS[final](scores)


def _normalise(states: Tensor, mask: Tensor) -> Tensor:
    """Return states with mean 0 and variance 1 over all tokens and channels of each text."""
    shown = mask[..., None].to(states.dtype)
    count = (mask.sum(dim=1) * states.shape[-1])[:, None, None]
    mean = (states * shown).sum(dim=(1, 2), keepdim=True) / count
    variance = (((states - mean) * shown) ** 2).sum(dim=(1, 2), keepdim=True) / count
    return (states - mean) / torch.sqrt(variance + _TINY)
