"""How a plan is trained on the machine at hand: nothing here changes what is learnt, but for rounding."""

from dataclasses import dataclass
from pathlib import Path

from ..tune.records import EncodedRows, MixPlan

CHECKPOINTS = "checkpoints"
"""Folder of a run that holds them."""
PROVENANCE = "provenance.json"
"""The TuneRecord beside the weights of a finished model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSettings:
    """The machine's side of a training."""

    pack_length: int = 8192
    """Most tokens of a pack: of what a rank computes at once."""
    checkpoint_every: int = 100
    """Steps."""
    keep: int = 2
    """Newest checkpoints that stay."""
    log_every: int = 10
    """Steps."""
    dtype: str | None = None
    """Of what is computed: float32 or bfloat16; None: bfloat16 on a GPU, else float32. Trained weights are float32."""
    device: str | None = None
    compile: bool = False
    """Compile every layer: a minute at the start, faster steps on a GPU."""
    activation_checkpointing: bool = False
    """Compute layers twice instead of keeping what is inside them: less memory, a third more work."""
    merge: bool = False
    """Write the merged model of an adapter, too."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainingJob:
    """A plan with all that its training reads, and where it writes."""

    plan: MixPlan
    rows: EncodedRows
    weights: Path
    """Folder of the base model's configuration and weights in the transformers layout."""
    tokenizer: Path
    """Folder of its tokenizer's files."""
    folder: Path
    """Of the run: log, checkpoints, and the model in the end. On many machines, one that all of them see."""
    settings: TrainSettings

    @property
    def model_folder(self) -> Path:
        """Where the finished model lies."""
        return self.folder / self.plan.recipe.name

    @property
    def adapter_folder(self) -> Path:
        """Where the adapter of a LoRA or DoRA training lies."""
        return self.folder / f"{self.plan.recipe.name}-adapter"
