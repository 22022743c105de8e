"""Pages of the KV cache: which are free, which rows use them, and the tensors that hold their keys and values.

    page 0  1  2  3  4  5  6        page size 256, 6 pages and the dummy page, which is the last one
         A  A  .  B  t  .  -        two rows hold pages, `t` is kept by the prefix cache, `.` is free

A page that the step in flight still writes to is not given away before that step is finished: a row that stopped is
found out one step late, and is in the next step already.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

COPY_BYTES = 2**28
"""Most memory that a copy of pages takes on its way."""


@dataclass(slots=True)
class PageAllocator:
    """Reference counts of the pages, and the free list."""

    total: int
    """Without the dummy page."""
    rows: list[int] = field(init=False)
    """By page: how many rows use it."""
    cached: list[bool] = field(init=False)
    """By page: whether the prefix cache keeps it."""
    written: list[int] = field(init=False)
    """By page: the last step that writes to it."""
    free: list[int] = field(init=False)
    """The next one is last: the page that was freed last is the first to be used again."""
    late: list[int] = field(init=False)
    """Pages that nobody uses and a step in flight still writes to."""
    finished: int = -1
    """The last step whose results are known."""

    def __post_init__(self) -> None:
        """Start with all pages free."""
        self.rows = [0] * self.total
        self.cached = [False] * self.total
        self.written = [-1] * self.total
        self.free = list(range(self.total))[::-1]
        self.late = []

    @property
    def dummy(self) -> int:
        """The page that padding writes to and reads from."""
        return self.total

    def allocate(self) -> int | None:
        """Return a page for one row, None where none is free."""
        if not self.free:
            return None
        page = self.free.pop()
        self.rows[page] = 1
        return page

    def retain(self, page: int) -> None:
        """Count one more row that uses a page."""
        self.rows[page] += 1

    def release(self, page: int) -> None:
        """Count one row less; the page is free when no row uses it and the prefix cache does not keep it."""
        self.rows[page] -= 1
        self._free_if_unused(page)

    def keep(self, page: int) -> None:
        """Note that the prefix cache keeps a page."""
        self.cached[page] = True

    def drop(self, page: int) -> None:
        """Note that the prefix cache does not keep a page any more."""
        self.cached[page] = False
        self._free_if_unused(page)

    def finish(self, step: int) -> None:
        """Note that a step is finished: what it wrote to may be used again."""
        self.finished = step
        late, self.late = self.late, []
        for page in late:
            self._free_if_unused(page)

    def _free_if_unused(self, page: int) -> None:
        if self.rows[page] == 0 and not self.cached[page]:
            (self.late if self.written[page] > self.finished else self.free).append(page)


@dataclass(frozen=True, slots=True)
class LayerShape:
    """What a call of attention, of which a layer as a rule has one, keeps of a token."""

    kv_heads: int
    key_size: int
    value_size: int

    @property
    def components(self) -> int:
        """Numbers of a token: of its keys and values together."""
        return self.kv_heads * (self.key_size + self.value_size)


@dataclass(frozen=True, slots=True)
class LayerPages:
    """Keys and values of a layer, (pages, page size, KV heads, head size)."""

    keys: "torch.Tensor"
    values: "torch.Tensor"
    key_slots: "torch.Tensor"
    """The keys as (slots, KV heads, head size): slot `page * page size + offset` is a token's."""
    value_slots: "torch.Tensor"


@dataclass(frozen=True, slots=True)
class PagePool:
    """Keys and values of all layers; layers of one shape lie in one tensor, so that one copy moves a page of them."""

    page_size: int
    layers: tuple[LayerPages, ...]
    groups: "tuple[tuple[torch.Tensor, torch.Tensor], ...]"
    """Keys and values of the layers of one shape on one device, (layers, pages, page size, KV heads, head size)."""
    devices: "tuple[torch.device, ...]"
    """First where a pass begins and ends, then those of other layers."""
    places: tuple[int, ...]
    """By layer: which of `devices` it is on."""

    def copy_pages(self, place: int, sources: "torch.Tensor", targets: "torch.Tensor") -> None:
        """Copy pages over others, in the layers on a device, one of `devices`; both are int64 and there, too."""
        for group in self.groups:
            for side in group if group[0].device == self.devices[place] else ():
                page_bytes = side[:, 0].numel() * side.element_size()
                at_once = max(1, COPY_BYTES // page_bytes)
                for first in range(0, len(sources), at_once):
                    part = slice(first, first + at_once)
                    side.index_copy_(1, targets[part], side.index_select(1, sources[part]))


def new_page_pool(
    shapes: "Sequence[tuple[LayerShape, torch.device]]",
    pages: int,
    *,
    page_size: int,
    dtype: "torch.dtype",
    first: "torch.device",
) -> PagePool:
    """Return a pool of `pages` pages and the dummy page, uninitialized but for the dummy page.

    Each layer is given with its device; a pass begins and ends on the `first` one.
    """
    import torch  # noqa: PLC0415 - heavy

    layers: dict[int, LayerPages] = {}
    groups = []
    for shape, device in dict.fromkeys(shapes):
        members = [index for index, each in enumerate(shapes) if each == (shape, device)]
        sizes = (shape.key_size, shape.value_size)
        keys, values = (
            torch.empty(len(members), pages + 1, page_size, shape.kv_heads, size, dtype=dtype, device=device)
            for size in sizes
        )
        keys[:, pages].zero_()
        values[:, pages].zero_()
        groups.append((keys, values))
        for place, layer in enumerate(members):
            key, value = keys[place], values[place]
            layers[layer] = LayerPages(key, value, key.flatten(0, 1), value.flatten(0, 1))
    devices = tuple(dict.fromkeys([first, *(device for _, device in shapes)]))
    return PagePool(
        page_size=page_size,
        layers=tuple(layers[index] for index in range(len(shapes))),
        groups=tuple(groups),
        devices=devices,
        places=tuple(devices.index(device) for _, device in shapes),
    )
