"""The losses of a training by step, on its rows and on held-out rows: all of them, by source, and by language."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..scaling.plots import Picture, render_picture
from ..training.curve import HELD_OUT, TRAINING, CurvePoint

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_POINTS = 200
"""A training curve of more steps shows the mean of so many spans."""
_TITLES = {"all": "all rows", "source": "by source", "language": "by language"}


def draw_losses(points: Sequence[CurvePoint]) -> Picture:
    """Draw the losses: training thin, held-out with marks; the best checkpoint of all held-out rows is ringed."""
    kinds = [kind for kind in _TITLES if kind == "all" or len({each.name for each in points if each.kind == kind}) > 1]

    def draw(figure: "Figure") -> None:
        panels = figure.subplots(1, len(kinds), squeeze=False)[0]
        for panel, kind in zip(panels, kinds, strict=True):
            _draw_panel(panel, [each for each in points if each.kind == kind])
            panel.set_title(_TITLES[kind], loc="left", fontweight="bold")
            panel.set_xlabel("step")
        panels[0].set_ylabel("loss, nats per supervised token")

    return render_picture("losses of a training by step", draw, (4.2 * len(kinds), 3.2))


def _draw_panel(panel: "Axes", points: Sequence[CurvePoint]) -> None:
    for place, name in enumerate(dict.fromkeys(each.name for each in points)):
        color = f"C{place % 10}"
        own = [each for each in points if each.name == name]
        steps, losses = _smooth([each for each in own if each.rows == TRAINING])
        panel.plot(steps, losses, color=color, linewidth=0.8, alpha=0.6, label=f"{name} training".strip())
        held = [each for each in own if each.rows == HELD_OUT]
        if not held:
            continue
        panel.plot(
            [each.step for each in held],
            [each.loss for each in held],
            color=color,
            marker="o",
            markersize=3,
            label=f"{name} held-out".strip(),
        )
        if not name:
            best = min(held, key=lambda each: each.loss)
            panel.scatter([best.step], [best.loss], s=70, facecolors="none", edgecolors="black", label="lowest")
    panel.grid(axis="y", linewidth=0.4, alpha=0.5)
    panel.legend(frameon=False, fontsize=6, loc="best")


def _smooth(points: Sequence[CurvePoint]) -> tuple[list[float], list[float]]:
    """Return steps and losses; of many steps the means of spans, weighted by tokens."""
    size = -(-len(points) // _MOST_POINTS) or 1
    spans = [points[start : start + size] for start in range(0, len(points), size)]
    steps = [sum(each.step for each in span) / len(span) for span in spans]
    weights = [max(sum(each.tokens for each in span), 1) for span in spans]
    losses = [
        sum(each.loss * each.tokens for each in span) / weight for span, weight in zip(spans, weights, strict=True)
    ]
    return steps, losses
