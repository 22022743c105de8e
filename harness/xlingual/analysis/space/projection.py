"""The vectors of one layer on their two main axes, all languages together."""

import numpy as np

from ...plugin import StateArray
from .records import Projection

SHOWN = 40
"""Sentences of each language in a picture."""
_EARLY = 8


def shown_layers(layers: int, middle: int | None = None) -> tuple[int, ...]:
    """Return an early, a middle and the last of `layers` layers; `middle` is where languages are most alike."""
    early, late = max(1, round(layers / _EARLY)), layers
    centre = middle if middle is not None and early < middle < late else max(1, layers // 2)
    return tuple(dict.fromkeys((early, centre, late)))


def project(vectors: StateArray, codes: tuple[str, ...], layer: int, pooling: str) -> Projection:
    """Return the first sentences of `vectors`, (languages, sentences, width), on the axes of all of them.

    The sign of an axis is free; here its largest loading is positive, so that the same vectors give the same picture.
    """
    languages, sentences, width = vectors.shape
    flat = vectors.reshape(-1, width).astype(np.float64)
    flat -= flat.mean(axis=0)
    if width <= len(flat):
        values, axes = np.linalg.eigh(flat.T @ flat)
        axes = axes[:, ::-1][:, :2]
    else:
        values, left = np.linalg.eigh(flat @ flat.T)
        axes = flat.T @ left[:, ::-1][:, :2]
        axes /= np.maximum(np.linalg.norm(axes, axis=0), 1e-12)
    axes *= np.where(axes[np.abs(axes).argmax(axis=0), [0, 1]] < 0, -1.0, 1.0)
    total = max(float(np.clip(values, 0.0, None).sum()), 1e-300)
    placed = (flat @ axes).reshape(languages, sentences, 2)[:, :SHOWN]
    return Projection(
        layer=layer,
        pooling=pooling,
        explained=(float(max(values[-1], 0.0) / total), float(max(values[-2], 0.0) / total)),
        points={
            code: tuple((float(f"{x:.4g}"), float(f"{y:.4g}")) for x, y in placed[index])
            for index, code in enumerate(codes)
        },
    )
