"""Sampling: the next token of each row, drawn from its logits by a seed and a step.

    draw_tokens(logits, [Sampling(temperature=0.6, top_p=0.95, seed=17)], steps=[4])    the fifth token of an answer

The logits are divided by the temperature and filtered by top_k, top_p and min_p, in this order and with transformers'
meaning. Then the Gumbel-max trick draws: every token of the vocabulary gets noise of its own, a hash of (seed, step,
token), and the largest sum of scaled logit and noise wins, which happens with just the softmax probability.

So a token depends on the logits of its row, the seed and the step alone: not on the engine, the batch, the device or on
where an interrupted run was resumed. Why not one number a step and the cumulative distribution: there, every boundary
between two tokens is a place where rounding decides; here, as in greedy decoding, only a near tie is.
"""

from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING

from xlingual.sampling import Sampling

if TYPE_CHECKING:
    import torch

MAX_DRAWN_LOGITS = 2**22
"""Logits that are sorted and filtered at once: bounds the memory of a draw to about 150 MB."""
MIN_TEMPERATURE = 1e-30
"""What is below is greedy all the same, and its reciprocal would not be finite."""


def draw_tokens(logits: "torch.Tensor", samplings: Sequence[Sampling], steps: Sequence[int]) -> "torch.Tensor":
    """Return a token for each row of (rows, vocabulary), of shape (rows,), by the row's parameters and step.

    A step is the number of tokens that the answer has already. A row with NaN gets any token.
    """
    import torch  # noqa: PLC0415 - heavy

    rows = max(1, MAX_DRAWN_LOGITS // logits.shape[-1])
    drawn = []
    for first in range(0, len(samplings), rows):
        part = samplings[first : first + rows]
        scores = filter_logits(logits[first : first + rows], part)
        keys = [draw_key(sampling.seed, step) for sampling, step in zip(part, steps[first : first + rows], strict=True)]
        pairs = torch.tensor(keys, dtype=torch.int32, device=scores.device)
        drawn.append((scores + gumbel_noise(pairs, scores)).argmax(dim=-1))
    return torch.cat(drawn)


def filter_logits(logits: "torch.Tensor", samplings: Sequence[Sampling]) -> "torch.Tensor":
    """Return the logits over the temperature, the largest of each row moved to 0, and -inf for what is filtered out."""
    import torch  # noqa: PLC0415 - heavy

    logits = logits.float().contiguous()
    temperatures = [max(each.temperature, MIN_TEMPERATURE) for each in samplings]
    scores = (logits - logits.amax(dim=-1, keepdim=True)) / torch.tensor(temperatures, device=logits.device)[:, None]
    for keep, limits in (
        (_top_k, [min(each.top_k or 0, logits.shape[-1]) or None for each in samplings]),
        (_top_p, [each.top_p if each.top_p is not None and each.top_p < 1 else None for each in samplings]),
        (_min_p, [each.min_p or None for each in samplings]),
    ):
        rows = [row for row, limit in enumerate(limits) if limit is not None]
        if rows:
            index = torch.tensor(rows, device=scores.device)
            chosen = scores[index]
            limit = torch.tensor([limits[row] for row in rows], device=scores.device)[:, None]
            scores[index] = chosen.masked_fill(~keep(chosen, limit), float("-inf"))
    return scores


def _top_k(scores: "torch.Tensor", limit: "torch.Tensor") -> "torch.Tensor":
    """Return which scores are kept: those not below the k-th best, so that equals of it are kept, too."""
    best = scores.topk(int(limit.max()), dim=-1).values
    return scores >= best.gather(1, limit - 1)


def _top_p(scores: "torch.Tensor", limit: "torch.Tensor") -> "torch.Tensor":
    """Return which scores are kept: the fewest of the best whose probabilities reach the limit, at least one.

    Of equals at the edge, those with the larger ids are kept.
    """
    import torch  # noqa: PLC0415 - heavy

    probabilities = scores.softmax(dim=-1)
    # The others do not make up the rest even together: only these have to be sorted.
    likely = (probabilities * scores.shape[-1] > 1 - limit) | (scores == 0)
    counts = likely.sum(dim=-1)
    rows, tokens = likely.nonzero(as_tuple=True)
    places = torch.arange(len(rows), device=scores.device) - (counts.cumsum(0) - counts)[rows]
    shape = len(scores), max(1, int(counts.max()))  # none in a row with NaN
    packed, shares = scores.new_full(shape, float("-inf")), scores.new_zeros(shape)
    packed[rows, places], shares[rows, places] = scores[rows, tokens], probabilities[rows, tokens]
    order = packed.argsort(dim=-1, stable=True)
    # On a CPU: on a GPU torch has no running sum that always adds up in one order.
    sums = shares.gather(1, order).cpu().cumsum(dim=-1).to(scores.device)
    unlikely = probabilities.masked_fill(likely, 0).sum(dim=-1, keepdim=True)
    kept = sums + unlikely > 1 - limit
    kept[:, -1] = True
    found = torch.zeros_like(likely)
    found[rows, tokens] = torch.zeros_like(kept).scatter(1, order, kept)[rows, places]
    return found


def _min_p(scores: "torch.Tensor", limit: "torch.Tensor") -> "torch.Tensor":
    """Return which scores are kept: those at least this fraction as likely as the likeliest."""
    probabilities = scores.softmax(dim=-1)
    best = probabilities.amax(dim=-1, keepdim=True)
    return (probabilities >= limit * best) | (probabilities == best)


def draw_key(seed: int, step: int) -> tuple[int, int]:
    """Return the two 32-bit integers, with a sign, that the noise of a step is made with."""
    digest = blake2b(f"{seed} {step}".encode(), digest_size=8).digest()
    return int.from_bytes(digest[:4], "little", signed=True), int.from_bytes(digest[4:], "little", signed=True)


def gumbel_noise(pairs: "torch.Tensor", scores: "torch.Tensor") -> "torch.Tensor":
    """Return noise of the standard Gumbel distribution, in the shape of `scores`; `pairs`, (rows, 2), are its keys."""
    hashed = _mix((_token_hashes(scores.shape[-1], scores.device) ^ pairs[:, :1]) * (pairs[:, 1:] | 1))
    # 31 bits: as a float32 a small one is exact, and small ones decide which unlikely tokens are drawn.
    uniform = ((hashed >> 1) & 0x7FFFFFFF).float().add_(0.5).mul_(2.0**-31).clamp_(max=1 - 2.0**-24)
    return uniform.neg_().log1p_().neg_().log_().neg_()


@lru_cache(maxsize=4)
def _token_hashes(vocabulary: int, device: "torch.device") -> "torch.Tensor":
    import torch  # noqa: PLC0415 - heavy

    return _mix(torch.arange(1, vocabulary + 1, dtype=torch.int32, device=device) * (0x9E3779B1 - 2**32))


def _mix(values: "torch.Tensor") -> "torch.Tensor":
    """Return well mixed 32-bit integers: the finalizer of MurmurHash3, in arithmetic with a sign that wraps around."""
    values = (values ^ ((values >> 16) & 0xFFFF)) * (0x85EBCA6B - 2**32)
    values = (values ^ ((values >> 13) & 0x7FFFF)) * (0xC2B2AE35 - 2**32)
    return values ^ ((values >> 16) & 0xFFFF)
