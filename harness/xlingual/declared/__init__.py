"""Declarative tasks: a TOML file of some twenty lines is a family of tasks, one a language, and no code.

    tasks/mgsm.toml -> reading -> Declaration -> task -> DeclaredTask("mgsm/en"), ...

Read in this order: `declaration` (what a file may say), `template` (names in braces), `reading` and `splits` (the file
to a declaration), `sources` and `tables` (where the rows are), `rows` (rows to examples), `task` (what is asked).
Nothing in a file is evaluated as code.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from ..plugin import Task
from ..registry import TASKS, Family
from .reading import read_declaration
from .task import DeclaredTask, make_task

__all__ = ["DeclaredTask", "load_family", "make_task", "read_declaration", "read_family"]


def read_family(path: Path) -> Family:
    """Return the family of tasks that a TOML file declares, called by its stem; DataError names the line of a fault.

    Its bare name stands for the languages that have words of their own.
    """
    declaration = read_declaration(path)

    def tasks() -> Iterator[Task]:
        return (make_task(declaration, language) for language in declaration.languages)

    tasks.__doc__ = declaration.description  # what lists of families show of a function
    own = tuple(code for code, row in declaration.languages.items() if row.words_of == code)
    default = own if len(own) < len(declaration.languages) else ("*",)
    return Family(name=declaration.name, tasks=tasks, default=default, scope=("*",))


def load_family(path: Path, module: str) -> None:
    """Register the family that a TOML file declares under the name of the module that a Python file would be.

    The module is there, and empty, so that its file is known wherever the code of a plugin is asked for.
    """
    family = read_family(path)
    stands_in = ModuleType(module, family.name)
    stands_in.__file__ = str(path)
    sys.modules[module] = stands_in
    TASKS.add(family.name, family, module)
