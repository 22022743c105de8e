"""Text of strangers made safe for a leaderboard: `xlingual.escape`, by the name that it has here."""

from ..escape import CELL_LENGTH, LINE_LENGTH, escape_markdown, show_hidden

__all__ = ["CELL_LENGTH", "LINE_LENGTH", "escape_markdown", "show_hidden"]
