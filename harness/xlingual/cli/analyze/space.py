"""`xlingual analyze space`: where the layers of a model put the same sentence in several languages."""

import click


@click.command("space")
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
def COMMAND(models: tuple[str, ...]) -> None:  # noqa: N802 (a command of the group)
    """Measure, layer by layer, how alike languages are inside models."""
    click.echo(" ".join(models))
