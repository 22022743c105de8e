"""What a step reads besides weights and pages, in one buffer of integers that is copied to the device at once.

    ids positions slots sources | keep kept_rows | cu_seqlens seqused block_table, twice | copies | draws

The buffer on the device is the same in every step, so a CUDA graph finds its inputs where they were when it was
captured. On the host there are two by turns: one is filled while the other is still on its way.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING

from xlingual.sampling import Sampling

from ..sampling import MIN_TEMPERATURE, draw_key
from .kernels import QueryRows
from .sequences import StepEntry, StepPlan

if TYPE_CHECKING:
    import torch

FROM_DEVICE = -1
"""In place of a token that the host has not seen yet: it is the newest of its row on the device."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepLayout:
    """How many of everything a step has: it decides where in the buffer its inputs are."""

    decode_rows: int
    kept: int
    width: int
    """Pages of a line of the block table."""
    prefill_rows: int = 0
    prefill_tokens: int = 0
    copies: int = 0
    draws: int = 0

    @property
    def tokens(self) -> int:
        """Of the forward pass."""
        return self.decode_rows + self.prefill_tokens

    @property
    def sizes(self) -> dict[str, int]:
        """Of each part, in order; first those of 64 bits. What a graph reads comes before copies and draws."""
        rows, prefill = self.decode_rows, self.prefill_rows
        return {
            "ids": self.tokens,
            "positions": self.tokens,
            "slots": self.tokens,
            "sources": self.tokens,
            "keep": self.kept,
            "kept_rows": self.kept,
            "decode_cu_seqlens": rows + 1,
            "decode_seqused": rows,
            "decode_table": rows * self.width,
            "prefill_cu_seqlens": prefill + 1,
            "prefill_seqused": prefill,
            "prefill_table": prefill * self.width,
            "copy_sources": self.copies,
            "copy_targets": self.copies,
            "draw_rows": self.draws,
            "draw_keys": self.draws * 2,
            "top_k": self.draws,
            "temperature": self.draws,
            "top_p": self.draws,
            "min_p": self.draws,
        }


LONG_PARTS = 6
"""The first parts have 64 bits."""
FLOAT_PARTS = ("temperature", "top_p", "min_p")


@dataclass(frozen=True, slots=True)
class StepViews:
    """The parts of a buffer by name, each of one dimension."""

    layout: StepLayout
    parts: "dict[str, torch.Tensor]"
    words: int
    """Of 64 bits, from the start of the buffer to the end of the last part."""

    def rows(self, part: str, max_query: int, max_keys: int) -> QueryRows:
        """Return the rows of an attention call: `part` is decode or prefill."""
        table = self.parts[f"{part}_table"].view(-1, self.layout.width)
        return QueryRows(self.parts[f"{part}_cu_seqlens"], self.parts[f"{part}_seqused"], table, max_query, max_keys)


