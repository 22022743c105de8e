"""docs/cli.md is what the commands say now."""

import importlib.util
from pathlib import Path
from types import ModuleType

DOCS = Path(__file__).resolve().parents[2] / "docs"


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
