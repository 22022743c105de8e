"""Declarative tasks: a TOML file of some twenty lines is a family of tasks, one a language, and no code.

    tasks/mgsm.toml -> reading -> Declaration -> task -> DeclaredTask("mgsm/en"), ...

Read in this order: `declaration` (what a file may say), `template` (names in braces), `reading` and `splits` (the file
to a declaration), `sources` and `tables` (where the rows are), `rows` (rows to examples), `task` (what is asked).
Nothing in a file is evaluated as code.
"""

from collections.abc import Iterator
from pathlib import Path

from ..plugin import Task
from ..registry import Family
from .reading import read_declaration
from .task import DeclaredTask, make_task

__all__ = ["DeclaredTask", "make_task", "read_declaration", "read_family"]


def read_family(path: Path) -> Family:
    """Return the family of tasks that a TOML file declares, called by its stem; DataError names the line of a fault.

    Its bare name stands for the languages that have words of their own.
    """
    declaration = read_declaration(path)

    def tasks() -> Iterator[Task]:
        return (make_task(declaration, language) for language in declaration.languages)

    own = tuple(code for code, row in declaration.languages.items() if row.words_of == code)
    default = own if len(own) < len(declaration.languages) else ("*",)
    return Family(name=declaration.name, tasks=tasks, default=default, scope=("*",))
