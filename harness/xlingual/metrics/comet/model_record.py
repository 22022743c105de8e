"""What `comet.json` of a converted COMET model says: its shape, its rules, and which bytes it was made of."""

from dataclasses import dataclass

SCHEMA = 1
"""Of `comet.json`."""
RECORD, WEIGHTS, TOKENIZER = "comet.json", "model.safetensors", "tokenizer.json"
"""The files of a converted model."""


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
    """Between the layers of the estimator: a key of `scorer.ACTIVATIONS`."""
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
