"""What `comet.json` of a converted COMET model says: its shape, its rules, and which bytes it was made of."""

from dataclasses import dataclass

from ...identity import Json, content_hash
from ...serial import to_json

SCHEMA = 1
"""Of `comet.json`."""
RECORD, WEIGHTS, TOKENIZER = "comet.json", "model.safetensors", "tokenizer.json"
"""The files of a converted model."""
ACTIVATIONS = ("tanh", "sigmoid", "relu", "gelu")
"""Of estimators, by the lower-case name in a checkpoint's settings."""
TRANSFORMATIONS = ("softmax", "sparsemax")
_MOST_LAYERS = 1000
_FEWEST_POSITIONS = 8
"""Of which two are those of no token, two those of special ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderShape:
    """Sizes of an XLM-R encoder."""

    layers: int
    heads: int
    width: int
    inner: int
    """Width between the two products of the feed-forward block."""
    vocabulary: int
    positions: int
    """Rows of the table of positions: 514, of which two are never those of a token."""
    padding: int
    """Id of the padding token, and position of what has none."""
    norm_epsilon: float

    @property
    def longest_text(self) -> int:
        """Most tokens of a text, its two special ones included: 510, as the original cuts."""
        return self.positions - 4

    @property
    def longest_input(self) -> int:
        """Most tokens of several texts read as one: 512."""
        return self.positions - 2


@dataclass(frozen=True, slots=True, kw_only=True)
class CometRecord:
    """A converted COMET model."""

    schema: int
    name: str
    """Of the metric."""
    unified: bool
    """As of a PublishedModel."""
    encoder: EncoderShape
    transformation: str
    """From scalars to weights of layers: "softmax" or "sparsemax"."""
    layer_norm: bool
    """Whether each layer is normalised over all tokens and channels of a text before the mix."""
    hidden_sizes: tuple[int, ...]
    """Of the estimator, without input and output."""
    activation: str
    """Between the layers of the estimator: one of ACTIVATIONS."""
    final_activation: str | None
    """After the last of them."""
    repository: str | None
    """Where the checkpoint was published; None: it is not the published one."""
    revision: str | None
    checkpoint_sha256: str
    """Of the checkpoint that the weights are from."""
    licence: str | None
    """As published; None: not known."""
    weights_sha256: str
    weights_bytes: int
    """Of `model.safetensors`."""
    tokenizer_sha256: str
    """Of `tokenizer.json`."""

    @property
    def rules(self) -> str:
        """Content hash of how the weights are read, 8 hex digits: with other rules they give other numbers."""
        hidden: list[Json] = list(self.hidden_sizes)
        words: list[Json] = [self.unified, self.transformation, self.layer_norm, self.activation, self.final_activation]
        return content_hash([to_json(self.encoder), hidden, words])[:8]


def find_fault(record: CometRecord) -> str | None:
    """Return what of a record's rules no scorer can follow, or None; whether they fit the weights is for the loader."""
    shape = record.encoder
    sizes = (shape.heads, shape.width, shape.inner, shape.vocabulary, *record.hidden_sizes)
    if min(sizes) < 1 or not 1 <= shape.layers <= _MOST_LAYERS or shape.width % shape.heads:
        return "the sizes are those of no encoder"
    if shape.positions < _FEWEST_POSITIONS or not 0 <= shape.padding < shape.vocabulary or shape.norm_epsilon <= 0:
        return "positions, padding or norm_epsilon are those of no encoder"
    if record.transformation not in TRANSFORMATIONS:
        return f"no such transformation: {record.transformation!r}"
    words = (record.activation, *([] if record.final_activation is None else [record.final_activation]))
    unknown = next((word for word in words if word not in ACTIVATIONS), None)
    return None if unknown is None else f"no such activation: {unknown!r}"
