"""`xlingual analyze`: what lies behind the scores of a model.

content  what is in its answers
space    where its layers put the same sentence in several languages
"""

import click

from .. import LazyGroup


class _AnalyzeGroup(LazyGroup):
    table = {  # noqa: RUF012 (a ClassVar where it is declared)
        "content": ("analyze.content", "Say what is in the stored answers of runs: language, loops, copies, refusals."),
        "space": ("analyze.space", "Measure, layer by layer, how alike languages are inside a model."),
    }


@click.group("analyze", cls=_AnalyzeGroup)
def COMMAND() -> None:  # noqa: N802 (a command of the group)
    """Why is a model as good, or as bad, in a language as its scores say?"""
