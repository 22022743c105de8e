"""The command line with the plugins that the pages of `docs/` show."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from xlingual import plugins
from xlingual.cli import run_command
from xlingual.registry import METRICS, MODELS, TASKS

PLUGINS = Path(__file__).parent / "plugins"


@dataclass(frozen=True, slots=True)
class Finished:
    """A command that has ended."""

    code: int
    stdout: str
    stderr: str


Xlingual = Callable[..., Finished]


@pytest.fixture
def xlingual(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Xlingual]:
    """Run the command line in this process; other tests know the shipped plugins only."""
    monkeypatch.setattr(plugins, "__path__", [*plugins.__path__, str(PLUGINS)])

    def run(*arguments: str) -> Finished:
        code = run_command(arguments)
        captured = capsys.readouterr()
        return Finished(code, captured.out, captured.err)

    yield run
    for path in PLUGINS.glob("*/*.toml"):
        TASKS._items.pop(path.stem, None)
    for path in PLUGINS.glob("*/*.py"):
        for registry in (TASKS, MODELS, METRICS):
            vars(registry)["_items"].pop(path.stem, None)
        sys.modules.pop(f"xlingual.plugins.{path.parent.name}.{path.stem}", None)
