"""The paged engine: pages, the buffers of a step, and the graphs of decode steps, made once for a loaded model.

    launch    inputs to the device, copies of pages, forward pass, next tokens; the host does not wait
    read      the tokens of a launched step, for which the host waits

The newest token of each row stays on the device, so that the next step can be launched before the host has seen it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from xlingual.decoder.architecture import length_dependent_ropes, text_config
from xlingual.records import Failure

from ..limits import MAX_REASON, OUT_OF_MEMORY, attempt, free_bytes
from ..loaded_model import CausalLM
from .draws import draw_rows
from .forward import LayerCall, PagedPass, PassRows, look_at_layers, paged_attention, run_model
from .kernels import KernelChoice, LayerNeeds, ReferenceKernel, choose_kernel
from .pages import PageAllocator, PagePool, new_page_pool
from .prefix_cache import PrefixCache
from .sequences import StepEntry, StepPlan
from .step_inputs import FilledStep, StepInputs, StepLayout, StepViews, view_parts
from .step_queue import Graph, StepMark, StepQueue, queue_for

if TYPE_CHECKING:
    import torch

MAX_STEP_TOKENS = 8192
MAX_STEP_TOKENS_CPU = 512
"""On a CPU, where large temporaries are slow."""
POOL_FRACTION = 0.8
"""Of the memory that is free after loading; the rest is for forward passes and graphs."""
POOL_BYTES_CPU = 2**31
"""On a CPU the engine is there for tests."""
MAX_PAGES = 2**17
MIN_PAGES = 16
"""With fewer, there is no use in the engine."""
GRAPH_ROWS = (1, 2, 4, 8, 16, 32, 48, 64, 96, 128, 192, 256, 384, 512)
"""A decode step is padded to the next of these, for which there is a graph."""
SHARDED_NOTE = "steps are no CUDA graphs: the layers are on several devices"
MAX_DRAFT_TOKENS = 64
"""Tokens of the drafts of a step, at most."""
MAX_DRAFTED_ROWS = 24
"""Rows of a step with drafts, as a rule: each token is one."""


@dataclass(frozen=True, slots=True)
class PagedOptions:
    """How an engine is set up; the defaults are for use, the rest for tests and comparisons."""

    page_size: int | None = None
    """None: as the kernel is fastest."""
    pages: int | None = None
    """None: as the memory allows."""
    graphs: bool | None = None
    """Whether decode steps are captured; None: on a GPU."""
    queue: StepQueue | None = None
    """Where steps are launched; None: on the model's device."""
    max_tokens: int | None = None
    """Of a step."""


@dataclass(frozen=True, slots=True)
class LaunchedStep:
    """A step on the device."""

    plan: StepPlan
    tokens: "torch.Tensor"
    """On the host: the next tokens in the order of the wanted ones, -1 for scores that are not finite; once `mark` is
    passed."""
    mark: StepMark
    logits: "list[torch.Tensor]"
    """One tensor when the step was computed, (wanted tokens, vocabulary)."""


