"""How good a language gets with so much translation data, and how to split a budget of it over languages.

Points (a table of measured scores) -> LawFit -> Allocation -> a recipe that tuning runs.
"""

from .budget import BudgetOptions, Goal, allocate
from .fit import FitOptions, fit_laws
from .points import Point, SizeUnit, points_csv, read_points
from .records import Allocation, LawFit
from .sweep import PointScorer, SweepPoint, read_sweep, run_sweep, sweep_points

__all__ = [
    "Allocation",
    "BudgetOptions",
    "FitOptions",
    "Goal",
    "LawFit",
    "Point",
    "PointScorer",
    "SizeUnit",
    "SweepPoint",
    "allocate",
    "fit_laws",
    "points_csv",
    "read_points",
    "read_sweep",
    "run_sweep",
    "sweep_points",
]
