"""A model whose tokens are characters, and recipes on files that a test writes."""

import importlib.util
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from xlingual.plugin import DataSource, Model, ModelOptions
from xlingual.registry import MODELS
from xlingual.toml_table import read_toml
from xlingual.tune.prepare import Prepared, plan_mix
from xlingual.tune.recipe import read_recipe
from xlingual.tune.recipe_records import Recipe

PLUGINS = Path(__file__).parent / "plugins"

HEAD = """\
name = "mine"
description = "a recipe of the tests"
base = "letters"
template = "alpaca"
length = {length}
on_long = "{on_long}"
"""
SCHEDULE = """
[schedule]
epochs = 2
rows_per_step = 4
learning_rate = 1e-3
"""


@pytest.fixture(scope="session")
def letters() -> Model:
    spec = importlib.util.spec_from_file_location("letters", PLUGINS / "models" / "letters.py")
    assert spec is not None
    assert spec.loader is not None
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    opener = MODELS._items.pop("letters").item  # other tests know the shipped models only
    return opener("", ModelOptions(dtype="float32"))


@dataclass(frozen=True)
class DataFolder:
    """A folder of training text, and recipes that read from it."""

    path: Path
    model: Model

    def write(self, name: str, text: str) -> Path:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return file

    def instructions(self, name: str, rows: Sequence[tuple[str, str, str]]) -> None:
        keys = ("instruction", "input", "output")
        lines = [json.dumps(dict(zip(keys, row, strict=True)), ensure_ascii=False) for row in rows]
        self.write(name, "\n".join(lines) + "\n")

    def recipe(self, sources: str, *, length: int = 10_000, on_long: str = "cut", seed: int = 0) -> Recipe:
        head = HEAD.format(length=length, on_long=on_long) + f"seed = {seed}\n"
        return read_recipe(read_toml(self.write("mine.toml", f"{head}\n{sources}\n{SCHEDULE}")), None)

    @property
    def data_source(self) -> DataSource:
        return DataSource(folder=self.path, sample=False, offline=True)

    def plan(self, recipe: Recipe) -> Prepared:
        return plan_mix(recipe, self.model, self.data_source)


@pytest.fixture
def data_folder(tmp_path: Path, letters: Model, monkeypatch: pytest.MonkeyPatch) -> DataFolder:
    monkeypatch.setenv("XLINGUAL_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "data"
    folder.mkdir()
    return DataFolder(folder, letters)


@pytest.fixture
def source() -> Callable[..., str]:
    """Make the table of a source of instructions."""

    def make(name: str, use: str = "all", *, more: str = "") -> str:
        return f'[sources.{name}]\nreader = "alpaca"\npath = "{name}.jsonl"\nlanguage = "en"\nuse = "{use}"\n{more}\n'

    return make
