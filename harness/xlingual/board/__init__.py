"""Leaderboards: run records -> comparable rows -> Markdown and JSON."""

from .assembly import build_board
from .collection import Collection, collect_runs
from .document import board_json
from .markdown import board_markdown
from .rows import Board
from .spec import BoardSpec, board_names, find_board

__all__ = [
    "Board",
    "BoardSpec",
    "Collection",
    "board_json",
    "board_markdown",
    "board_names",
    "build_board",
    "collect_runs",
    "find_board",
]
