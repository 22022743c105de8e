"""COMET as a metric: a score for every translation, 100 times its mean over them."""

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ...errors import EnvironmentFault, ModelError, UsageError
from ...languages import LANGUAGES
from ...plugin import Bounds, FloatArray
from ...records import Example, Response, Statistics
from ...text import did_you_mean
from ..mean import combine_means
from .location import FoundModel, find_change, find_model
from .model_record import WEIGHTS
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
_FEWEST_ON_GPU = 16
"""Segments from which a GPU is chosen where the user does not."""


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
        fault = found.fault or _FAULTS.get(_identity(found))
        return f"not computed: {fault}; {self.published.how_to_get}" if fault else None

    def signature(self, _language: str) -> str:
        """Name model, revision, checkpoint, rules, scorer and numbers; what is not on this machine is not named."""
        _device_word()  # a wrong one is said before anything is asked
        found = find_model(self.name)
        parts = [f"model:{self.published.repository}", f"revision:{self.published.revision[:7]}"]
        if found.record is not None:
            if found.record.repository is None:
                parts = ["model:unpublished"]
            parts += [f"sha256:{found.record.checkpoint_sha256[:8]}", f"weights:{found.record.weights_sha256[:8]}"]
            parts += [f"tok:{found.record.tokenizer_sha256[:8]}", f"rules:{found.record.rules}"]
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
        try:
            places, segments = self._segments(examples, responses)
            if not segments:
                return found
            scores = _score(self.name, segments)
        except (EnvironmentFault, ModelError, ImportError) as fault:
            # Everything else of the answers is scored all the same, and `missing` says why this is not.
            _FAULTS[_identity(find_model(self.name))] = str(fault)
            return found
        for place, score in zip(places, scores, strict=True):
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
            for reference in ("",) if self.published.unified else example.targets:
                places.append(place)
                segments.append(Segment(source=source, hypothesis=response.text, reference=reference))
        return places, segments

    def combine(self, sums: FloatArray) -> FloatArray:
        """Turn (sum of scores, count), shape (..., 2), into 100 times their means; NaN where nothing was counted."""
        return combine_means(sums)


_FAULTS: dict[object, str] = {}
"""Why models cannot be used whose weights were read: they are not what they should be, or the memory is too small."""
_OPEN: dict[str, tuple[object, "CometScorer"]] = {}
"""The models in memory, by metric: a run of many tasks loads them once. None is kept on a GPU, where others need it."""
_WATCHERS: list[Callable[[str, int, int], object]] = []


def watch_scoring(show: Callable[[str, int, int], object] | None) -> None:
    """Let `show` take metric, texts read and all texts, while a model scores; None: nobody is told."""
    _WATCHERS[:] = [] if show is None else [show]


def _identity(found: FoundModel) -> object:
    weights = found.folder / WEIGHTS
    return (found.folder, weights.stat().st_mtime_ns if weights.is_file() else None)


def _score(name: str, segments: Sequence["Segment"]) -> list[float]:
    """Return the score of every segment; EnvironmentFault or ModelError where the model cannot be used."""
    import torch  # noqa: PLC0415 - heavy

    from .scorer import CometScorer  # noqa: PLC0415 - torch

    found = find_model(name)
    device, dtype = _device(found, len(segments)), _dtype()
    key, opened = (_identity(found), dtype), _OPEN.pop(name, None)
    if device != "cpu" or opened is None or opened[0] != key:
        change = find_change(found)
        if change is not None or found.record is None:
            raise ModelError(change or f"the model {name} is not on this machine")
        opened = (key, CometScorer(found.folder, found.record, device=device, dtype=getattr(torch, dtype)))
    scorer = opened[1]
    if device == "cpu":
        _OPEN[name] = opened
    scores = scorer.score(segments, watch=lambda done, total: [show(name, done, total) for show in _WATCHERS])
    if device != "cpu":
        del scorer, opened
        torch.cuda.empty_cache()
    return scores


def _dtype() -> str:
    word = os.environ.get(DTYPE) or "float32"
    if word not in DTYPES:
        raise UsageError(f"no such number format: {word!r}", where=DTYPE, hint=did_you_mean(word, DTYPES))
    return word


def _device_word() -> str:
    """Return what the user says of the device; UsageError for what is none."""
    word = os.environ.get(DEVICE) or "auto"
    kind, _, number = word.partition(":")
    if word not in ("auto", "cpu") and (kind != "cuda" or not (number or "0").isdigit()):
        raise UsageError(f"no such device: {word!r}", where=DEVICE, hint="auto, cpu, cuda or cuda:1")
    return word


def _device(found: FoundModel, segments: int) -> str:
    """Return the device to score on: the user's, else a GPU with room for the model, else the CPU.

    A few segments are not worth the way to the GPU, where no model is kept.
    """
    import torch  # noqa: PLC0415 - heavy

    word = _device_word()
    if word == "auto":
        size = found.record.weights_bytes if found.record is not None else 0
        has_room = torch.cuda.is_available() and torch.cuda.mem_get_info()[0] > size + _ROOM
        return "cuda" if has_room and segments >= _FEWEST_ON_GPU else "cpu"
    number = int(word.partition(":")[2] or 0)
    if word != "cpu" and (not torch.cuda.is_available() or number >= torch.cuda.device_count()):
        raise EnvironmentFault(f"this machine has no {word}", where=DEVICE)
    return word


METRICS = tuple(CometMetric(name=name, published=model) for name, model in PUBLISHED.items())
"""`comet22`, and `cometkiwi22` without references."""
