"""Which prompt template suits a model, and what our tuning made it of."""

import re
from collections.abc import Mapping
from pathlib import Path

from xlingual.thinking import ThinkingMode

from .files import Checkpoint, read_config

FILE = "provenance.json"
"""Written by our tuning beside its models."""
ALPACA_MODELS = ("x-llama", "m-llama", "alpaca")
"""Fragments of the lower-case names of models published as tuned with the Alpaca wrapper and without a chat template:
those of the paper (arXiv 2308.04948) and the Alpaca family that it compares with. A fragment must begin a word."""


def suitable_template(checkpoint: Checkpoint, *, chat: bool) -> str:
    """Return the template that the model was tuned with, else `chat` where it has one, else alpaca or raw by name."""
    if (tuned_with := tuned_template(checkpoint.folder)) is not None:
        return tuned_with
    if chat:
        return "chat"
    name = checkpoint.label.lower().replace("_", "-")
    is_alpaca = any(re.search(rf"(?<![a-z0-9]){re.escape(each)}", name) for each in ALPACA_MODELS)
    return "alpaca" if is_alpaca else "raw"


def tuned_template(folder: Path) -> str | None:
    """Return the template that our tuning used, None where it made no such model."""
    found = _provenance(folder, "template")
    return found if found in ("alpaca", "chat", "raw") else None


def tuned_thinking(folder: Path) -> ThinkingMode | None:
    """Return what our tuning asked the chat template for, None where it asked for nothing or made no such model."""
    found = _provenance(folder, "thinking")
    return ThinkingMode(found) if found in tuple(ThinkingMode) else None


def parent_of(folder: Path) -> str | None:
    """Return what our tuning made a model of: its base, with the recipe, the id of the plan, and which steps."""
    base, path = _provenance(folder, "parent"), folder / FILE
    if base is None:
        return None
    match record := read_config(path):
        case {"plan": {"id": str(run), "recipe": {"name": str(recipe)}, "steps": steps}, "max_steps": int(last)}:
            return f"{base} (recipe {recipe}, plan {run[:8]}, {last} of {steps} steps{_earlier_step(record)})"
        case {"plan": {"id": str(run), "recipe": {"name": str(recipe)}}}:
            return f"{base} (recipe {recipe}, plan {run[:8]}{_earlier_step(record)})"
    return base


def _earlier_step(record: Mapping[str, object]) -> str:
    """Return which step the weights are of, where the best checkpoint was not the last."""
    match record:
        case {"steps": last, "exported": {"checkpoint": {"step": int(step)}}} if step != last:
            return f", weights of step {step}"
    return ""


def _provenance(folder: Path, field: str) -> str | None:
    path = folder / FILE
    value = read_config(path).get(field) if path.is_file() else None
    return value if isinstance(value, str) else None
