"""What the commands of `xlingual scale` print and write."""

from collections.abc import Sequence
from pathlib import Path

import click

from ...files import write_atomically
from ...scaling.tables import TextTable
from .. import printable
from ..display import show_table


def show_tables(tables: Sequence[TextTable], notes: Sequence[str] = ()) -> None:
    """Print tables, one below the other, and the notes."""
    for table in tables:
        show_table(table.title, table.header, table.rows)
    for note in notes:
        click.echo(f"note: {printable(note)}")


def write_output(path: Path, text: str) -> None:
    """Write a file whole, its folder made where need be, and say so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text)
    say_saved([path])


def say_saved(paths: Sequence[Path]) -> None:
    """Say on stderr which files were written."""
    click.echo(f"written: {', '.join(map(str, paths))}", err=True)


def plot_option() -> click.Option:
    """`--plot DIR`."""
    return click.Option(["--plot"], default=None, metavar="DIR", help="Save the plot in this folder, as SVG and PNG.")
