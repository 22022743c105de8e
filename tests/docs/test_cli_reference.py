"""docs/cli.md is what the commands say now."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from xlingual.cli import COMMAND

from .scripts import load_script

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = [DOCS.parent / "README.md", *(page for page in sorted(DOCS.glob("*.md")) if page.name != "cli.md")]


def test_the_committed_page_is_what_is_generated_now() -> None:
    page = load_script("make_cli").reference()
    assert (DOCS / "cli.md").read_text(encoding="utf-8") == page, "run `make docs`"
    assert page.count("Usage: xlingual ") == page.count("```text") > 20


def test_every_command_is_in_the_index() -> None:
    script = load_script("make_cli")
    page = script.reference()
    for name in script.COMMAND.table:
        assert f"](#xlingual-{name})" in page
        assert f"\n## xlingual {name}\n" in page


def sections() -> dict[str, str]:
    """Return what the page says of each command, by its words: "tune run"."""
    found = {}
    for section in re.split(r"(?m)^#{2,3} xlingual", (DOCS / "cli.md").read_text(encoding="utf-8"))[1:]:
        name, _, text = section.partition("\n")
        found[name.strip()] = text
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.name))
def test_options_of_shown_commands_are_those_of_the_command(page: Path) -> None:
    known = sections()
    for line in page.read_text(encoding="utf-8").splitlines():
        command = re.match(r"    (?:[A-Z_]+=\S+ )*(?:\S+ -m )?xlingual ((?:[a-z-]+ ?)+)(.*)", line)
        if command is None:
            continue
        words = command[1].split()
        name = next((each for each in (" ".join(words[:2]), words[0]) if each in known), "")
        for option in re.findall(
            r"(?<!\S)(--[a-z-]+|-[a-z])(?![\w-])", f"{command[1]}{command[2]}".partition(" # ")[0]
        ):
            assert re.search(rf"(?<![\w-]){option}(?![\w-])", known[name]), f"{page.name}: {line.strip()}: {option}"


def shown_commands() -> Iterator[tuple[str, str]]:
    """Yield page and words of every command of ours that the pages show, of jobs and scripts too."""
    for page in (*PAGES, DOCS.parent / "CONTRIBUTING.md"):
        text = re.sub(r"\\\n\s*", " ", page.read_text(encoding="utf-8"))
        for place, words in re.findall(r"(?m)^(.*?)\bxlingual ([a-z-]+ .*|[a-z-]+)$", text):
            if re.fullmatch(
                r"(    |[$ ]*|srun .*|.* -m |.*\bexec |.*entrypoint: |(.*[;&] )?for .* do |[A-Z_]+=\S+ )*", place
            ):
                yield page.name, re.split(r" (?:[&;|]|2>&1) ", words)[0].removesuffix(" ...")


def parse(arguments: list[str]) -> None:
    """Read arguments as the command line does, and call nothing."""
    command: click.Command = COMMAND
    context: click.Context | None = None
    while True:
        context = command.make_context(command.name, arguments, parent=context)
        if not isinstance(command, click.Group):
            return
        _, found, arguments = command.resolve_command(context, [*context._protected_args, *context.args])
        assert found is not None
        command = found


def test_every_shown_command_can_be_given_as_it_stands() -> None:
    """Names, options, their values and what follows them; what a folder or a model holds is not looked at."""
    shown = list(shown_commands())
    for page, words in shown:
        try:
            parse(shlex.split(words, comments=True))
        except click.ClickException as error:
            pytest.fail(f"{page}: xlingual {words}: {error.format_message()}")
    assert len(shown) > 140


def test_modules_and_targets_of_shown_commands_are_there() -> None:
    root = DOCS.parent
    targets = set(re.findall(r"(?m)^([a-z-]+):", (root / "Makefile").read_text(encoding="utf-8")))
    for page in (*PAGES, root / "CONTRIBUTING.md"):
        text = page.read_text(encoding="utf-8")
        for module in re.findall(r"python -m ((?:bench|docs|tests)[a-z_.]*)", text):
            path = root / module.rstrip(".").replace(".", "/")
            assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), f"{page.name}: {module}"
        for target in re.findall(r"(?m)(?:^    |`)make ([a-z-]+)", text):
            assert target in targets, f"{page.name}: make {target}"


def test_commands_that_lay_a_model_over_several_devices() -> None:
    """As docs/engine.md has it."""
    assert [name for name, text in sections().items() if "--shard" in text] == ["eval", "doctor"]
