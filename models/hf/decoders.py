"""Models whose attention may be replaced by ours: which they are, and their forward passes over packs and steps."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

from .attention import NAME, PackPlan, StepPlan, register
from .generation import Engine
from .prefixes import Row
from .slots import Piece, Shape, Slots, lay_out, plan_pack, plan_step

if TYPE_CHECKING:
    import torch


BLOCK = 64
"""Tokens of the vocabulary whose scores are searched at once."""


class Output(Protocol):
    """What is used of a forward pass."""

    @property
    def logits(self) -> "torch.Tensor":
        """Scores, (1, tokens, vocabulary)."""
        ...


class Configuration(Protocol):
    """What is used of a configuration; more is looked for by name, for no two architectures have the same fields."""

    @property
    def num_hidden_layers(self) -> int:
        """The number of layers."""
        ...

    @property
    def num_attention_heads(self) -> int:
        """The number of query heads."""
        ...

    @property
    def hidden_size(self) -> int:
        """The width of the model."""
        ...

    @property
    def vocab_size(self) -> int:
        """The number of embeddings."""
        ...

    @property
    def _attn_implementation(self) -> str: ...


class Decoder(Protocol):
    """What is used of a transformers causal language model besides `generate`."""

    @property
    def config(self) -> Configuration:
        """Its configuration."""
        ...

    @property
    def dtype(self) -> "torch.dtype":
        """Of its weights."""
        ...

    def set_attn_implementation(self, name: str) -> None:
        """Choose the function that computes attention."""
        ...

    def __call__(
        self,
        *,
        input_ids: "torch.Tensor",
        attention_mask: "torch.Tensor",
        use_cache: bool,
        position_ids: "torch.Tensor | None" = None,
        logits_to_keep: "torch.Tensor | int" = 0,
        plan: PackPlan | StepPlan | None = None,
    ) -> Output:
        """Compute a forward pass."""
        ...


@dataclass(frozen=True, slots=True)
class Scored:
    """What the newest scores of a row say."""

    row: Row
    token: int
    """The best one."""
    finite: bool


def decoder_of(engine: Engine) -> Decoder:
    """Return the model of `engine` as what else it is."""
    return cast(Decoder, engine.model)


def shape_of(engine: Engine) -> Shape:
    """Return the shape of the keys and values of a model that `is_plain`."""
    decoder = decoder_of(engine)
    config = decoder.config
    heads = config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    key_heads = getattr(config, "num_key_value_heads", None) or heads
    return Shape(
        layers=config.num_hidden_layers,
        heads=heads,
        key_heads=int(key_heads),
        head_size=int(size),
        dtype=decoder.dtype,
        device=engine.device,
    )


@contextmanager
def our_attention(engine: Engine) -> Iterator[None]:
    """Let the model's layers call our attention, and its own again afterwards."""
    decoder = decoder_of(engine)
    own = decoder.config._attn_implementation
    register()
    decoder.set_attn_implementation(NAME)
    try:
        yield
    finally:
        decoder.set_attn_implementation(own)


def score_pack(engine: Engine, shape: Shape, pack: Sequence[Piece]) -> "tuple[list[Row], torch.Tensor]":
    """Compute a pack and fill the stores of its pieces.

    Returns the rows that end in it and the scores of their next tokens, (rows, vocabulary).
    """
    ids = [token for piece in pack for token in piece.ids]
    positions = [piece.position + place for piece in pack for place in range(len(piece.ids))]
    rows: list[Row] = []
    ends: list[int] = []
    seen = 0
    for piece in pack:
        seen += len(piece.ids)
        if piece.row is not None:
            rows.append(piece.row)
            ends.append(seen - 1)
    return rows, forward(engine, ids, positions, keep=ends or [0], plan=plan_pack(shape, pack))


def score_step(
    engine: Engine, slots: Slots, drafts: Sequence[Sequence[int]] | None = None
) -> "tuple[list[Row], torch.Tensor]":
    """Compute the newest token of every row and the draft behind it; `drafts` stand in the order of the layout.

    Returns the row of each token and the scores of what comes after it, (tokens, vocabulary).
    """
    rows = [slots.rows[slot] for slot in lay_out(slots).order]
    asked = [[row.new[-1], *draft] for row, draft in zip(rows, drafts or [()] * len(rows), strict=True)]
    plan = plan_step(slots, [len(each) for each in asked])
    starts = [row.start + slots.lengths[slot] for row, slot in zip(rows, lay_out(slots).order, strict=True)]
    ids = [token for each in asked for token in each]
    positions = [start + place for start, each in zip(starts, asked, strict=True) for place in range(len(each))]
    scores = forward(engine, ids, positions, keep=None, plan=plan)
    slots.lengths = [length + 1 for length in slots.lengths]
    return [row for row, each in zip(rows, asked, strict=True) for _ in each], scores


def choose(rows: Sequence[Row], scores: "torch.Tensor") -> list[Scored]:
    """Return the best token of each row; NaN and infinity both come through the maximum."""
    best = scores.amax(dim=-1)
    tokens, finite = _argmax(scores).tolist(), best.isfinite().tolist()
    return [Scored(*each) for each in zip(rows, tokens, finite, strict=False)]


def _argmax(scores: "torch.Tensor") -> "torch.Tensor":
    """Return the best token of each row of (rows, vocabulary), the first one of equals."""
    import torch  # noqa: PLC0415 - heavy

    if scores.is_contiguous():
        return scores.argmax(dim=-1)
    # Down long columns the library's search is slow, but not its maximum: of blocks first, then within the best one.
    columns = scores.t()
    size = min(BLOCK, len(columns))
    count = len(columns) // size
    blocks = columns[: count * size].view(count, size, -1)
    best = torch.cat([blocks.amax(1), columns[count * size :]]).argmax(0)
    inside = blocks[best.clamp(max=count - 1), :, torch.arange(len(scores))].argmax(1)
    return torch.where(best < count, best * size + inside, best - count + count * size)


def forward(
    engine: Engine,
    ids: Sequence[int],
    positions: Sequence[int],
    *,
    keep: Sequence[int] | None,
    plan: PackPlan | StepPlan,
) -> "torch.Tensor":
    """Compute a forward pass; returns the scores after the tokens at `keep` (None: all), (tokens, vocabulary)."""
    import torch  # noqa: PLC0415 - heavy

    with torch.inference_mode():
        if engine.lean is not None:
            return engine.lean.scores(ids, positions, keep, plan)
        decoder = decoder_of(engine)
        output = decoder(
            input_ids=torch.tensor([ids], device=engine.device),
            position_ids=torch.tensor([positions], device=engine.device),
            # A mask of four dimensions is taken as it is: the model makes none of its own.
            attention_mask=torch.zeros(1, 1, 1, 1, dtype=decoder.dtype, device=engine.device),
            use_cache=False,
            logits_to_keep=0 if keep is None else torch.tensor(keep, device=engine.device),
            plan=plan,
        )
    return output.logits[0]
