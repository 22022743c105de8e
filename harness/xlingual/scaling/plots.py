"""Plots of a fit and of an allocation, as SVG and PNG; the same record gives the same bytes of SVG.

Languages are named by their codes, for no font at hand has all scripts.
"""

import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import EnvironmentFault
from ..files import disk_fault, replace_whole
from .doubts import doubts_of
from .points import Point, SizeUnit
from .prediction import predict, predict_draws
from .records import Allocation, Bounded, LanguageLaw, LawFit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 3
"""Panels in a row."""
_PANEL = (3.8, 3.0)
"""Inches."""
_REACH = 4.0
"""How many times the largest measured size a curve is drawn to."""
_CURVE_SIZES = 80
_BLUE, _ORANGE, _GREY = "#1f6fb4", "#c8501e", "#8a8a8a"
_TAIL = 2.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One plot in both formats."""

    title: str
    """What it shows, for those who do not see it."""
    svg: bytes
    png: bytes


def draw_laws(fit: LawFit) -> Picture:
    """Draw a panel for each language: measured scores, the law with its 95% band, dashed where it extrapolates."""
    rows = math.ceil(len(fit.laws) / COLUMNS)
    columns = min(COLUMNS, len(fit.laws))

    def draw(figure: "Figure") -> None:
        panels = figure.subplots(rows, columns, squeeze=False).flatten()
        for panel, law in zip(panels, fit.laws, strict=False):
            _draw_law(panel, fit, law)
        for panel in panels[len(fit.laws) :]:
            panel.set_axis_off()
        figure.supxlabel("translation pairs" if fit.unit is SizeUnit.PAIRS else "target tokens of translation data")
        figure.supylabel(fit.metric)
        handles, names = panels[0].get_legend_handles_labels()
        figure.legend(handles, names, frameon=False, fontsize=7, loc="outside upper center", ncols=len(names))

    title = f"{fit.metric} by amount of translation data, measured and fitted"
    return render_picture(title, draw, (_PANEL[0] * columns, _PANEL[1] * rows))


def draw_allocation(allocation: Allocation) -> Picture:
    """Draw a bar of rows for each language with its 95% interval, the other splits of the budget as marks on it."""
    codes = [share.language for share in allocation.shares]
    places = np.arange(len(codes), dtype=np.float64)

    def draw(figure: "Figure") -> None:
        panel = figure.subplots()
        counts = [share.rows for share in allocation.shares]
        panel.bar(places, counts, width=0.6, color=_BLUE, alpha=0.75, label="allocated")
        for place, share in zip(places, allocation.shares, strict=True):
            if share.low is not None and share.high is not None:
                panel.plot([place, place], [share.low, share.high], color="black", linewidth=1.2)
        steps = np.linspace(-0.2, 0.2, max(len(allocation.rivals), 1))
        for rival, mark, step in zip(allocation.rivals, "os^Dv", steps, strict=False):
            panel.scatter(places + step, rival.rows, marker=mark, color=_ORANGE, s=16, label=rival.name, zorder=3)
        panel.set_xticks(places, codes)
        panel.set_ylabel("translation pairs")
        panel.yaxis.set_major_formatter("{x:,.0f}")
        goal = {"mean": "highest mean", "worst": "highest worst score"}.get(allocation.goal, allocation.goal)
        panel.set_title(f"{goal} of {allocation.metric}, {allocation.budget:,} {allocation.budget_unit}")
        figure.legend(frameon=False, fontsize=7, loc="outside right upper")

    title = "translation pairs by language, allocated and by other splits"
    return render_picture(title, draw, (max(4.5, 0.5 * len(codes) + 2.0), 3.4))


def save_picture(picture: Picture, folder: Path, name: str) -> tuple[Path, Path]:
    """Write NAME.svg and NAME.png into `folder`, which is made where it is not there."""
    paths = folder / f"{name}.svg", folder / f"{name}.png"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, content in zip(paths, (picture.svg, picture.png), strict=True):
            with replace_whole(path) as stream:
                stream.write(content)
    except OSError as error:
        raise disk_fault(error, folder) from error
    return paths


def _draw_law(panel: "Axes", fit: LawFit, law: LanguageLaw) -> None:
    points = [point for point in fit.points if point.language == law.language]
    sizes = np.geomspace(law.smallest, law.largest * _REACH, _CURVE_SIZES)
    scores = predict(fit, law, sizes)
    low, high = np.percentile(predict_draws(fit, law, sizes), [_TAIL, 100.0 - _TAIL], axis=0)
    inside = sizes <= law.largest
    panel.fill_between(sizes, low, high, color=_BLUE, alpha=0.18, linewidth=0, label="95% interval")
    panel.plot(sizes[inside], scores[inside], color=_BLUE, label="law")
    panel.plot(sizes[~inside], scores[~inside], color=_BLUE, linestyle="--", label="beyond what was measured")
    for point in points:
        if point.low is not None and point.high is not None:
            panel.plot([_size(point, fit.unit)] * 2, [point.low, point.high], color=_GREY, linewidth=0.8)
    measured = [_size(point, fit.unit) for point in points]
    panel.scatter(measured, [point.score for point in points], s=10, color="black", label="measured")
    for each in (each for each in fit.extrapolation if each.language == law.language):
        label = "predicted from smaller sizes"
        panel.scatter([each.size], [each.predicted.value], marker="x", color=_ORANGE, s=36, zorder=3, label=label)
        panel.plot([each.size] * 2, _ends(each.predicted), color=_ORANGE, linewidth=1.2)
    panel.set_xscale("log")
    doubted = any(line.startswith(f"{law.language}:") for line in doubts_of(fit))
    panel.set_title(f"{law.language}: no law" if doubted else law.language, loc="left", fontweight="bold")


def _ends(bounded: Bounded) -> list[float]:
    return [bounded.value if end is None else end for end in (bounded.low, bounded.high)]


def _size(point: Point, unit: SizeUnit) -> int:
    return point.pairs if unit is SizeUnit.PAIRS else point.tokens or 0


def render_picture(title: str, draw: "Callable[[Figure], None]", inches: tuple[float, float]) -> Picture:
    """Return what `draw` puts on a figure of that size; EnvironmentFault where matplotlib is not installed."""
    try:
        import matplotlib as mpl  # noqa: PLC0415 (only a plot needs matplotlib)
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError as error:
        hint = "pip install 'xlingual[scale]'"
        raise EnvironmentFault("matplotlib is not installed, and plots are drawn with it", hint=hint) from error
    with mpl.rc_context():
        mpl.rcdefaults()  # the user's own style would give other bytes
        mpl.rcParams.update(
            {
                "svg.hashsalt": "xlingual",
                "font.family": "DejaVu Sans",
                "font.size": 8.0,
                "axes.spines.top": False,
                "axes.spines.right": False,
                "figure.dpi": 150.0,
            }
        )
        figure = Figure(figsize=inches, layout="constrained")
        FigureCanvasAgg(figure)
        draw(figure)
        files = {kind: io.BytesIO() for kind in ("svg", "png")}
        figure.savefig(files["svg"], format="svg", metadata={"Date": None, "Creator": "xlingual"})
        figure.savefig(files["png"], format="png", metadata={"Software": "xlingual"})
    return Picture(title=title, svg=files["svg"].getvalue(), png=files["png"].getvalue())
