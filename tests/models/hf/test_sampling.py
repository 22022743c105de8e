"""DrawProcessor: the filters of transformers, the frequencies of the softmax, and no row that depends on another."""

import importlib
import math
from collections.abc import Callable
from hashlib import blake2b
from types import ModuleType
from typing import Any

import pytest
import torch
from transformers import MinPLogitsWarper, TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from xlingual.sampling import Sampling


def drawing() -> ModuleType:
    return importlib.import_module("xlingual.plugins.models.hf.sampling")


def softmax(logits: torch.Tensor, sampling: Sampling) -> list[float]:
    """Return the probabilities that a draw has, by transformers' own filters one after the other."""
    filters: list[Callable[[Any, torch.Tensor], torch.Tensor]] = [TemperatureLogitsWarper(sampling.temperature)]
    if sampling.top_k is not None:
        filters.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p is not None:
        filters.append(TopPLogitsWarper(sampling.top_p))
    if sampling.min_p is not None:
        filters.append(MinPLogitsWarper(sampling.min_p))
    scores = logits[None]
    for each in filters:
        scores = each(None, scores)
    return [float(each) for each in scores[0].softmax(dim=-1)]


SETTINGS = [
    Sampling(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
    for temperature in (0.3, 1.0, 1.7)
    for top_k, top_p, min_p in (
        (None, None, None), (1, None, None), (5, None, None), (1000, None, None), (None, 0.5, None), (None, 0.95, None),
        (None, 0.001, None), (None, 1.0, None), (None, None, 0.1), (None, None, 1.0), (20, 0.9, 0.02), (3, 0.2, 0.9),
    )
]  # fmt: skip


@pytest.mark.parametrize("ties", [False, True], ids=["distinct", "ties"])
def test_the_filters_keep_what_those_of_transformers_keep(ties: bool) -> None:
    """All settings in one batch, on smooth and on coarse logits, and on some where everything is equal.

    Which of equals top_p cuts is chance in transformers, whose sort is not stable; how many it keeps is not.
    """
    generator = torch.Generator().manual_seed(5)
    for width in (2, 7, 300):
        logits = torch.randn(len(SETTINGS), width, generator=generator) * 3
        if ties:
            logits = logits.round()
            logits[::5] = 1.5
        probabilities = drawing().filter_logits(logits, SETTINGS).softmax(dim=-1)
        for row, sampling in enumerate(SETTINGS):
            expected = softmax(logits[row], sampling)
            found = probabilities[row].tolist()
            assert sorted(found) == pytest.approx(sorted(expected), abs=1e-6), (width, sampling)
            assert sum(each > 0 for each in found) == sum(each > 0 for each in expected)
            edge = min(value for value, each in zip(logits[row].tolist(), expected, strict=True) if each)
            for value, mine, other in zip(logits[row].tolist(), found, expected, strict=True):
                assert (mine > 0) == (other > 0) or (ties and value == edge)


def chi_square(found: list[int], expected: list[float]) -> float:
    """Return how many standard deviations the statistic lies above its mean, for many degrees of freedom."""
    total = sum(found)
    assert all(count == 0 for count, share in zip(found, expected, strict=True) if share == 0)
    terms = [
        (count - total * share) ** 2 / (total * share) for count, share in zip(found, expected, strict=True) if share
    ]
    freedom = max(1, len(terms) - 1)
    return (sum(terms) - freedom) / math.sqrt(2 * freedom)


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(temperature=1.0),
        Sampling(temperature=0.5, top_p=0.9),
        Sampling(temperature=2.0, top_k=6),
        Sampling(temperature=1.0, min_p=0.2),
    ],
)
@pytest.mark.parametrize("by", ["seed", "step"])
def test_many_draws_have_the_frequencies_of_the_softmax(sampling: Sampling, by: str) -> None:
    logits = torch.tensor([2.0, 1.0, 0.5, 0.0, -1.0, 1.0, 2.5, -0.5, 0.3, 0.2, -3.0, 1.5])
    count = 30000
    samplings = [Sampling(**{**as_fields(sampling), "seed": index if by == "seed" else 7}) for index in range(count)]
    steps = [0 if by == "seed" else index for index in range(count)]
    drawn = drawing().draw_tokens(logits.expand(count, -1), samplings, steps).tolist()
    expected = softmax(logits, sampling)
    assert chi_square([drawn.count(token) for token in range(12)], expected) < 4
    # What is drawn next does not depend on what was drawn before.
    likely = [token for token in range(12) if expected[token] > 0.02]
    pairs = list(zip(drawn[::2], drawn[1::2], strict=True))
    pairs = [pair for pair in pairs if pair[0] in likely and pair[1] in likely]
    share = sum(expected[token] for token in likely)
    shares = [expected[a] * expected[b] / share**2 for a in likely for b in likely]
    assert chi_square([pairs.count((a, b)) for a in likely for b in likely], shares) < 4


def as_fields(sampling: Sampling) -> dict[str, Any]:
    return {name: getattr(sampling, name) for name in ("temperature", "top_k", "top_p", "min_p", "seed")}


