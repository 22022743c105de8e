"""The section "Held out" of docs/benchmarks.md: ratios on languages and directions that no setting was chosen on."""

from collections.abc import Mapping, Sequence

from .report import Run, table

HEADING = "## Held out"
NEXT = "## Where the time goes"
"""The heading that follows it."""
INTRO = """\
Three languages of XQuAD and two directions of Flores-101 on which no setting of the engine was ever chosen: the
acceptance rates of drafts are those of other prompts (`bench/fit_drafts.py`). Written by `python -m bench --held-out
--write docs/benchmarks.md`, which leaves the rest of the page as it is.
"""
WAITING = "Not measured yet with these settings.\n"


def held_out_section(runs: Sequence[Run], rates: Mapping[str, float]) -> str:
    """Return the section with a table for each workload, or one that says that nothing was measured."""
    tables = table(runs, rates).replace("## ", "### ") if runs else WAITING
    return f"{HEADING}\n\n{INTRO}\n{tables}"


def section_of(page: str) -> str:
    """Return the section as it stands in a page; where there is none, one that says that nothing was measured."""
    _, heading, rest = page.partition(HEADING)
    return (heading + rest.partition(NEXT)[0]).rstrip("\n") + "\n" if heading else held_out_section((), {})


def with_section(page: str, section: str) -> str:
    """Return the page with this section in the place of its own, or before what follows it."""
    before, heading, rest = page.partition(HEADING)
    after = rest.partition(NEXT)[2] if heading else page.partition(NEXT)[2]
    if not heading:
        before = page.partition(NEXT)[0]
    return f"{before}{section}\n{NEXT}{after}" if NEXT in page else f"{page}\n{section}"