def view_parts(buffer: "torch.Tensor", layout: StepLayout) -> StepViews:
    """Return the parts of a buffer of 64-bit integers under a layout."""
    import torch  # noqa: PLC0415 - heavy

    sizes = layout.sizes
    names = list(sizes)
    longs = sum(sizes[name] for name in names[:LONG_PARTS])
    parts: dict[str, torch.Tensor] = {}
    start = 0
    for name in names[:LONG_PARTS]:
        parts[name] = buffer[start : start + sizes[name]]
        start += sizes[name]
    rest, start = buffer[longs:].view(torch.int32), 0
    for name in names[LONG_PARTS:]:
        part = rest[start : start + sizes[name]]
        parts[name] = part.view(torch.float32) if name in FLOAT_PARTS else part
        start += sizes[name]
    return StepViews(layout, parts, longs + -(-start // 2))


@dataclass(frozen=True, slots=True)
class FilledStep:
    """A step whose inputs are in a buffer on the host."""

    views: StepViews
    buffer: "torch.Tensor"
    max_query: int
    """Of the prefill rows."""
    max_top_k: int
    """0: no row of the step has a top_k."""
    has_top_p: bool
    has_min_p: bool


@dataclass(slots=True)
class StepInputs:
    """The buffers of the steps of an engine."""

    rows: int
    """Most running sequences; one more row of the newest tokens is the padding's."""
    width: int
    """Pages of a line of the block table: of the longest text."""
    page_size: int
    dummy_page: int
    devices: "list[torch.Tensor]"
    """One on each device of the pool: all are filled from the same one on the host."""
    hosts: "list[torch.Tensor]"
    tables: "torch.Tensor" = field(init=False)
    """On the host, (rows, width): the pages of each running row."""
    held: list[tuple[list[int], int]] = field(init=False)
    """By row: the pages of the sequence in it, and how many of them are in the table."""

    def __post_init__(self) -> None:
        """Start with an empty table."""
        import torch  # noqa: PLC0415 - heavy

        self.tables = torch.zeros(self.rows, self.width, dtype=torch.int32)
        self.held = [([], 0)] * self.rows

    def fill(self, plan: StepPlan, layout: StepLayout) -> FilledStep:
        """Write the inputs of a step to a buffer on the host; `layout` may have more decode rows, for padding."""
        import torch  # noqa: PLC0415 - heavy

        self.hosts.reverse()
        buffer = self.hosts[0]
        views = view_parts(buffer, layout)

        def put(name: str, values: Sequence[int] | Sequence[float]) -> None:
            part = views.parts[name]
            part.copy_(torch.tensor(values, dtype=part.dtype))

        self._update_tables(plan)
        self._put_tokens(plan, layout, put)
        self._put_decode_rows(plan, views, put)
        self._put_prefill_rows(plan, views, put)
        put("copy_sources", [source for source, _ in plan.copies])
        put("copy_targets", [target for _, target in plan.copies])
        top_ks, top_ps, min_ps = self._put_draws(plan, put)
        longest = max((entry.length for entry in plan.prefill), default=1)
        return FilledStep(views, buffer, longest, max(top_ks, default=0), min(top_ps, default=2) < 1, any(min_ps))

    def _update_tables(self, plan: StepPlan) -> None:
        """Write the pages that rows got since their last step; a row that is new begins at its first page."""
        table = self.tables.numpy()
        for entry in plan.entries:
            pages, row = entry.sequence.pages, entry.row
            known, count = self.held[row]
            # A sequence that enters, or enters again, has a list of its own.
            if known is not pages:
                count = 0
            if count != len(pages):
                table[row, count : len(pages)] = pages[count:]
                self.held[row] = pages, len(pages)

    def _put_tokens(self, plan: StepPlan, layout: StepLayout, put: Callable[[str, Sequence[int]], None]) -> None:
        ids: list[int] = []
        positions: list[int] = []
        slots: list[int] = []
        sources: list[int] = []
        keep: list[int] = []
        kept_rows: list[int] = []
        size = self.page_size
        padding = layout.decode_rows - sum(entry.length for entry in plan.decode)
        for part, filler in ((plan.decode, padding), (plan.prefill, 0)):
            for entry in part:
                sequence, start = entry.sequence, entry.start
                is_scored = sequence.scored is not None
                if entry.length == 1 and entry.kept and not is_scored:
                    keep.append(len(ids))
                    kept_rows.append(entry.row)
                    ids.append(FROM_DEVICE if start >= sequence.known else sequence.tokens(start, start + 1)[0])
                    positions.append(start)
                    slots.append(sequence.pages[start // size] * size + start % size)
                    sources.append(entry.row)
                    continue
                keep += [len(ids) + index for index in entry.kept]
                kept_rows += [self.rows if entry.draft or is_scored else entry.row] * len(entry.kept)
                ids += tokens_of(entry)
                sources += [entry.row] * entry.length
                positions += range(entry.start, entry.start + entry.length)
                slots += slots_of(entry, size)
            keep += range(len(ids), len(ids) + filler)
            kept_rows += [self.rows] * filler
            ids += [0] * filler
            positions += [0] * filler
            slots += [self.dummy_page * size] * filler
            sources += [self.rows] * filler
        if not keep:  # in the middle of a prompt; a forward pass without logits is not worth a case of its own
            keep, kept_rows = [0], [self.rows]
        for name, values in (
            ("ids", ids), ("positions", positions), ("slots", slots), ("sources", sources), ("keep", keep),
            ("kept_rows", kept_rows),
        ):  # fmt: skip
            put(name, values)

    def _put_decode_rows(self, plan: StepPlan, views: StepViews, put: Callable[[str, Sequence[int]], None]) -> None:
        import torch  # noqa: PLC0415 - heavy

        layout = views.layout
        used = [entry.start + index + 1 for entry in plan.decode for index in range(entry.length)]
        lines = [entry.row for entry in plan.decode for _ in range(entry.length)]
        padding = layout.decode_rows - len(used)
        put("decode_cu_seqlens", range(layout.decode_rows + 1))
        put("decode_seqused", used + [1] * padding)
        table = views.parts["decode_table"].view(-1, layout.width)
        if lines:
            table[: len(lines)] = self.tables[torch.tensor(lines), : layout.width]
        table[len(lines) :] = self.dummy_page

    def _put_prefill_rows(self, plan: StepPlan, views: StepViews, put: Callable[[str, Sequence[int]], None]) -> None:
        import torch  # noqa: PLC0415 - heavy

        put("prefill_cu_seqlens", [*accumulate((entry.length for entry in plan.prefill), initial=0)])
        put("prefill_seqused", [entry.start + entry.length for entry in plan.prefill])
        if plan.prefill:
            table = views.parts["prefill_table"].view(-1, views.layout.width)
            rows = torch.tensor([entry.row for entry in plan.prefill])
            table.copy_(self.tables[rows, : views.layout.width])

    def _put_draws(
        self, plan: StepPlan, put: Callable[[str, Sequence[int] | Sequence[float]], None]
    ) -> tuple[list[int], list[float], list[float]]:
        draws = draws_of(plan)
        samplings = [sampling for _, sampling, _ in draws]
        top_ks = [each.top_k or 0 for each in samplings]
        top_ps = [2.0 if each.top_p is None or each.top_p >= 1 else each.top_p for each in samplings]
        min_ps = [each.min_p or 0.0 for each in samplings]
        put("draw_rows", [row for row, _, _ in draws])
        put("draw_keys", [word for _, sampling, step in draws for word in draw_key(sampling.seed, step)])
        put("top_k", top_ks)
        put("temperature", [max(each.temperature, MIN_TEMPERATURE) for each in samplings])
        put("top_p", top_ps)
        put("min_p", min_ps)
        return top_ks, top_ps, min_ps


def tokens_of(entry: StepEntry) -> list[int]:
    """Return the tokens of an entry, `FROM_DEVICE` for one that the host has not seen."""
    sequence, end = entry.sequence, entry.start + entry.length - len(entry.draft)
    known = [*sequence.tokens(entry.start, min(end, sequence.known))]
    return [*known, *[FROM_DEVICE] * (end - entry.start - len(known)), *entry.draft]


def slots_of(entry: StepEntry, page_size: int) -> list[int]:
    """Return where the keys and values of an entry's tokens go."""
    found: list[int] = []
    start, end = entry.start, entry.start + entry.length
    while start < end:
        page, offset = divmod(start, page_size)
        count = min(page_size - offset, end - start)
        slot = entry.sequence.pages[page] * page_size + offset
        found += range(slot, slot + count)
        start += count
    return found


def draws_of(plan: StepPlan) -> list[tuple[int, Sampling, int]]:
    """Return which of the wanted tokens of a step are drawn: the row of its logits, how, and the step of the answer."""
    found: list[tuple[int, Sampling, int]] = []
    row = 0
    for entry in plan.entries:
        sampling = entry.sequence.prompt.request.sampling
        if sampling is not None:
            found += [(row + index, sampling, entry.steps + index) for index in range(len(entry.kept))]
        row += len(entry.kept)
    return found
