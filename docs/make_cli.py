"""Writes `docs/cli.md` from the commands themselves: `make docs`.

The page holds each command's `--help` as a terminal of WIDTH columns shows it, so that it says what the program says.
A test compares the committed page with a new one.
"""

from collections.abc import Iterator
from pathlib import Path

import click

from xlingual.cli import COMMAND, LazyGroup

PAGE = Path(__file__).with_name("cli.md")
WIDTH = 100
HEAD = """\
# The command line

Written by `make docs` from the commands themselves; do not edit it by hand.

`xlingual COMMAND --help` prints the same (for lm-eval `--usage`, since `--help` is its own there). Where a
command has `--json`, it prints one JSON document.
"""


def reference() -> str:
    """Return the page."""
    return "\n".join([HEAD, *_index(), "", *_sections(COMMAND, None, "xlingual")]).rstrip("\n") + "\n"


def _index() -> Iterator[str]:
    yield "| command | does |"
    yield "| --- | --- |"
    for name, line in _lines(COMMAND):
        yield f"| [`xlingual {name}`](#xlingual-{name}) | {line} |"


def _lines(group: click.Group) -> Iterator[tuple[str, str]]:
    """Yield the names of a group's commands, each with its line of help."""
    if isinstance(group, LazyGroup):
        yield from ((name, line) for name, (_, line) in group.table.items())
    else:
        yield from ((name, command.get_short_help_str(WIDTH)) for name, command in group.commands.items())


def _sections(command: click.Command, parent: click.Context | None, path: str) -> Iterator[str]:
    """Yield the section of a command, then those of its own commands."""
    settings = {**command.context_settings, "terminal_width": WIDTH, "max_content_width": WIDTH}
    context = click.Context(command, parent=parent, info_name=path.rpartition(" ")[2], **settings)
    yield from (f"{'#' * max(2, len(path.split()))} {path}", "")
    yield from ("```text", command.get_help(context), "```", "")
    if isinstance(command, click.Group):
        for name, _ in _lines(command):
            below = command.get_command(context, name)
            if below is not None:
                yield from _sections(below, context, f"{path} {name}")


def main() -> None:
    """Write the page."""
    PAGE.write_text(reference(), encoding="utf-8")


if __name__ == "__main__":
    main()
