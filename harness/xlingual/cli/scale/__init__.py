"""`xlingual scale`: the translation scaling law.

similarity   how close languages are, for the law's gamma
sweep        trains and scores models at several amounts of data: points
fit          points -> law
allocate     law and budget -> recipe
output       what they print and write
"""

import click

from .. import LazyGroup


class _ScaleGroup(LazyGroup):
    table = {  # noqa: RUF012 (a ClassVar where it is declared)
        "allocate": ("scale.allocate", "Split a budget by a fit, and write a recipe."),
        "fit": ("scale.fit", "Fit the law to a table of points."),
        "similarity": ("scale.similarity", "Measure gamma from a model's tokenizer."),
        "sweep": ("scale.sweep", "Train and score the points of a law."),
    }


@click.group("scale", cls=_ScaleGroup)
def COMMAND() -> None:  # noqa: N802 (a command of the group)
    """How good does a language get with so much translation data, and how is a budget best split over languages?"""
