"""The floor of the machine: the operations that the answers need, over the rate of products measured now."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from xlingual.identity import Json
from xlingual.records import Request

from .ways import Loaded, part

SECONDS = 1.0
"""For each rate: long enough for the clock of a processor to steady."""


def count_weights(loaded: Loaded) -> tuple[int, int]:
    """Return the numbers that each token is multiplied with, and those of the head; before the engine fuses them."""
    from torch import nn

    head = loaded.engine.model.get_output_embeddings()
    linear = [each for each in loaded.engine.model.modules() if isinstance(each, nn.Linear) and each is not head]
    return sum(each.weight.numel() for each in linear), head.weight.numel()


def count_work(
    loaded: Loaded, weights: tuple[int, int], requests: Sequence[Request], answers: Mapping[str, str | None]
) -> Json:
    """Count what no way of answering can do without: each distinct token of a prompt once, each answer token once.

    Attention is left out; prefixes are counted once, draft tokens not at all.
    """
    description = loaded.description
    prompts = part("tokens.rendering").render(description.tokenizer, requests, description.vocabulary)
    tree = part("packed.prefix_tree")
    sequences = tree.build_prefix_tree(prompts)
    prefixes = {prefix for sequence in sequences for prefix in tree.prefix_path(sequence.prefix)}
    distinct = sum(prefix.length for prefix in prefixes) + sum(len(sequence.suffix) for sequence in sequences)
    lengths = [_count(description.tokenizer, answers.get(each.key)) for each in requests]
    body, head = weights
    return {
        "prompt_tokens": sum(len(each.ids) for each in prompts),
        "distinct_tokens": distinct,
        "answer_tokens": sum(lengths),
        "operations": 2.0 * body * (distinct + sum(lengths)) + 2.0 * head * (len(sequences) + sum(lengths)),
        "weight_bytes": (body + head) * loaded.engine.model.dtype.itemsize,
        "lengths": lengths,
        "operations_per_token": 2.0 * (body + head),
    }


def _count(tokenizer: Any, text: str | None) -> int:  # noqa: ANN401 - of transformers
    return len(tokenizer(text or "", add_special_tokens=False)["input_ids"])


def measure_rates() -> dict[str, float]:
    """Return operations a second of a large product and of small ones, and bytes a second read from memory."""
    import torch

    square = torch.randn(2048, 2048)
    weights = [torch.randn(3072, 576) for _ in range(40)]
    big = torch.randn(64 * 2**20)
    prepacked = part("packed.linear").prepack(square, None)
    quickest = min(_best(lambda: square @ square), _best(lambda: prepacked(square)))
    rates = {"product": 2 * 2048**3 / quickest}
    for rows in (1, 16, 64, 512):
        columns = torch.randn(576, rows)
        taken = _best(lambda columns=columns: [each @ columns for each in weights])  # type: ignore[misc]  # bound now
        rates[f"product of {rows} tokens"] = 2 * rows * 3072 * 576 * len(weights) / taken
    rates["read"] = big.numel() * 4 / _best(big.sum)
    return rates


def _best(call: Callable[[], object]) -> float:
    times: list[float] = []
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end or len(times) < 3:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def floor_seconds(work: Mapping[str, Any], rates: Mapping[str, float]) -> float:
    """Return the seconds that the operations alone take."""
    return float(work["operations"] / rates["product"])


def roofline_seconds(work: Mapping[str, Any], rates: Mapping[str, float]) -> float:
    """Return the same with the weights read anew for each token of the longest answer, all rows side by side."""
    lengths = sorted(work["lengths"])
    reading = work["weight_bytes"] / rates["read"]
    steps = [sum(length > place for length in lengths) for place in range(lengths[-1])] if lengths else []
    computing = [active * work["operations_per_token"] / rates["product"] for active in steps]
    prompts = (work["operations"] - sum(lengths) * work["operations_per_token"]) / rates["product"]
    return float(prompts + sum(max(reading, each) for each in computing))
