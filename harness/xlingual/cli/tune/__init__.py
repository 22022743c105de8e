"""`xlingual tune`: make a model from a recipe.

plan, preview, recipes, run   the commands, one module each
audit, chats                  what a plan says of rows, and of conversations
options                       options that they share, and the way from them to a plan
savers                        schedules, optimizers and what saves memory: options and lines
progress                      progress of a training on stderr
trainer                       a training as a step of other commands, in one process or one for each GPU
card                          the command that writes scores into a model card
"""

import click

from .. import EXIT_CODES, HELP_OPTIONS, LazyGroup


class _TuneGroup(LazyGroup):
    table = {  # noqa: RUF012 (a ClassVar where it is declared)
        "card": ("tune.card", "Write the scores of finished runs into the model card."),
        "plan": (
            "tune.plan",
            "Show what a recipe would train: the mix, steps, hours, and what it was compared with.",
        ),
        "preview": ("tune.preview", "Show rows as the model would see them, the part that is learnt marked."),
        "recipes": ("tune.recipes", "List the recipes."),
        "run": ("tune.run", "Train exactly the plan; the same command again resumes."),
    }


@click.group("tune", cls=_TuneGroup, epilog=EXIT_CODES, context_settings={"help_option_names": HELP_OPTIONS})
def COMMAND() -> None:  # noqa: N802 (a command of the group)
    """Make a model from a recipe, a TOML file that says which text, how much of it, which base and which schedule."""
