"""COMET as a metric: a score for every translation, 100 times its mean over them."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ...errors import UsageError
from ...languages import LANGUAGES
from ...plugin import Bounds, FloatArray
from ...records import Example, Response, Statistics
from ...text import did_you_mean
from ..mean import combine_means
from .location import FoundModel, find_change, find_model
from .published import NOT_COVERED, PUBLISHED, PublishedModel

if TYPE_CHECKING:
    from .scorer import CometScorer, Segment

SCORER_VERSION = 1
"""Goes up when our scorer would give another number for the same weights."""
DEVICE, DTYPE = "XLINGUAL_COMET_DEVICE", "XLINGUAL_COMET_DTYPE"
"""The variables that say where and in which numbers is scored."""
DTYPES = ("float32", "bfloat16", "float16")
SOURCE = "source"
"""The field of an example that holds what was to be translated."""
_ROOM = 2**30
"""Bytes on a GPU beside the weights that scoring takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CometMetric:
    """The Metric of one published COMET model; it measures many answers at once."""

    name: str
    higher_is_better: bool = True
    bounds: Bounds = (None, None)
    """About 0 to 100; the model's output has no bounds."""
    translations_only: bool = True
    """It compares with the text that was translated."""
    published: PublishedModel = field(repr=False)

    def missing(self, language: str) -> str | None:
        """Return why it cannot be computed for translations into `language`, or None; reads no weights."""
        if language in NOT_COVERED:
            return f"not computed: {self.published.encoder} never saw {LANGUAGES[language].name}"
        found = find_model(self.name)
        fault = found.fault or _CHANGED.get(_identity(found))
        return f"not computed: {fault}; {self.published.how_to_get}" if fault else None

    def signature(self, _language: str) -> str:
        """Name model, revision, checkpoint, scorer and numbers; what is not on this machine is not named."""
        found = find_model(self.name)
        parts = [f"model:{self.published.repository}", f"revision:{self.published.revision[:7]}"]
        if found.record is not None:
            if found.record.repository is None:
                parts = ["model:unpublished"]
            parts += [f"sha256:{found.record.checkpoint_sha256[:8]}", f"weights:{found.record.weights_sha256[:8]}"]
            parts += [f"tok:{found.record.tokenizer_sha256[:8]}"]
        references = [] if self.published.unified else ["refs:best"]
        return "|".join([self.name, *parts, *references, f"scorer:{SCORER_VERSION}", f"dtype:{_dtype()}", "scale:100"])

    def measure(self, example: Example, response: Response) -> Statistics | None:
        """Return (score, 1.0) of one translation, or None where it cannot be judged."""
        return self.measure_all([example], [response])[0]

    def measure_all(self, examples: Sequence[Example], responses: Sequence[Response | None]) -> list[Statistics | None]:
        """Return (score, 1.0) of every translation, the best over its references; None where it cannot be judged."""
        found: list[Statistics | None] = [None] * len(examples)
        if not examples or self.missing(examples[0].language) is not None:
            return found
        places, segments = self._segments(examples, responses)
        scorer = _open_scorer(self.name) if segments else None
        if scorer is None:
            return found
        for place, score in zip(places, scorer.score(segments), strict=True):
            before = found[place]
            if math.isfinite(score) and (before is None or score > before[0]):
                found[place] = (score, 1.0)
        return found

    def _segments(
        self, examples: Sequence[Example], responses: Sequence[Response | None]
    ) -> tuple[list[int], list["Segment"]]:
        """Return what is to be scored, and the place of the example that each is of."""
        from .scorer import Segment  # noqa: PLC0415 - torch

        places: list[int] = []
        segments = []
        for place, (example, response) in enumerate(zip(examples, responses, strict=True)):
            source = example.fields.get(SOURCE)
            if response is None or response.text is None or source is None:
                continue
            for reference in example.targets[:1] if self.published.unified else example.targets:
                places.append(place)
                segments.append(Segment(source=source, hypothesis=response.text, reference=reference))
        return places, segments

    def combine(self, sums: FloatArray) -> FloatArray:
        """Turn (sum of scores, count), shape (..., 2), into 100 times their means; NaN where nothing was counted."""
        return combine_means(sums)


_CHANGED: dict[object, str] = {}
"""Why models cannot be used whose weights were read and are not what they should be."""
_OPEN: dict[object, "CometScorer"] = {}
"""The loaded models: a run of many tasks loads them once."""


def _identity(found: FoundModel) -> object:
    weights = found.folder / "model.safetensors"
    return (found.folder, weights.stat().st_mtime_ns if weights.is_file() else None)


def _open_scorer(name: str) -> "CometScorer | None":
    """Return the loaded model of a metric; None where its files have changed, which `missing` then says."""
    import torch  # noqa: PLC0415 - heavy

    from .scorer import CometScorer  # noqa: PLC0415 - torch

    found = find_model(name)
    device, dtype = _device(found), _dtype()
    key = (_identity(found), device, dtype)
    if key in _OPEN:
        return _OPEN[key]
    change = find_change(found)
    if change is not None or found.record is None:
        _CHANGED[_identity(found)] = change or f"the model {name} is not on this machine"
        return None
    _OPEN[key] = CometScorer(found.folder, found.record, device=device, dtype=getattr(torch, dtype))
    return _OPEN[key]


def _dtype() -> str:
    word = os.environ.get(DTYPE) or "float32"
    if word not in DTYPES:
        raise UsageError(f"no such number format: {word!r}", where=DTYPE, hint=did_you_mean(word, DTYPES))
    return word


def _device(found: FoundModel) -> str:
    """Return the device to score on: the user's, else a GPU with room for the model, else the CPU."""
    import torch  # noqa: PLC0415 - heavy

    word = os.environ.get(DEVICE) or "auto"
    if word == "cpu":
        return word
    if word == "auto":
        size = found.record.weights_bytes if found.record is not None else 0
        has_room = torch.cuda.is_available() and torch.cuda.mem_get_info()[0] > size + _ROOM
        return "cuda" if has_room else "cpu"
    kind, _, number = word.partition(":")
    if kind != "cuda" or (number and not number.isdigit()):
        raise UsageError(f"no such device: {word!r}", where=DEVICE, hint="auto, cpu, cuda or cuda:1")
    if not torch.cuda.is_available() or int(number or 0) >= torch.cuda.device_count():
        raise UsageError(f"this machine has no {word}", where=DEVICE, hint="auto, or cpu")
    return word


METRICS = tuple(CometMetric(name=name, published=model) for name, model in PUBLISHED.items())
"""`comet22`, and `cometkiwi22` without references."""
