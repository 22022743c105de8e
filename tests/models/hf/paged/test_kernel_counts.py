"""A decode step launches a constant number of kernels, whatever rows and prefixes there are, and waits for nothing."""

import importlib
from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from .launches import Launches, count
from .machines import make_loaded, make_model, part, prompt_of, with_engine

ROWS = (1, 32, 256)
LAYERS = (2, 4)
OUTSIDE = 27
"""Kernels of a step outside the layers: the copy of the inputs, ids and embedding, angles, norm, head, the choice of
the next token, and the copy of the tokens."""
INSIDE = 36
"""Of a layer of Llama in float32: our two writes, attention, and the rest of transformers' modules."""


@torch.library.custom_op("xlingual_tests::attend", mutates_args=())
def attend(query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """The place of the attention kernel: one operation."""
    return query.new_zeros(query.shape[0], query.shape[1], values.shape[-1])


@dataclass(frozen=True)
class OneKernel:
    """A kernel that is one launch; its answers are zeros."""

    name: str = "one launch"
    page_size: int = 16
    page_sizes: str = "any"
    capturable: bool = True
    batch_invariant: bool = True

    def takes_page_size(self, tokens: int) -> bool:
        return tokens > 0

    def refusal(self, _needs: object) -> None:
        return None

    def __call__(self, query: Any, keys: Any, values: Any, rows: Any, _shape: object) -> Any:  # noqa: ANN401 - of torch
        for each in (rows.cu_seqlens, rows.seqused, rows.block_table):
            assert each.dtype is torch.int32
            assert each.is_contiguous()
        return attend(query, keys, values)


def decode_step(
    layers: int,
    rows: int,
    prefixes: int,
    *,
    graphs: bool = False,
    dtype: torch.dtype = torch.float32,
    mixed: bool = False,
) -> Launches:
    """Return the kernels of one decode step of so many rows, that stand below so many prefixes.

    A `mixed` one also reads a prompt of 22 tokens.
    """
    loaded = make_loaded(make_model("Llama", num_hidden_layers=layers).to(dtype), ())
    loaded = with_engine(loaded, page_size=16, pages=4 * rows + 64, graphs=graphs, max_tokens=8192)
    engine = loaded.paged
    engine.choice = replace(engine.choice, kernel=OneKernel())
    prompts = [
        prompt_of([10 + row % prefixes, *range(30, 50), 7 + row % 100, 6 + row // 100], str(row), limit=9)
        for row in range(rows)
    ]
    sequences = [part("paged.sequences").new_sequence(each, order) for order, each in enumerate(prompts)]
    with part("paged.forward").paged_attention(loaded.model):
        engine.prepare(rows + mixed, 40)
    scheduler = part("paged.scheduler").Scheduler(
        cache=engine.cache, max_tokens=8192, waiting=deque(sequences), free_rows=list(range(rows + mixed))
    )
    late = part("paged.sequences").new_sequence(prompt_of(range(60, 82), "late", limit=9), rows)
    seen: list[Launches] = []
    run = type(engine)._run

    def counted(*arguments: Any) -> None:  # noqa: ANN401 - of the plugin
        seen.append(count(lambda: run(engine, *arguments)))

    with part("paged.forward").paged_attention(loaded.model), pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(engine), "_run", lambda _self, *arguments: counted(*arguments))
        while True:
            plan = scheduler.plan()
            step = engine.launch(plan)
            scheduler.launched()
            engine.read(step)
            assert not seen[-1].syncs
            if len(plan.decode) == rows:
                if not mixed or plan.prefill:
                    return seen[-1]
                if late not in scheduler.waiting:
                    scheduler.waiting.append(late)
            for entry in plan.entries:
                if entry.kept:
                    entry.sequence.pending = 0
                    entry.sequence.append(9)
                    entry.sequence.output_ids[:] = entry.sequence.output_ids[:1]
                    entry.sequence.known = len(entry.sequence.prompt.ids) + 1
                    entry.sequence.computed = entry.sequence.known - 1


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("layers", LAYERS)
def test_a_step_has_the_same_kernels_for_any_rows(layers: int, rows: int) -> None:
    seen = decode_step(layers, rows, 1)
    assert seen.total == OUTSIDE + INSIDE * layers
    assert seen.by_name["aten.index_copy_"] == 2 * layers + 1
    assert seen.by_name["xlingual_tests.attend"] == layers


def test_a_step_has_the_same_kernels_for_any_prefixes() -> None:
    assert [decode_step(2, 100, each).total for each in (1, 25, 100)] == [OUTSIDE + 2 * INSIDE] * 3


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("layers", LAYERS)
def test_a_mixed_step_has_two_kernels_more_in_each_layer(layers: int, rows: int) -> None:
    """Attention of the rows of prompts, and the answers of both kinds of rows laid behind each other."""
    seen, alone = decode_step(layers, rows, 1, mixed=True), decode_step(layers, rows, 1)
    assert seen.by_name - alone.by_name == {"xlingual_tests.attend": layers, "aten.cat": layers}
    assert seen.total == OUTSIDE + (INSIDE + 2) * layers


def test_a_captured_step_is_two_copies_and_a_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the double of a graph does is the graph's: outside it the step copies its inputs and its tokens."""
    replays: list[int] = []

    def replay(self: Any) -> None:  # noqa: ANN401 - of the plugin
        replays.append(len(self.outputs[1]))

    monkeypatch.setattr(part("paged.step_queue").RecordedOperations, "replay", replay)
    seen = decode_step(2, 5, 1, graphs=True)
    assert seen.by_name == {"aten.copy_": 2}
    assert replays == [8]


@pytest.mark.slow
def test_the_table_of_the_page_is_as_counted() -> None:
    page = Path(__file__).resolve().parents[4] / "docs" / "engine.md"
    counted = importlib.import_module(f"{__package__}.launch_table").launch_table()
    assert counted in page.read_text(encoding="utf-8")
