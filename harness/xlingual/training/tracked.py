"""A training in an experiment tracker: recipe and plan as parameters, losses and throughput by step, the record."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..identity import slug
from ..serial import to_json
from ..tracking import Scalar, Tracker
from ..tune.records import MixPlan
from .observing import SourceLoss, StepReport, Throughput, TrainingSetup
from .settings import PROVENANCE


class TrackedObserver:
    """Mirrors a run of a training; a resumed one goes on with its run where the tracker can, else it begins another."""

    def __init__(self, tracker: Tracker) -> None:
        """`tracker` is closed at the end of the run, after an error or a signal too."""
        self.tracker = tracker

    def begin(self, setup: TrainingSetup) -> None:
        """Mirror the plan, and what it is trained on."""
        run: dict[str, Scalar] = {
            "start": setup.start,
            "world_size": setup.world_size,
            "device": setup.device,
            "dtype": setup.dtype,
        }
        self.tracker.continue_run(slug(setup.plan.recipe.name, setup.plan.id), setup.start)
        self.tracker.params({**_params(setup.plan), **run})

    def logged(self, reports: Sequence[StepReport], throughput: Throughput) -> None:
        """Mirror every step, and the throughput at the last of them."""
        for each in reports:
            values = {
                "loss": each.loss,
                "gradient_norm": each.gradient_norm,
                "learning_rate": each.learning_rate,
                "supervised": float(each.supervised),
                **_losses("source", each.by_source),
                **_losses("language", each.by_language),
            }
            if each.held_out is not None:
                values |= {
                    "held_out/loss": each.held_out.loss,
                    **_losses("source", each.held_out.by_source, "held_out/loss"),
                    **_losses("language", each.held_out.by_language, "held_out/loss"),
                }
            self.tracker.metrics(values, each.step)
        speed = {
            "useful_tokens_per_second": throughput.useful_tokens_per_second,
            "wait_share": throughput.packs.wait_share,
        }
        if throughput.mfu is not None:
            speed["mfu"] = throughput.mfu
        self.tracker.metrics(speed, reports[-1].step)

    def saved(self, kind: str, folder: Path) -> None:
        """Mirror the record of an exported model or adapter; checkpoints have none."""
        if (folder / PROVENANCE).is_file():
            self.tracker.file(folder / PROVENANCE, f"{kind}/{PROVENANCE}")

    def note(self, message: str) -> None:
        """Mirror nothing: notes are for the user at the terminal."""

    def end(self) -> None:
        """Write the archive, or finish sending."""
        self.tracker.close()


def _losses(kind: str, parts: Mapping[str, SourceLoss], of: str = "loss") -> dict[str, float]:
    return {f"{of}/{kind}/{name}": part.loss for name, part in parts.items()}


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
            found |= {f"{part}/{name}": _scalar(value) for name, value in values.items()}
    for source in plan.sources:
        found |= {f"source/{source.name}/draws": source.draws, f"source/{source.name}/supervised": source.supervised}
    return found


def _scalar(value: object) -> Scalar:
    return value if value is None or isinstance(value, str | int | float | bool) else ", ".join(map(str, _items(value)))


def _items(value: object) -> Sequence[object]:
    return value if isinstance(value, list | tuple) else [value]
