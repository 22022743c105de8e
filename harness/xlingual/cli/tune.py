"""`xlingual tune`: plan, preview and run; each command has a module of its own."""

import importlib.util

import click

from . import EXIT_CODES, LazyGroup

_COMMANDS = {
    "plan": ("tune_plan", "Show what a recipe would train: the mix, steps, hours, and what it was compared with."),
    "preview": ("tune_preview", "Show rows as the model would see them, the part that is learnt marked."),
    "recipes": ("tune_recipes", "List the recipes."),
    "run": ("tune_run", "Train exactly the plan; the same command again resumes."),
}


class _TuneGroup(LazyGroup):
    table = {  # noqa: RUF012 (a ClassVar where it is declared)
        name: row for name, row in _COMMANDS.items() if importlib.util.find_spec(f"{__package__}.{row[0]}") is not None
    }


@click.group("tune", cls=_TuneGroup, epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
def COMMAND() -> None:  # noqa: N802 (a command of the group)
    """Make a model from a recipe, a TOML file that says which text, how much of it, which base and which schedule."""
