"""docs/cli.md is what the commands say now."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = [DOCS.parent / "README.md", *(page for page in sorted(DOCS.glob("*.md")) if page.name != "cli.md")]


def load_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_cli", DOCS / "make_cli.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_committed_page_is_what_is_generated_now() -> None:
    page = load_script().reference()
    assert (DOCS / "cli.md").read_text(encoding="utf-8") == page, "run `make docs`"
    assert page.count("Usage: xlingual ") == page.count("```text") > 20


def test_every_command_is_in_the_index() -> None:
    script = load_script()
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


def test_commands_that_lay_a_model_over_several_devices() -> None:
    """As docs/engine.md has it."""
    assert [name for name, text in sections().items() if "--shard" in text] == ["eval", "doctor"]
