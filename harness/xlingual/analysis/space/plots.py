"""Pictures of an analysis: curves by layer with their bands, the map of three layers, what the layers would predict."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...plugin import FloatArray
from ...scaling.plots import Picture, render_picture
from .comparison import find_curve
from .decoding import OVERLAP
from .measures import MEASURES
from .records import LayerCurve, Projection, SpaceRecord
from .tables import foreign_inputs, mean_shares

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANELS = (
    "retrieval_margin",
    "retrieval_centred",
    "cka",
    "sentence_share_scaled",
    "language_share_scaled",
    "centroid_distance",
)
_COLUMNS = 3
_PANEL = (3.4, 2.5)
"""Inches."""
_COLOURS = ("#1f6fb4", "#c8501e", "#2a8a57", "#8a4fb0", "#b08a1f", "#5a6b7b")
_GREY = "#8a8a8a"
_LINKED = 8
"""Sentences whose translations are linked in a map."""


def draw_curves(records: Sequence[SpaceRecord], pooling: str, measures: Sequence[str] = PANELS) -> Picture:
    """Draw a panel for each of `measures`: a curve with its 95% band for each model, its shuffled control dotted.

    By layer, or by relative depth where models have different numbers of layers.
    """
    depths = {each.layers for each in records}
    rows = -(-len(measures) // _COLUMNS)

    def draw(figure: "Figure") -> None:
        panels = figure.subplots(rows, _COLUMNS, squeeze=False).flatten()
        for panel, measure in zip(panels, measures, strict=False):
            for number, record in enumerate(records):
                places = np.arange(record.layers + 1) / (1 if len(depths) == 1 else record.layers)
                colour = _COLOURS[number % len(_COLOURS)]
                _draw_curve(panel, record, (measure, pooling), places, colour)
            panel.set_title(MEASURES[measure].title, loc="left", fontsize=7.5)
            panel.grid(axis="y", linewidth=0.4, alpha=0.5)
        for panel in panels[len(measures) :]:
            panel.set_axis_off()
        figure.supxlabel("layer" if len(depths) == 1 else "depth: layer over layers", fontsize=8)
        handles, names = panels[0].get_legend_handles_labels()
        figure.legend(handles, names, frameon=False, fontsize=7, loc="outside upper center", ncols=min(3, len(names)))

    names = ", ".join(each.model.name for each in records)
    return render_picture(
        f"alignment of languages by layer, {names}, {pooling} pooling",
        draw,
        (_PANEL[0] * _COLUMNS, _PANEL[1] * rows + 0.4),
    )


def _draw_curve(panel: "Axes", record: SpaceRecord, which: tuple[str, str], places: FloatArray, colour: str) -> None:
    measure, pooling = which
    own = find_curve(record.curves, measure, pooling)
    control = find_curve(record.curves, measure, pooling, shuffled=True)
    if own is None or control is None:
        return
    if own.low is not None and own.high is not None:
        panel.fill_between(places, own.low, own.high, color=colour, alpha=0.18, linewidth=0)
    panel.plot(places, own.values, color=colour, linewidth=1.3, label=record.model.name)
    panel.plot(places, control.values, color=colour, linewidth=0.9, linestyle=":", label="shuffled control")


def draw_maps(record: SpaceRecord) -> Picture:
    """Draw the maps of an early, a middle and the last layer: a colour for each language, translations linked."""

    def draw(figure: "Figure") -> None:
        panels = figure.subplots(1, len(record.projections), squeeze=False)[0]
        for panel, projection in zip(panels, record.projections, strict=True):
            _draw_map(panel, projection, record.languages)
        handles, names = panels[0].get_legend_handles_labels()
        figure.legend(handles, names, frameon=False, fontsize=7, loc="outside upper center", ncols=len(names))

    title = f"sentences of {len(record.languages)} languages in three layers of {record.model.name}"
    return render_picture(title, draw, (_PANEL[0] * len(record.projections), 3.4))


def _draw_map(panel: "Axes", projection: Projection, languages: Sequence[str]) -> None:
    points = {code: np.array(each) for code, each in projection.points.items()}
    count = min(_LINKED, len(points[languages[0]]))
    for sentence in range(count):
        line = np.array([points[code][sentence] for code in languages])
        panel.plot(line[:, 0], line[:, 1], color=_GREY, linewidth=0.5, alpha=0.7, zorder=1)
    for number, code in enumerate(languages):
        x, y = points[code][:, 0], points[code][:, 1]
        panel.scatter(x, y, s=7, color=f"C{number % 10}", alpha=0.85, linewidths=0, label=code, zorder=2)
    first, second = projection.explained
    panel.set_title(f"layer {projection.layer}: {first:.0%} and {second:.0%} of variance", loc="left", fontsize=7.5)
    panel.set_xticks([])
    panel.set_yticks([])


def draw_lens(record: SpaceRecord) -> Picture | None:
    """Draw in which language the layers would go on, and how much a sentence and its translation have in common."""
    lens = record.lens
    if lens is None:
        return None
    pivot = lens.decoded[0].language
    decoded, control = (foreign_inputs(lens, lens.top_k, shuffled=shuffled) for shuffled in (False, True))
    places = np.arange(record.layers + 1, dtype=np.float64)

    def draw(figure: "Figure") -> None:
        left, right = figure.subplots(1, 2)
        shares = np.array([mean_shares(decoded, pivot, layer) for layer in range(record.layers + 1)])
        shuffled = np.array([mean_shares(control, pivot, layer) for layer in range(record.layers + 1)])
        for index, name in enumerate((f"own (not {pivot})", pivot, "others", "undecided")):
            panel_colour = _GREY if name == "undecided" else _COLOURS[index]
            left.plot(places, shares[:, index], color=panel_colour, linewidth=1.3, label=name)
        left.plot(places, shuffled[:, 0], color=_COLOURS[0], linewidth=0.9, linestyle=":", label="own, shuffled")
        left.set_title(f"language of the best {lens.top_k} next tokens, input not in {pivot}", loc="left", fontsize=7.5)
        left.set_ylim(0, 1)
        for is_shuffled in (False, True):
            _draw_overlap(right, find_curve(lens.overlap, OVERLAP, "none", shuffled=is_shuffled), places)
        right.set_title(f"share of top {lens.top_k} predictions in common", loc="left", fontsize=7.5)
        for panel in (left, right):
            panel.legend(frameon=False, fontsize=6.5)
            panel.set_xlabel("layer")
            panel.xaxis.get_major_locator().set_params(integer=True)

    return render_picture(f"what the layers of {record.model.name} would predict (logit lens)", draw, (7.4, 2.9))


def _draw_overlap(panel: "Axes", curve: LayerCurve | None, places: FloatArray) -> None:
    if curve is None or curve.low is None or curve.high is None:
        return
    style, label = (":", "other sentences") if curve.shuffled else ("-", "translations")
    panel.fill_between(places, curve.low, curve.high, color=_COLOURS[0], alpha=0.15, linewidth=0)
    panel.plot(places, curve.values, color=_COLOURS[0], linestyle=style, linewidth=1.2, label=label)
