"""Mirrors of runs in an experiment tracker: never the store, off by default, and no failure of theirs ends a run."""

from .backends import TRACKERS
from .runs import mirror_runs
from .spool import Scalar, Tracker, open_tracker
from .upload import upload

__all__ = ["TRACKERS", "Scalar", "Tracker", "mirror_runs", "open_tracker", "upload"]
