"""A leaderboard for other programs: spreadsheets, papers, model cards, a database of evaluations.

Read `entries` first: every format but LaTeX is made of that one flat list.
"""

from collections.abc import Callable, Mapping

from ..collection import Collection
from ..rows import Board
from .every_eval_ever import eee_files, eee_lines
from .hub_results import hub_result_files, hub_results
from .latex import board_latex
from .model_index import model_index
from .table import board_csv

__all__ = ["EXPORTS", "board_csv", "board_latex", "eee_files", "eee_lines", "hub_result_files", "model_index"]

EXPORTS: Mapping[str, Callable[[Board, Collection, str], str]] = {
    "csv": lambda board, collection, _command: board_csv(board, collection),
    "latex": lambda board, _collection, command: board_latex(board, command=command),
    "eval-results": model_index,
    "hub-results": hub_results,
    "every-eval-ever": eee_lines,
}
"""Format -> what writes a board, made of the collection by the command, in it."""