def test_unlikely_tokens_of_a_large_vocabulary_are_drawn_as_often_as_they_should() -> None:
    """100,000 tokens share a tenth of the probability: which of them, and how often, is left to small noise."""
    logits = torch.full((100_001,), math.log(0.1 / 100_000))
    logits[50_000] = math.log(0.9)
    seeds = [Sampling(temperature=1.0, seed=seed) for seed in range(2000)]
    drawn = drawing().draw_tokens(logits.expand(2000, -1), seeds, [0] * 2000).tolist()
    rare = [token for token in drawn if token != 50_000]
    assert 160 < len(rare) < 240
    assert len(set(rare)) > 0.98 * len(rare)
    assert 0.4 < sum(token > 50_000 for token in rare) / len(rare) < 0.6


def noise_of(seed: int, step: int, token: int) -> float:
    """The noise of one token in plain integers of Python."""

    def mix(value: int) -> int:
        value = ((value ^ value >> 16) * 0x85EBCA6B) % 2**32
        value = ((value ^ value >> 13) * 0xC2B2AE35) % 2**32
        return value ^ value >> 16

    digest = blake2b(f"{seed} {step}".encode(), digest_size=8).digest()
    first, second = int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:], "little")
    base = mix((token + 1) * 0x9E3779B1 % 2**32)
    hashed = mix((base ^ first) * (second | 1) % 2**32)
    return -math.log(-math.log1p(-min((hashed // 2 + 0.5) / 2**31, 1 - 2**-24)))


def test_the_noise_is_the_same_on_every_machine() -> None:
    pairs = [(seed, step) for seed in (0, 1, 17, 2**31 - 1) for step in (0, 1, 4095)]
    zeros = torch.zeros(len(pairs), 500)
    found = drawing().gumbel_noise(
        torch.tensor([drawing().draw_key(*pair) for pair in pairs], dtype=torch.int32), zeros
    )
    for row, (seed, step) in enumerate(pairs):
        expected = [noise_of(seed, step, token) for token in range(500)]
        assert found[row].tolist() == pytest.approx(expected, abs=1e-4)
        drawn = drawing().draw_tokens(zeros[:1], [Sampling(temperature=1.0, seed=seed)], [step])
        assert drawn.tolist() == [expected.index(max(expected))]


@pytest.mark.parametrize("top_k", [100, 2**40, 10**30])
def test_a_top_k_over_the_vocabulary_is_all_of_it(top_k: int) -> None:
    logits = torch.randn(3, 50, generator=torch.Generator().manual_seed(4))
    plain = [Sampling(temperature=1.0, seed=seed) for seed in range(3)]
    wide = [Sampling(temperature=1.0, seed=seed, top_k=top_k) for seed in range(3)]
    assert (
        drawing().draw_tokens(logits, wide, [0] * 3).tolist() == drawing().draw_tokens(logits, plain, [0] * 3).tolist()
    )


def test_a_token_depends_on_its_row_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Alone or beside others, in one draw or in several, whatever the layout and the dtype in memory."""
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(len(SETTINGS), 301, generator=generator) * 2
    samplings = [Sampling(**{**as_fields(each), "seed": seed}) for seed, each in enumerate(SETTINGS)]
    steps = [row % 5 for row in range(len(samplings))]
    drawn = drawing().draw_tokens(logits, samplings, steps).tolist()
    for row, sampling in enumerate(samplings):
        assert drawing().draw_tokens(logits[row : row + 1], [sampling], [steps[row]]).tolist() == [drawn[row]]
    assert drawing().draw_tokens(logits.t().contiguous().t(), samplings, steps).tolist() == drawn
    assert drawing().draw_tokens(logits.double(), samplings, steps).tolist() == drawn
    monkeypatch.setattr(drawing(), "MAX_DRAWN_LOGITS", 1000)
    assert drawing().draw_tokens(logits, samplings, steps).tolist() == drawn
    assert len({*drawn}) > 20


def test_a_temperature_near_zero_is_greedy_and_broken_rows_disturb_no_other() -> None:
    logits = torch.randn(4, 50, generator=torch.Generator().manual_seed(2))
    cold = [Sampling(temperature=10.0**-power, top_p=0.9, top_k=40, min_p=0.01) for power in (6, 20, 38, 44)]
    assert drawing().draw_tokens(logits, cold, [0] * 4).tolist() == logits.argmax(dim=-1).tolist()
    warm = [Sampling(temperature=1.0, top_p=0.9, min_p=0.01, seed=seed) for seed in range(4)]
    expected = drawing().draw_tokens(logits, warm, [0] * 4).tolist()
    for value in (float("nan"), float("inf"), float("-inf")):
        broken = logits.clone()
        broken[2] = value
        assert drawing().draw_tokens(broken, warm, [0] * 4).tolist()[:2] == expected[:2]
    logits[:, 7:] = float("-inf")
    assert max(drawing().draw_tokens(logits, warm, [0] * 4).tolist()) < 7
