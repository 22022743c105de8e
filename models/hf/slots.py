"""Where keys and values lie: a store for each prefix, a slot for each row; and plans of forward passes over them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING

from .attention import BLOCK, Board, PackPlan, Read, Slot, StepPlan, Store, Whole, Written, pack_mask
from .mapped import blank
from .prefixes import Prefix, Row, chain

if TYPE_CHECKING:
    import torch

STEP = 16
"""Tokens: the part of the slots that a decoding step reads grows by so much at a time."""
TOGETHER = 128
"""Tokens of one text, or of texts below one prefix, that are attended together; more would waste work on what masks
hide, fewer would make small products."""
TOGETHER_ELSEWHERE = 1024
"""The same where there is no CPU; not measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What keys and values of a model look like."""

    layers: int
    heads: int
    key_heads: int
    head_size: int
    dtype: "torch.dtype"
    device: str

    @property
    def token_bytes(self) -> int:
        """Bytes of a token's keys and values in all layers."""
        return 2 * self.layers * self.key_heads * self.head_size * self.dtype.itemsize


@dataclass(frozen=True, slots=True)
class Piece:
    """Some tokens of a prefix or of a row's tail, on their way through the model."""

    ids: Sequence[int]
    position: int
    """Of the first of them in its prompt."""
    above: tuple[Prefix, ...]
    store: Store
    """Where they go."""
    offset: int
    """How many tokens of `store` come before them."""
    row: Row | None
    """Whose next token the last of them gives; None inside prefixes and tails."""


