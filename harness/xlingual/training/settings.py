"""Settings of a training that depend on the machine: none of them changes what is learnt, but for rounding."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..errors import UsageError
from ..tune.hold_out.records import ExportedWeights
from ..tune.records import EncodedRows, MixPlan

CHECKPOINTS = "checkpoints"
"""Folder of a run that holds its checkpoints."""
PROVENANCE = "provenance.json"
"""File of the TuneRecord, in the folder of an exported model or adapter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainSettings:
    """Memory, speed and output of a training."""

    pack_length: int = 8192
    """Capacity of a pack in tokens: what a rank computes in one micro-batch."""
    checkpoint_every: int = 100
    """Steps."""
    keep: int = 2
    """Newest checkpoints that are kept; the one with the lowest held-out loss is kept besides."""
    log_every: int = 10
    """Steps."""
    dtype: str | None = None
    """Of forward and backward passes: float32 or bfloat16; None: bfloat16 on a GPU, else float32."""
    device: str | None = None
    compile: bool = False
    """torch.compile every layer: a minute at the start, faster steps on a GPU."""
    activation_checkpointing: bool = False
    """Recompute the activations of layers in the backward pass: less memory, a third more computation."""
    cpu_offload: bool = False
    """Keep the state of AdamW in the memory of the CPU but for the time of its step."""
    max_steps: int | None = None
    """End after so many steps, counted from the first of the training; None: those of the plan."""
    merge: bool = False
    """Export the merged model of an adapter, too."""
    samples: int = 0
    """Held-out sentences that are translated at each checkpoint."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainingJob:
    """A plan, the files that its training reads, and the folder that it writes to."""

    plan: MixPlan
    rows: EncodedRows
    weights: Path
    """Folder of the base model in the transformers layout: configuration and weights."""
    tokenizer: Path
    """Folder of its tokenizer's files."""
    folder: Path
    """Of the run: log, checkpoints, exported model. With ranks on several machines, a folder that all of them share."""
    settings: TrainSettings
    held_out: EncodedRows | None = None
    """Rows that are evaluated at each checkpoint; None: none."""
    end_token: int | None = None
    """The token that ends an answer in the rows, for the exported model to end its own with; None: not known."""
    guard: Callable[[], None] = lambda: None
    """Called before a checkpoint and the end of the training are written: raises where another run has the folder."""

    @property
    def last_step(self) -> int:
        """Steps after which the training ends."""
        return limit_steps(self.plan, self.settings.max_steps)

    @property
    def model_folder(self) -> Path:
        """Folder of the exported model."""
        return self.folder / export_name(self.plan, self.settings.max_steps)

    @property
    def adapter_folder(self) -> Path:
        """Folder of the exported adapter of a LoRA or DoRA training."""
        return self.folder / f"{export_name(self.plan, self.settings.max_steps)}-adapter"


def limit_steps(plan: MixPlan, max_steps: int | None) -> int:
    """Return the steps of a training of `plan` that ends after `max_steps`, if not before."""
    return plan.steps if max_steps is None else min(plan.steps, max_steps)


def export_name(plan: MixPlan, max_steps: int | None) -> str:
    """Return the name of the exported model: that of the recipe, with the step where it is not the last: mine-step-20.

    So nobody takes a part of a training for the whole, and the whole does not replace it. Where rows are held out, the
    weights may be those of an earlier step: mine-best-to-step-20.
    """
    last = limit_steps(plan, max_steps)
    if last == plan.steps:
        return plan.recipe.name
    until = "best-to-step" if plan.recipe.exported_weights is ExportedWeights.BEST else "step"
    return f"{plan.recipe.name}-{until}-{last}"


def refuse_earlier_end(done: int, job: TrainingJob) -> None:
    """Raise UsageError where a training that is to end after some steps has more of them `done` already."""
    if done > job.last_step:
        raise UsageError(
            f"{done:,} steps are done already, more than {job.last_step:,}",
            where="--max-steps",
            hint="leave it out to go on, or add --fresh to begin anew",
        )
