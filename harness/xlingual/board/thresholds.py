"""Shares from which a row of a leaderboard is marked, and above which it is not ranked."""

MOST_UNFINISHED = 1.0
"""Per cent of answers that ended inside the thinking."""
MOST_CUT = 5.0
"""Per cent of prompts that lost a part of their passage to the context window: the questions are others then."""
MOST_SHOTS_DROPPED = 5.0
"""Per cent of prompts that lost demonstrations: the protocol says more shots than were shown."""
MOST_COPIED = 30.0
"""Mean per cent of the passage that answers repeat, where the metric is a containment: a whole copy would win."""
MARKED_COPIED = 15.0
"""Per cent of the passage repeated from which a row is marked."""
MARKED_LENGTH = 500.0
"""Per cent of the gold answer's length from which a row is marked. No bar: base models never stop, and gain little."""
MARKED_SOURCE_COPY = 1.0
"""Per cent of answers that copy the source from which a row is marked, where COMET is the metric: it likes copies."""
MARKED_OFF_TARGET = 5.0
"""Per cent of answers in another language, as before."""
MARKED_TRUNCATED = 5.0
"""Per cent of answers cut at the token limit from which a row is marked. No bar, as before."""
