"""Runs as one HTML page to click through: heat maps, samples, two models side by side, where numbers come from.

Read in this order: `samples` (lines of samples.jsonl, without their texts), `ordering` (which samples come first),
`texts` (their texts in compressed chunks, up to a budget), `tables` (models x languages), `provenance` (a run record
that may be published), `document` (the file). `page/` holds the style sheet and the script, as they are sent.
"""

from .builder import ViewOptions, ViewSummary, write_view

__all__ = ["ViewOptions", "ViewSummary", "write_view"]
