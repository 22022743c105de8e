"""Shares above which a row of a leaderboard is marked and not ranked."""

MOST_UNFINISHED = 1.0
"""Per cent of answers that ended inside the thinking."""