@dataclass(slots=True)
class Slots:
    """Rows that are being answered; row `k` has slot `k`."""

    shape: Shape
    keys: "torch.Tensor"
    """See `StepPlan`; never holds NaN, which would come through any mask."""
    values: "torch.Tensor"
    rows: list[Row] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    """Tokens in each slot."""
    layout: "Layout | None" = None
    """Of the rows as they are; None after a change."""

    def add(self, row: Row) -> Slot:
        """Give `row` a slot and return it."""
        self.rows.append(row)
        self.lengths.append(len(row.tail))
        self.layout = None
        return Slot(self.keys[:, len(self.rows) - 1], self.values[:, len(self.rows) - 1])

    def remove(self, row: Row) -> None:
        """Free the slot of `row` for the last one."""
        slot, last = self.rows.index(row), len(self.rows) - 1
        if slot != last:
            used = self.lengths[last]
            blocks = -(-used // BLOCK)
            self.keys[:, slot, :, :blocks] = self.keys[:, last, :, :blocks]
            self.values[:, slot, :, :used] = self.values[:, last, :, :used]
            self.rows[slot], self.lengths[slot] = self.rows[last], used
        self.rows.pop()
        self.lengths.pop()
        self.layout = None

    def clean(self, row: Row) -> None:
        """Clear the slot of a row whose numbers are not finite."""
        slot = self.rows.index(row)
        self.keys[:, slot] = 0.0
        self.values[:, slot] = 0.0


@dataclass(frozen=True, slots=True)
class Layout:
    """How the rows of a decoding step stand: in the order of the trie, each prefix over neighbours."""

    order: tuple[int, ...]
    """The slot of each row of the step."""
    ranges: tuple[tuple[Prefix, int, int], ...]
    """Each prefix and the rows below it, first and last."""
    shared: int
    """Prefix tokens of the longest."""


def new_slots(shape: Shape, count: int, length: int) -> Slots:
    """Return `count` free slots of at least `length` tokens."""
    blocks = whole_blocks(length) // BLOCK
    first = (shape.layers, count, shape.key_heads)
    return Slots(
        shape=shape,
        keys=_zeros(shape, (*first, blocks, shape.head_size, BLOCK)),
        values=_zeros(shape, (*first, blocks * BLOCK, shape.head_size)),
    )


def whole_blocks(tokens: int) -> int:
    """Return how many tokens a slot for so many has."""
    return -(-tokens // BLOCK) * BLOCK


def _zeros(shape: Shape, size: tuple[int, ...]) -> "torch.Tensor":
    import torch  # noqa: PLC0415 - heavy

    if shape.device.startswith("cpu"):
        return blank(size, shape.dtype)
    return torch.zeros(size, dtype=shape.dtype, device=shape.device)


def new_store(shape: Shape, prefix: Prefix) -> Whole:
    """Return the memory of a prefix, still to be filled."""
    import torch  # noqa: PLC0415 - heavy

    size = (shape.layers, 2, shape.key_heads, prefix.end - prefix.start, shape.head_size)
    return Whole(torch.empty(size, dtype=shape.dtype, device=shape.device))


def new_board(shape: Shape, tokens: int, seen: int) -> Board:
    """Return the board of a step of so many tokens, each of which sees up to `seen` others."""
    import torch  # noqa: PLC0415 - heavy

    size = (shape.key_heads, tokens, shape.heads // shape.key_heads)
    return Board(
        asked=torch.empty(*size, shape.head_size, dtype=shape.dtype, device=shape.device),
        scores=torch.full((*size, seen), float("-inf"), device=shape.device),
        weights=torch.empty(*size, seen, dtype=shape.dtype, device=shape.device),
        answers=torch.empty(*size, shape.head_size, dtype=shape.dtype, device=shape.device),
    )


def missing(rows: Sequence[Row]) -> list[Prefix]:
    """Return the prefixes above `rows` that are not in memory, each after its parent."""
    found: dict[Prefix, None] = {}
    for row in rows:
        for prefix in chain(row.prefix):
            if prefix.store is None:
                found[prefix] = None
    return list(found)


def pieces_of(slots: Slots, rows: Sequence[Row]) -> list[Piece]:
    """Give `rows` their slots and return all that is to be computed for them, every prefix before what is below it."""
    pieces: list[Piece] = []
    for row in rows:
        above: list[Prefix] = []
        for prefix in chain(row.prefix):
            if prefix.store is None:
                prefix.store = new_store(slots.shape, prefix)
                ids = prefix.ids[prefix.start : prefix.end]
                pieces.append(Piece(ids, prefix.start, tuple(above), prefix.store, 0, None))
            above.append(prefix)
        pieces.append(Piece(row.tail, row.start, tuple(above), slots.add(row), 0, row))
    return pieces


def packs_of(pieces: Sequence[Piece], most: int) -> list[list[Piece]]:
    """Return `pieces` in packs of at most `most` tokens, cutting those that do not fit."""
    packs: list[list[Piece]] = [[]]
    room = most
    for piece in pieces:
        done = 0
        while done < len(piece.ids):
            if room == 0:
                packs.append([])
                room = most
            end = min(len(piece.ids), done + room)
            row = piece.row if end == len(piece.ids) else None
            packs[-1].append(
                Piece(piece.ids[done:end], piece.position + done, piece.above, piece.store, piece.offset + done, row)
            )
            room -= end - done
            done = end
    return packs


def plan_pack(shape: Shape, pack: Sequence[Piece]) -> PackPlan:
    """Return who writes and reads what in a forward pass over `pack`."""
    written: list[Written] = []
    first = 0
    for piece in pack:
        last = first + len(piece.ids)
        written.append(Written(first, last, piece.store, piece.offset))
        first = last
    groups: list[list[Piece]] = []
    sizes: list[int] = []
    most = TOGETHER if shape.device.startswith("cpu") else TOGETHER_ELSEWHERE
    # Cut, the later parts of a text see the earlier ones in its store.
    for piece in (part for whole in pack for parts in packs_of([whole], most) for part in parts):
        joins = piece.row is not None and piece.offset == 0 and bool(piece.above) and bool(groups)
        before = groups[-1][-1] if groups else piece
        if (
            joins
            and before.row is not None
            and before.offset == 0
            and before.above == piece.above
            and sizes[-1] + len(piece.ids) <= most
        ):
            groups[-1].append(piece)
            sizes[-1] += len(piece.ids)
        else:
            groups.append([piece])
            sizes.append(len(piece.ids))
    return PackPlan(tuple(written), tuple(_reads(shape, groups)))


def _reads(shape: Shape, groups: Sequence[Sequence[Piece]]) -> list[Read]:
    reads: list[Read] = []
    first = 0
    for group in groups:
        head = group[0]
        past: list[tuple[Store, int]] = [
            (each.store, each.end - each.start) for each in head.above if each.store is not None
        ]
        if head.offset:
            past.append((head.store, head.offset))
        lengths = tuple(len(each.ids) for each in group)
        last = first + sum(lengths)
        mask = pack_mask(sum(count for _, count in past), lengths, shape.heads // shape.key_heads, shape.dtype)
        reads.append(Read(first, last, tuple(past), mask.to(shape.device)))
        first = last
    return reads


def lay_out(slots: Slots) -> Layout:
    """Return the order of the rows in the decoding steps until they change."""
    if slots.layout is None:
        order = sorted(range(len(slots.rows)), key=lambda slot: slots.rows[slot].order)
        places: dict[Prefix, list[int]] = {}
        for place, slot in enumerate(order):
            for prefix in chain(slots.rows[slot].prefix):
                places.setdefault(prefix, []).append(place)
        slots.layout = Layout(
            order=tuple(order),
            ranges=tuple((prefix, found[0], found[-1] + 1) for prefix, found in places.items()),
            shared=max((prefix.end for prefix in places), default=0),
        )
    return slots.layout


def plan_step(slots: Slots, counts: Sequence[int]) -> StepPlan:
    """Return who reads what in a forward pass over the newest tokens of each row, `counts` of them."""
    import torch  # noqa: PLC0415 - heavy

    layout, shape = lay_out(slots), slots.shape
    starts = list(accumulate(counts, initial=0))
    owners = [slot for slot, count in zip(layout.order, counts, strict=True) for _ in range(count)]
    places = [
        slots.lengths[slot] + each for slot, count in zip(layout.order, counts, strict=True) for each in range(count)
    ]
    longest = min(-(-(max(places) + 1) // STEP) * STEP, slots.values.shape[3])
    board = new_board(shape, len(owners), layout.shared + longest)
    spans = [
        board.span(starts[first], starts[last], prefix.start, prefix.store)
        for prefix, first, last in layout.ranges
        if prefix.store is not None
    ]
    hidden = torch.arange(longest)[None] > torch.tensor(places)[:, None]
    mask = torch.zeros(hidden.shape).masked_fill(hidden, float("-inf")).to(shape.device)
    key_bags, value_bags = _bags(slots, owners, places, longest)
    return StepPlan(
        keys=slots.keys,
        values=slots.values,
        slots=torch.tensor(owners, device=shape.device),
        places=torch.tensor(places, device=shape.device),
        key_bags=key_bags,
        value_bags=value_bags,
        spans=tuple(spans),
        board=board,
        mask=mask[:, None],
    )


def _bags(
    slots: Slots, owners: Sequence[int], places: Sequence[int], longest: int
) -> "tuple[torch.Tensor, torch.Tensor]":
    """Return the bags of keys and of values of `StepPlan` for tokens at `places` in the slots `owners`."""
    import torch  # noqa: PLC0415 - heavy

    shape = slots.shape
    group = shape.heads // shape.key_heads
    count = torch.arange(max(longest, shape.head_size, shape.key_heads), dtype=torch.int32)
    # (key heads, tokens): whose part of the slots it is.
    part = torch.tensor(owners, dtype=torch.int32)[None] * shape.key_heads + count[: shape.key_heads, None]
    block = part[..., None] * slots.keys.shape[3] + count[: -(-longest // BLOCK)]
    numbers = block[..., None] * shape.head_size + count[: shape.head_size]
    key_bags = numbers[:, :, None].expand(-1, -1, group, -1, -1).reshape(-1, shape.head_size)
    seen = count[:longest].minimum(torch.tensor(places, dtype=torch.int32)[:, None])
    rows = part[..., None] * slots.values.shape[3] + seen
    value_bags = rows[:, :, None].expand(-1, -1, group, -1).reshape(-1, longest)
    return key_bags.to(shape.device), value_bags.to(shape.device)
