"""Plots: the same record gives the same SVG, on any user's settings; what is drawn is what is in the record."""

import re
import struct
from pathlib import Path

import matplotlib as mpl
import pytest

from xlingual.scaling.budget import BudgetOptions, allocate
from xlingual.scaling.fit import FitOptions, fit_laws
from xlingual.scaling.plots import Picture, draw_allocation, draw_laws, save_picture
from xlingual.scaling.records import LawFit

from .simulation import TRUTHS, Truth, simulate


@pytest.fixture(scope="module")
def fit() -> LawFit:
    return fit_laws(simulate({**TRUTHS, "tr": Truth(14.0, 0.3, 52.0)}, noise=0.3), FitOptions(resamples=100))


def _draw(fit: LawFit) -> list[Picture]:
    return [draw_laws(fit), draw_allocation(allocate(fit, BudgetOptions(budget=100_000)))]


@pytest.fixture(scope="module")
def pictures(fit: LawFit) -> list[Picture]:
    return _draw(fit)


@pytest.mark.slow
def test_same_bytes_and_no_date(fit: LawFit, pictures: list[Picture]) -> None:
    with mpl.rc_context({"font.size": 20, "axes.facecolor": "pink", "svg.hashsalt": "other"}):
        second = _draw(fit)
    assert [picture.svg for picture in pictures] == [picture.svg for picture in second]
    for picture in pictures:
        assert b"<dc:date>" not in picture.svg
        assert not re.search(rb"20\d\d-\d\d-\d\d", picture.svg)


def test_png_is_a_picture_of_the_right_shape(pictures: list[Picture]) -> None:
    png = pictures[0].png
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", png[16:24])
    assert width / height == pytest.approx(3 * 3.8 / (2 * 3.0), rel=0.01)


def test_every_language_has_its_panel(pictures: list[Picture]) -> None:
    svg, bars = (picture.svg.decode() for picture in pictures)
    assert svg.count('<g id="axes_') >= 4
    for code in ("zh", "ar", "hi", "tr"):
        assert f"<!-- {code} -->" in svg
    assert "<!-- chrf++ -->" in svg
    for word in ("zh", "tr", "uniform", "allocated", "highest mean of chrf++, 100,000 pairs"):
        assert f"<!-- {word} -->" in bars


def test_pictures_are_saved_whole(pictures: list[Picture], tmp_path: Path) -> None:
    picture = pictures[0]
    svg, png = save_picture(picture, tmp_path / "new" / "folder", "laws")
    assert (svg.read_bytes(), png.read_bytes()) == (picture.svg, picture.png)
    assert sorted(path.name for path in svg.parent.iterdir()) == ["laws.png", "laws.svg"]
