"""The content of answers: their languages, loops, copies, refusals, places in the passage; from stored answers alone.

`analyse_runs` reads runs, `find_all` sends one answer through all detectors, `read_analysis` reads what the command
kept, `section` writes it as HTML. A detector is a module with a pure function from an AnsweredSample to a frozen
record; `measures.py` says what is counted of them.
"""

from .analysis import MOST_EXAMPLES, analyse_runs, read_analysis
from .findings import ContentFindings, find_all
from .html_section import section
from .records import ContentAnalysis, ContentRecord
from .samples import AnsweredSample
from .tables import analysis_notes, analysis_tables

__all__ = [
    "MOST_EXAMPLES",
    "AnsweredSample",
    "ContentAnalysis",
    "ContentFindings",
    "ContentRecord",
    "analyse_runs",
    "analysis_notes",
    "analysis_tables",
    "find_all",
    "read_analysis",
    "section",
]
