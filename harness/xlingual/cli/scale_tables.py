"""Tables of the scaling law on stdout, with what is to be noted about them."""

from collections.abc import Sequence

import click

from ..scaling.tables import TextTable
from . import printable
from .display import show_table


def show_tables(tables: Sequence[TextTable], notes: Sequence[str] = ()) -> None:
    """Print tables, one below the other, and the notes."""
    for table in tables:
        show_table(table.title, table.header, table.rows)
    for note in notes:
        click.echo(f"note: {printable(note)}")
