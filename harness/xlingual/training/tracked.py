"""A training in a tracker: its recipe as settings, its losses and pace by step, and the record of what came out."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..serial import to_json
from ..tracking import Scalar, Tracker
from ..tune.records import MixPlan
from .observing import SourceLoss, StepReport, Throughput, TrainingSetup
from .settings import PROVENANCE


class TrackedObserver:
    """Mirrors a sitting of a training; a resumed training is mirrored from where it goes on."""

    def __init__(self, tracker: Tracker) -> None:
        """`tracker` is closed when the sitting ends, however it ends."""
        self.tracker = tracker

    def begin(self, setting: TrainingSetup) -> None:
        """Mirror what is trained, and on what."""
        place: dict[str, Scalar] = {
            "start": setting.start,
            "world_size": setting.world_size,
            "device": setting.device,
            "dtype": setting.dtype,
        }
        self.tracker.params({**_params(setting.plan), **place})

    def logged(self, reports: Sequence[StepReport], pace: Throughput) -> None:
        """Mirror every step, and the pace at the last of them."""
        for each in reports:
            values = {
                "loss": each.loss,
                "gradient_norm": each.gradient_norm,
                "learning_rate": each.learning_rate,
                "supervised": float(each.supervised),
                **_losses("source", each.by_source),
                **_losses("language", each.by_language),
            }
            self.tracker.metrics(values, each.step)
        speed = {"useful_tokens_per_second": pace.useful_tokens_per_second, "wait_share": pace.wait_share}
        if pace.mfu is not None:
            speed["mfu"] = pace.mfu
        self.tracker.metrics(speed, reports[-1].step)

    def saved(self, kind: str, folder: Path) -> None:
        """Mirror the record of a finished model or adapter; checkpoints have none."""
        if (folder / PROVENANCE).is_file():
            self.tracker.file(folder / PROVENANCE, f"{kind}/{PROVENANCE}")

    def note(self, message: str) -> None:
        """Mirror nothing: notes are for whoever sits there."""

    def end(self) -> None:
        """Make the archive, or finish sending."""
        self.tracker.close()


def _losses(kind: str, parts: Mapping[str, SourceLoss]) -> dict[str, float]:
    return {f"loss/{kind}/{name}": part.loss for name, part in parts.items()}


def _params(plan: MixPlan) -> dict[str, Scalar]:
    recipe = plan.recipe
    found: dict[str, Scalar] = {
        "plan": plan.id,
        "recipe": recipe.name,
        "base": plan.base.name,
        "base_fingerprint": plan.base.fingerprint,
        "template": recipe.template,
        "seed": recipe.seed,
        "length": recipe.length,
        "rows": plan.rows,
        "tokens": plan.tokens,
        "supervised": plan.supervised,
        "steps": plan.steps,
    }
    for part, record in (("method", recipe.method), ("schedule", recipe.schedule)):
        values = to_json(record)
        if isinstance(values, dict):
            found |= {f"{part}/{name}": _plain(value) for name, value in values.items()}
    for source in plan.sources:
        found |= {f"source/{source.name}/draws": source.draws, f"source/{source.name}/supervised": source.supervised}
    return found


def _plain(value: object) -> Scalar:
    return value if value is None or isinstance(value, str | int | float | bool) else ", ".join(map(str, _items(value)))


def _items(value: object) -> Sequence[object]:
    return value if isinstance(value, list | tuple) else [value]
