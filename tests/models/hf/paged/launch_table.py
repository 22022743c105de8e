"""Kernels of a decode step of a Llama of 32 layers in bfloat16, by engine: the table of docs/engine.md.

Counted for two and four layers; every engine's are so many for each layer and so many outside.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from transformers import DynamicCache

from .launches import Launches, count
from .machines import make_loaded, make_model, part, prompt_of
from .test_kernel_counts import decode_step

LAYERS = 32
CASES = ((1, 1), (32, 1), (32, 25), (256, 1), (256, 25), (256, 100))
"""Rows, and the prefixes below which they stand."""
HEAD = "| rows | prefixes | packed | static batches (`generate`, HFLM) | paged, eager | paged, replayed |"


def packed_step(layers: int, rows: int, prefixes: int) -> Launches:
    """Return the kernels of a step of the packed engine by transformers' modules."""
    loaded = make_loaded(make_model("Llama", num_hidden_layers=layers).to(torch.bfloat16), ())
    tree, forward = part("packed.prefix_tree"), part("packed.forward")
    prompts = [
        prompt_of([10 + row % prefixes, *range(30, 50), 7 + row % 100, 6 + row // 100], str(row)) for row in range(rows)
    ]
    sequences = tree.build_prefix_tree(prompts)
    spec = part("packed.exchange").cache_spec_of(loaded)
    batch = part("packed.running_batch").new_batch(spec, rows, 64)
    seen: list[Launches] = []
    compute = forward.forward

    def watch(*given: Any, **named: Any) -> torch.Tensor:  # noqa: ANN401 - of the plugin
        seen.append(count(lambda: compute(*given, **named)))
        return torch.zeros(1)

    with part("packed.exchange").packed_attention(loaded.model):
        chunked = part("packed.chunked_prefill")
        for chunks in chunked.split_into_passes(chunked.prefill_chunks(batch, sequences), 8192):
            forward.run_prefill(loaded, spec, chunks)
        for sequence in sequences:
            sequence.output_ids.append(9)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(forward, "forward", watch)
            forward.run_decode(loaded, batch)
    return seen[0]


def generate_step(layers: int, rows: int) -> Launches:
    """Return the kernels of a step of `generate` with the cache that it takes by default."""
    model = make_model("Llama", num_hidden_layers=layers).to(torch.bfloat16)
    cache = DynamicCache(config=model.config)
    mask = torch.ones(rows, 9, dtype=torch.long)
    with torch.no_grad():
        model(input_ids=torch.ones(rows, 8, dtype=torch.long), past_key_values=cache, attention_mask=mask[:, :8])
    ids = torch.ones(rows, 1, dtype=torch.long)

    def step() -> None:
        logits = model(input_ids=ids, past_key_values=cache, attention_mask=mask, use_cache=True).logits
        chosen = logits[:, -1].float().argmax(-1)
        torch.cat([ids, chosen[:, None]], dim=-1)
        torch.cat([mask, mask.new_ones(rows, 1)], dim=-1)

    return count(step)


def extrapolated(step: Callable[[int], Launches]) -> int:
    """Return the kernels of a step over LAYERS layers."""
    [(two, four)] = pairwise([step(2).total, step(4).total])
    return two + (four - two) // 2 * (LAYERS - 2)


def launch_table() -> str:
    """Return the table."""
    lines = [HEAD, "| ---: | ---: | ---: | ---: | ---: | ---: |"]
    for rows, prefixes in CASES:
        packed = extrapolated(lambda layers, r=rows, p=prefixes: packed_step(layers, r, p))  # type: ignore[misc]  # bound
        static = extrapolated(lambda layers, r=rows: generate_step(layers, r))  # type: ignore[misc]  # bound
        paged = extrapolated(
            lambda layers, r=rows, p=prefixes: decode_step(layers, r, p, dtype=torch.bfloat16)  # type: ignore[misc]  # bound
        )
        lines.append(f"| {rows} | {prefixes} | {packed:,} | {static:,} | {paged:,} | 2 copies, 1 graph |")
    return "\n".join(lines)