@dataclass(slots=True)
class PagedEngine:
    """A model with its pages; see the module."""

    model: CausalLM
    device: str
    choice: KernelChoice
    pool: PagePool
    cache: PrefixCache
    queue: StepQueue
    max_tokens: int
    graphs_wanted: bool
    inputs: StepInputs = field(init=False)
    newest: "torch.Tensor" = field(init=False)
    """On the device, (rows + 1,): the newest token of each row; the last one is of padding."""
    outputs: "list[torch.Tensor]" = field(init=False)
    """Two buffers on the host, by turns."""
    graphs: dict[int, Graph] = field(default_factory=dict, init=False)
    """By rows."""
    notes: list[str] = field(default_factory=list)
    """What a user should be told."""

    def prepare(self, rows: int, longest: int, *, graphs: bool = True) -> None:
        """Make buffers and graphs for so many running rows, and texts of up to `longest` tokens with their answers."""
        width = min(-(-longest // self.pool.page_size), self.cache.allocator.total)
        # In a graph the block table has the width of the pool's longest text: it is not captured again for each run.
        width = 1 << max(0, width - 1).bit_length()
        known = getattr(self, "inputs", None)
        if known is None or known.rows < rows or known.width < width:
            self._new_buffers(rows, width)
        if graphs and self.graphs_wanted:
            self._capture(rows)

    def _new_buffers(self, rows: int, width: int) -> None:
        import torch  # noqa: PLC0415 - heavy

        self.graphs.clear()
        most, tokens = padded_rows(rows + MAX_DRAFT_TOKENS), self.max_tokens
        largest = StepLayout(
            decode_rows=most, kept=most + tokens, width=width, prefill_rows=rows, prefill_tokens=tokens, copies=rows,
            draws=most + rows,
        )  # fmt: skip
        words = sum(largest.sizes.values())
        pinned = self.device.startswith("cuda")

        def host(size: int) -> torch.Tensor:
            return torch.zeros(size, dtype=torch.int64, pin_memory=pinned)

        self.inputs = StepInputs(
            rows=rows,
            width=width,
            page_size=self.pool.page_size,
            dummy_page=self.cache.allocator.dummy,
            devices=[torch.zeros(words, dtype=torch.int64, device=each) for each in self.pool.devices],
            hosts=[host(words), host(words)],
        )
        self.newest = torch.zeros(rows + 1, dtype=torch.int64, device=self.device)
        self.outputs = [host(largest.kept), host(largest.kept)]

    def _capture(self, rows: int) -> None:
        """Capture the decode steps of all padded row counts, the largest first: the others find memory for theirs."""
        wanted = {padded_rows(each + 1) for each in range(max(rows, MAX_DRAFTED_ROWS))}
        for count in sorted(wanted - set(self.graphs), reverse=True):
            layout = StepLayout(decode_rows=count, kept=count, width=self.inputs.width)
            views = self._send(self.inputs.fill(StepPlan(0, (), (), ()), layout))
            keys = self.inputs.width * self.pool.page_size
            found = attempt(partial(self.queue.capture, partial(self._compute, views, 1, keys)))
            if isinstance(found, Failure):
                reason = " ".join(f"{found.kind}: {found.message}".split())[:MAX_REASON]
                self.notes.append(f"the paged engine runs without CUDA graphs: {reason}")
                self.graphs_wanted = False
                self.graphs.clear()
                return
            self.graphs[count] = found

    def launch(self, plan: StepPlan) -> LaunchedStep:
        """Launch a step; the host does not wait for it."""
        layout = self._layout(plan)
        filled = self.inputs.fill(plan, layout)
        self.outputs.reverse()
        tokens = self.outputs[0][: layout.kept]
        logits: list[torch.Tensor] = []
        self.queue.submit(partial(self._run, plan, filled, tokens, logits))
        return LaunchedStep(plan, tokens, self.queue.mark(), logits)

    def read(self, step: LaunchedStep) -> list[int]:
        """Wait for a launched step, and return its tokens."""
        step.mark.wait()
        self.cache.allocator.finish(step.plan.number)
        return step.tokens.tolist()

    def reset(self) -> None:
        """Forget all sequences and prefixes, after an error."""
        self.cache = PrefixCache(PageAllocator(self.cache.allocator.total), self.cache.page_size)

    def _layout(self, plan: StepPlan) -> StepLayout:
        rows = sum(entry.length for entry in plan.decode)
        kept = sum(len(entry.kept) for entry in plan.entries)
        draws = sum(len(entry.kept) for entry in plan.entries if entry.sequence.prompt.request.sampling is not None)
        if not plan.prefill and not plan.copies and padded_rows(rows) in self.graphs:
            rows = padded_rows(rows)
            return StepLayout(decode_rows=rows, kept=rows, width=self.inputs.width, draws=draws)
        return StepLayout(
            decode_rows=rows,
            kept=max(1, kept),
            width=max(len(entry.sequence.pages) for entry in plan.entries),
            prefill_rows=len(plan.prefill),
            prefill_tokens=sum(entry.length for entry in plan.prefill),
            copies=len(plan.copies),
            draws=draws,
        )

    def _run(
        self, plan: StepPlan, filled: FilledStep, tokens: "torch.Tensor", kept_logits: "list[torch.Tensor]"
    ) -> None:
        import torch  # noqa: PLC0415 - heavy

        with torch.no_grad():
            views = self._send(filled)
            layout = filled.views.layout
            for place, each in enumerate(views if plan.copies else ()):
                self.pool.copy_pages(place, each.parts["copy_sources"].long(), each.parts["copy_targets"].long())
            graph = None if plan.prefill or plan.copies else self.graphs.get(layout.decode_rows)
            if graph is not None and layout.width == self.inputs.width:
                graph.replay()
                logits, chosen = graph.outputs
            else:
                logits, chosen = self._compute(views, filled.max_query, _longest(plan.entries))
            if layout.draws:
                chosen = self._draw(logits, chosen, filled, views[0])
            tokens.copy_(chosen, non_blocking=True)
            kept_logits.append(logits)

    def _send(self, filled: FilledStep) -> list[StepViews]:
        """Copy the inputs of a step to every device; returns their views there."""
        words = filled.views.words
        for buffer in self.inputs.devices:
            buffer[:words].copy_(filled.buffer[:words], non_blocking=True)
        return [view_parts(buffer, filled.views.layout) for buffer in self.inputs.devices]

    def _compute(
        self, views: Sequence[StepViews], max_query: int, max_keys: int
    ) -> "tuple[torch.Tensor, torch.Tensor]":
        """Return the logits of the wanted tokens, and of each the best one, -1 where logits are not finite."""
        import torch  # noqa: PLC0415 - heavy

        parts = views[0].parts
        with torch.no_grad():
            ids = torch.where(parts["ids"] < 0, self.newest.index_select(0, parts["sources"]), parts["ids"])
            rows = tuple(_rows_of(each, max_query, max_keys) for each in views)
            step = PagedPass(kernel=self.choice.kernel, pool=self.pool, rows=rows)
            logits = run_model(self.model, ids, parts["positions"], parts["keep"], step)
            best, tokens = logits.amax(dim=-1), logits.argmax(dim=-1)
            self.newest.index_copy_(0, parts["kept_rows"], tokens)
            # NaN and infinity both come through the maximum, and less itself neither is zero.
            return logits, tokens.masked_fill(best - best != 0, -1)

    def _draw(
        self, logits: "torch.Tensor", chosen: "torch.Tensor", filled: FilledStep, views: StepViews
    ) -> "torch.Tensor":
        """Return the chosen tokens with those that are drawn in their places."""
        import torch  # noqa: PLC0415 - heavy

        parts = views.parts
        rows, drawn = parts["draw_rows"].long(), draw_rows(logits, filled, parts)
        self.newest.index_copy_(0, parts["kept_rows"].index_select(0, rows), drawn)
        best = chosen.index_select(0, rows)
        return chosen.index_copy(0, rows, torch.where(best < 0, best, drawn))


def _rows_of(views: StepViews, max_query: int, max_keys: int) -> PassRows:
    layout = views.layout
    return PassRows(
        slots=views.parts["slots"],
        decode=views.rows("decode", 1, max_keys) if layout.decode_rows else None,
        decode_tokens=layout.decode_rows,
        prefill=views.rows("prefill", max_query, max_keys) if layout.prefill_rows else None,
    )


def padded_rows(rows: int) -> int:
    """Return to how many rows a decode step is padded."""
    return next((each for each in GRAPH_ROWS if each >= rows), rows)


def _longest(entries: Sequence[StepEntry]) -> int:
    return max(entry.start + entry.length for entry in entries)


def open_engine(model: CausalLM, device: str, options: PagedOptions | None = None) -> PagedEngine:
    """Return the engine of a model, its pages as many as the memory allows; ValueError for what it does not take."""
    import torch  # noqa: PLC0415 - heavy

    options = options or PagedOptions()
    with paged_attention(model), torch.no_grad():
        layers = look_at_layers(model, device)
    choice = choose_kernel([_needs(call, model) for call in layers], page_size=options.page_size)
    first = torch.empty(0, device=device).device
    pages = options.pages or max(2, min(MAX_PAGES, _pages_in_memory(layers, choice.page_size * model.dtype.itemsize)))
    shapes = [(call.shape, call.device) for call in layers]
    make = partial(new_page_pool, shapes, page_size=choice.page_size, dtype=model.dtype, first=first)
    while isinstance(pool := attempt(partial(make, pages)), Failure):
        if pool.kind != OUT_OF_MEMORY or pages <= MIN_PAGES:
            raise ValueError(f"no memory for pages: {pool.kind}: {pool.message}")
        pages //= 2
    is_slow = choice.kernel.name == ReferenceKernel().name
    is_sharded = len(pool.devices) > 1
    on_cpu = device.startswith("cpu")
    notes = [f"{choice.said}: it gathers pages, which is slow"] if is_slow else []
    return PagedEngine(
        model=model,
        device=device,
        choice=choice,
        pool=pool,
        cache=PrefixCache(PageAllocator(pages), choice.page_size),
        queue=options.queue or queue_for(device),
        max_tokens=options.max_tokens or (MAX_STEP_TOKENS_CPU if on_cpu else MAX_STEP_TOKENS),
        # A CUDA graph is of one device.
        graphs_wanted=not is_sharded
        and (_wants_graphs(model, device, choice) if options.graphs is None else options.graphs),
        notes=[*notes, *([SHARDED_NOTE] if is_sharded else [])],
    )


def _pages_in_memory(layers: Sequence[LayerCall], number_bytes: int) -> int:
    """Return how many pages the memory of every device holds, where a number of each token in a page takes so much."""
    needed: dict[torch.device, int] = {}
    for call in layers:
        needed[call.device] = needed.get(call.device, 0) + call.shape.components * number_bytes
    free = {each: int(free_bytes(str(each)) * POOL_FRACTION) for each in needed}
    return min(
        (min(free[each], POOL_BYTES_CPU) if each.type == "cpu" else free[each]) // needed[each] - 1 for each in needed
    )


def _wants_graphs(model: CausalLM, device: str, choice: KernelChoice) -> bool:
    if device.startswith("cpu") or not choice.kernel.capturable:
        return False
    if any(rope.kind == "dynamic" for rope in length_dependent_ropes(text_config(model.config))):
        return False
    return bool(getattr(model, "_can_compile_fullgraph", True))


def _needs(call: LayerCall, model: CausalLM) -> LayerNeeds:
    attention = call.attention
    return LayerNeeds(
        device=call.device,
        dtype=model.dtype,
        heads=call.heads,
        kv_heads=call.shape.kv_heads,
        head_size=call.shape.key_size,
        value_size=call.shape.value_size,
        window=attention.window is not None,
        softcap=attention.softcap is not None,
        sinks=attention.sinks is not None,
    )
